"""A job's file says what to run where; what it gets wrong is said with its place."""

import itertools
from pathlib import Path
from textwrap import dedent

import pytest

from isocline.dispatch.batch.load import load_batch
from isocline.dispatch.batch.spec import Batch
from isocline.dispatch.locations import HashRing
from isocline.errors import IsoclineError, SystemFileError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """x at a and b, y at b in a folder of its own."""
    for name in ("a/x.txt", "b/x.txt", "b/deep/y.txt", "b/z.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def loaded(folder: Path, text: str, name: str = "job.yaml") -> Batch:
    (folder / name).write_text(dedent(text))
    return load_batch(folder / name)


NODES = "command: 'cat {path}'\nnodes: {a: a, b: b}\n"


def test_files_in_nodes_are_chunks_where_they_are(folder: Path) -> None:
    batch = loaded(folder, NODES + "chunks: ['*.txt', 'deep/*']\nlimit: 2\nretries: 1\n")
    assert list(batch.chunks) == ["x.txt", "deep/y.txt"]
    assert batch.locations == {"x.txt": ["a", "b"], "deep/y.txt": ["b"]}
    assert batch.nodes == {"a": folder / "a", "b": folder / "b"}
    assert (batch.name, batch.limit, batch.retries, batch.size) == ("job", 2.0, 1, 2)
    assert set(loaded(folder, NODES).chunks) == {"x.txt", "deep/y.txt", "z.log"}


def test_files_that_all_nodes_see_are_read_from_the_files_folder(folder: Path) -> None:
    batch = loaded(folder, "command: 'cat {path}'\nchunks: b/**/*.txt\n")
    assert batch.chunks == ["b/deep/y.txt", "b/x.txt"]
    assert (batch.nodes, batch.locations, batch.everywhere) == (None, None, True)
    assert batch.loader is not None
    assert batch.function(batch.loader("b/deep/y.txt")) == "b/deep/y.txt"
    assert batch.size == 2


def test_places_can_be_given_one_by_one(folder: Path) -> None:
    text = """
        command: "cat {path}"
        locations: {a/x.txt: [n2, n1], b/z.log: [n1]}
        racks: {n1: r1, n2: r2}
        policy: local_first:threshold=3
    """
    batch = loaded(folder, text)
    assert batch.chunks == ["a/x.txt", "b/z.log"]
    assert batch.nodes == ["n1", "n2"]
    assert batch.racks == {"n1": "r1", "n2": "r2"}
    assert batch.policy == "local_first:threshold=3"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nodes: {a: a}\n", "job.yaml:1: command: is missing; add it"),
        ("", 'job.yaml: is empty; describe a job, beginning: command: "wc -w {path}"'),
        ("- a\n", "job.yaml:1: ['a'] is not a mapping; begin with: command: "),
        ("command: wc\nchunks: '*'\n", "job.yaml:1: command: does not mention its file"),
        ("commmand: wc\n", "did you mean 'command'?"),
        ("command: [wc]\n", "command: is ['wc']; give text"),
        ("command: 'wc {path}'\n", "chunks: is missing; name the files"),
        ("command: 'wc {path}'\nchunks: 'no/*.txt'\n", "job.yaml:2: chunks[0]: there is no file"),
        (NODES + "chunks: ['*.txt', 'no.txt']\n", "job.yaml:3: chunks[1]: no node has a file"),
        (NODES + "chunks: /tmp/x\n", "job.yaml:3: chunks[0]: is '/tmp/x'; give a pattern"),
        (NODES + "chunks: []\n", "give at least one of the chunks"),
        ("command: 'wc {path}'\nnodes:\n  a: a\n  c: c\n", "job.yaml:4: nodes.c: there is no"),
        (NODES + "racks: {c: r1}\n", "racks.c: is not a node; known: a, b"),
        (NODES + "policy: local_fist\n", "did you mean local_first"),
        (NODES + "limit: 0\n", "limit: is 0; give a number above 0"),
        (NODES + "retries: -1\n", "retries: is -1; give a number of at least 0"),
        (NODES + "locations: {x.txt: [a]}\n", "nodes and locations are both given"),
        ("command: 'wc {path}'\nlocations: {x: []}\n", "locations.x: is []; give at least one"),
    ],
)
def test_a_mistake_in_yaml_is_named_with_line_and_remedy(
    folder: Path, text: str, says: str
) -> None:
    with pytest.raises(SystemFileError) as caught:
        loaded(folder, text)
    assert says in str(caught.value)


PYTHON = """
    import itertools
    nodes = {"a": "a", "b": "b"}
    retries, limit, policy = 2, 60, "fifo"
    def load(path): return path.read_text()
    def run(text): return len(text)
"""


def test_a_python_file_may_say_the_same(folder: Path) -> None:
    batch = loaded(folder, PYTHON, "job.py")
    assert set(batch.chunks) == {"x.txt", "deep/y.txt", "z.log"}
    assert batch.nodes == {"a": folder / "a", "b": folder / "b"}
    assert (batch.retries, batch.limit, batch.policy) == (2, 60, "fifo")
    assert batch.loader is not None
    assert batch.function(batch.loader(folder / "a" / "x.txt")) == len("a/x.txt")


def test_chunks_may_be_a_function_and_endless(folder: Path) -> None:
    text = PYTHON + "    def chunks(): return (f'part-{n}' for n in itertools.count())\n"
    batch = loaded(folder, text, "job.py")
    assert batch.size is None
    assert list(itertools.islice(batch.chunks, 2)) == ["part-0", "part-1"]


def test_locations_name_chunks_and_nodes(folder: Path) -> None:
    text = "locations = {'p': ['n2', 'n1']}\ndef run(chunk): return chunk\n"
    batch = loaded(folder, text, "job.py")
    assert (batch.chunks, batch.nodes) == (["p"], ["n1", "n2"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("chunks = ['a']\n", "has no function run"),
        ("run = 3\n", "run is 3; give a function"),
        (
            "chunks = ['a']\ndef run(): ...\n",
            "run() cannot be called with a chunk; write def run(chunk)",
        ),
        ("chunks = ['a']\ndef run(a, b): ...\n", "run(a, b) cannot be called with a chunk"),
        ("chunks = ['a']\nasync def run(c): ...\n", "run is a coroutine or a generator"),
        ("chunks = ['a']\ndef run(c):\n    yield c\n", "return a result from a plain function"),
        ("def run(c): ...\n", "chunks is None; give a list of names"),
        ("chunks = 'abc'\ndef run(c): ...\n", "chunks is 'abc'; give a list of names"),
        (
            "chunks = ['a', 7]\ndef run(c): ...\n",
            "chunks: chunk 7 is neither text, a path nor a tuple",
        ),
        ("chunks = ['a']\nlimit = 'x'\ndef run(c): ...\n", "limit is 'x'; give a number"),
        ("chunks = ['a']\narity = 4\ndef run(c): ...\n", "add a function combine(one, other)"),
        ("chunks = ['a']\ncombine = 4\ndef run(c): ...\n", "combine is 4; give a function"),
        ("chunks = ['a']\nracks = []\ndef run(c): ...\n", "racks is []; give a mapping"),
        ("nodes = {'c': 'c'}\ndef run(c): ...\n", "there is no directory"),
        ("nodes = {'c': 5}\ndef run(c): ...\n", "nodes has 'c': 5; give text for both"),
        ("chunks = []\nracks = {1: 'r'}\ndef run(c): ...\n", "racks has 1: 'r'; give text"),
        ("chunks = ['a']\nlocations = 3\ndef run(c): ...\n", "locations is 3; give a mapping from"),
        (
            "locations = {'a': 5}\ndef run(c): ...\n",
            "expected a list of node names for chunk 'a', got 5",
        ),
        ("locations = {'a': ['n', 5]}\ndef run(c): ...\n", "for chunk 'a', got ['n', 5]"),
        ("\n1 / 0\n", "job.py:2: ZeroDivisionError: division by zero"),
        ("\n\ndef run(c:\n", "job.py:3: SyntaxError"),
        ("import no_such_module\n", "job.py:1: ModuleNotFoundError"),
    ],
)
def test_a_mistake_in_python_is_named_with_its_place(folder: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        loaded(folder, text, "job.py")
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(folder / "job.py"))


def test_the_line_is_named_whichever_way_the_file_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "job.py").write_text("\n1 / 0\n")
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError, match=r"^job\.py:2: ZeroDivisionError"):
        load_batch(Path("job.py"))


def test_other_files_and_files_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"neither FILE\.py nor FILE\.yaml"):
        load_batch(tmp_path / "job.txt")
    for name in ("job.py", "job.yaml"):
        with pytest.raises((UsageError, SystemFileError), match="does not exist"):
            load_batch(tmp_path / name)


def test_locations_are_a_source_in_yaml_and_python(folder: Path) -> None:
    (folder / "replicas.csv").write_text("chunk,node\na/x.txt,elm\na/x.txt,ash\n")
    batch = loaded(folder, "command: 'wc {path}'\nlocations: csv:replicas.csv\n")
    assert batch.locations == {"a/x.txt": ("elm", "ash")}
    assert list(batch.chunks) == ["a/x.txt"]
    assert batch.nodes == ["ash", "elm"]
    assert batch.everywhere
    job = "locations = 'ring:n0,n1?replicas=2'\nchunks = ['c']\ndef run(chunk): return chunk\n"
    batch = loaded(folder, job, "job.py")
    assert isinstance(batch.locations, HashRing)
    assert sorted(batch.locations("c") or ()) == ["n0", "n1"]
    assert batch.everywhere


def test_the_option_overrides_the_files_locations(folder: Path) -> None:
    (folder / "replicas.csv").write_text("chunk,node\na/x.txt,elm\n")
    (folder / "job.yaml").write_text("command: 'wc {path}'\nlocations: {a/x.txt: [oak]}\n")
    source = f"csv:{folder / 'replicas.csv'}"
    assert load_batch(folder / "job.yaml", source).nodes == ["elm"]
    (folder / "job.py").write_text("locations = {'c': ['n0']}\ndef run(chunk): return chunk\n")
    batch = load_batch(folder / "job.py", source)
    assert (batch.nodes, list(batch.chunks)) == (["elm"], ["a/x.txt"])
    with pytest.raises(UsageError, match="locations: 'x' is of no known kind"):
        load_batch(folder / "job.py", "x")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("job.yaml", "command: 'wc {path}'\nnodes: {a: a}\n"),
        ("job.py", "nodes = {'a': 'a'}\ndef run(chunk): return chunk\n"),
    ],
)
def test_nodes_with_directories_take_no_locations(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    with pytest.raises(UsageError, match=r"--locations: .* has nodes with directories"):
        load_batch(folder / name, "ring:a,b")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("job.yaml", "command: 'wc {path}'\nnodes: '{node}'\nchunks: '*.txt'\n"),
        ("job.py", "nodes = '{node}'\ndef run(chunk): return chunk\n"),
    ],
)
def test_nodes_are_found_by_a_template(folder: Path, name: str, text: str) -> None:
    batch = loaded(folder, text, name)
    assert batch.nodes == {node: folder / node for node in ("a", "b")}
    assert isinstance(batch.locations, dict)
    assert batch.locations["x.txt"] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("job.yaml", "command: 'wc {path}'\nlocations: x\n", "job.yaml:2: locations: 'x' is of no"),
        ("job.yaml", "command: 'wc {path}'\nlocations: 5\n", "locations: is 5; give a mapping"),
        ("job.yaml", "command: 'wc {path}'\nnodes: '{node}/no'\n", "job.yaml:2: nodes: "),
        ("job.py", "locations = 'x'\ndef run(chunk): return 1\n", "job.py: locations: 'x' is of"),
        ("job.py", "locations = 5\ndef run(chunk): return 1\n", "job.py: locations is 5; give a"),
        ("job.py", "nodes = '{node}/no'\ndef run(chunk): return 1\n", "job.py: locations: no dir"),
    ],
)
def test_a_wrong_source_is_named_with_its_file(
    folder: Path, name: str, text: str, says: str
) -> None:
    with pytest.raises(IsoclineError) as caught:
        loaded(folder, text, name)
    assert says in str(caught.value)
