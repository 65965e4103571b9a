"""Locations in CSV files, directories, caches of fsspec, and by consistent hashing."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.dispatch.chunks import Chunk
from isocline.dispatch.locations import (
    FileCache,
    HashRing,
    LocationReader,
    Rendezvous,
    SimpleCache,
    WebHdfs,
    in_directories,
    located,
    node_directories,
    read_csv,
    read_source,
)
from isocline.errors import UsageError

Hashing = Callable[[Sequence[str], int], LocationReader]
HASHINGS: list[Hashing] = [Rendezvous, HashRing]
NODES = [f"cache-{number}" for number in range(8)]
CHUNKS = [f"part-{number}" for number in range(4000)]


@pytest.mark.parametrize("hashing", HASHINGS)
def test_hashing_spreads_chunks_evenly(hashing: Hashing) -> None:
    found = hashing(NODES, 3).look_up(CHUNKS)
    assert list(found) == CHUNKS
    assert all(len(set(holders)) == 3 for holders in found.values())
    first = Counter(holders[0] for holders in found.values())
    # Of rendezvous 500 each, give or take 5 standard deviations of 21; of a ring also of its arcs,
    # which differ by 1 / sqrt(128).
    bound = 105 if hashing is Rendezvous else 105 + 5 * 500 * 128**-0.5
    assert all(abs(first[node] - 500) < bound for node in NODES)


@pytest.mark.parametrize("hashing", HASHINGS)
def test_a_node_less_moves_only_what_it_had(hashing: Hashing) -> None:
    before, after = hashing(NODES, 2), hashing(NODES[:-1], 2)
    for chunk in CHUNKS[:500]:
        kept = [node for node in before(chunk) or () if node != NODES[-1]]
        assert list(after(chunk) or ())[: len(kept)] == kept


@given(st.permutations(NODES), st.integers(1, 8), st.text())
def test_the_order_of_nodes_does_not_matter(nodes: list[str], replicas: int, chunk: str) -> None:
    for hashing in HASHINGS:
        assert hashing(nodes, replicas)(chunk) == hashing(NODES, replicas)(chunk)


def test_hashing_is_the_same_in_another_process() -> None:
    program = (
        "from isocline.dispatch.locations import HashRing, Rendezvous\n"
        f"for hashing in (Rendezvous, HashRing): print(hashing({NODES}, 2).look_up({CHUNKS[:50]}))"
    )
    command = [sys.executable, "-c", program]
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    expected = [str(hashing(NODES, 2).look_up(CHUNKS[:50])) for hashing in HASHINGS]
    assert done.stdout.splitlines() == expected


def test_a_cache_with_another_hash_gives_its_own() -> None:
    def by_length(key: bytes) -> int:
        return len(key)

    assert Rendezvous(["a", "bbb"], hash_function=by_length)("x") == ("bbb",)
    # Points at 3 (a#0) and 5 (bbb#0).
    ring = HashRing(["a", "bbb"], virtual_nodes=1, hash_function=by_length)
    assert [ring("x" * size) for size in (3, 4, 5, 6)] == [("a",), ("bbb",), ("bbb",), ("a",)]


@pytest.mark.parametrize("hashing", HASHINGS)
def test_hashing_refuses_what_it_cannot_place(hashing: Hashing) -> None:
    with pytest.raises(UsageError, match="3 replicas on 2 nodes"):
        hashing(["a", "b"], 3)
    with pytest.raises(UsageError, match="a node is named twice"):
        hashing(["a", "a"], 1)
    with pytest.raises(UsageError, match="0 virtual nodes; give 1 or more"):
        HashRing(["a"], virtual_nodes=0)


def test_a_csv_file_has_one_row_for_each_replica(tmp_path: Path) -> None:
    file = tmp_path / "replicas.csv"
    file.write_text('chunk,node\n"a, b",n1\nc,n1\n"a, b",n0\n\n')
    assert read_csv(file) == {"a, b": ("n1", "n0"), "c": ("n1",)}
    file.write_text("\ufeffChunk, Node, Bytes\nx,n0,5\nx,n1,70\ny,n1,0\n", encoding="utf-8")
    assert read_csv(file) == {"x": ("n1", "n0"), "y": ("n1",)}


def test_equal_sets_of_holders_are_kept_once(tmp_path: Path) -> None:
    file = tmp_path / "replicas.csv"
    rows = [f"{chunk},{node}\n" for chunk in range(100) for node in ("n0", "n1")]
    file.write_text("chunk,node\n" + "".join(rows))
    assert len({id(holders) for holders in read_csv(file).values()}) == 1
    with pytest.raises(UsageError, match=r"replicas\.csv:22: more than 10 chunks; split the file"):
        read_csv(file, most=10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: the first row is ''; begin with chunk,node"),
        ("a,n0\n", ":1: the first row is 'a,n0'; begin with chunk,node"),
        ("chunk,node\na\n", ":2: expected chunk,node, got 'a'"),
        ("chunk,node\na,\n", ":2: expected chunk,node, got 'a,'"),
        ("chunk,node,bytes\na,n0,-1\n", ":2: bytes are '-1'; give a whole number"),
        ("chunk,node\na,n0\na,n0\n", ":3: node 'n0' has chunk 'a' twice"),
        ('chunk,node\n"a,n0\n', "is not a CSV file in UTF-8"),
        ("chunk,node\n\udcff,n0\n", "is not a CSV file in UTF-8"),
    ],
)
def test_a_csv_file_is_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "replicas.csv"
    file.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UsageError) as caught:
        read_csv(file)
    assert message in str(caught.value)
    with pytest.raises(UsageError, match=r"cannot be read .*; correct the path"):
        read_csv(tmp_path / "other.csv")


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """Directories of nodes n0 and n1, mounted at /mnt/*/cache."""
    for node in ("n0", "n1"):
        (tmp_path / "mnt" / node / "cache").mkdir(parents=True)
    (tmp_path / "mnt" / "readme").touch()
    return tmp_path / "mnt"


def test_a_template_finds_the_nodes_directories(mounted: Path) -> None:
    (mounted / "n0" / "cache" / "sub").mkdir()
    (mounted / "n0" / "cache" / "sub" / "x").touch()
    (mounted / "n1" / "cache" / "y").touch()
    template = str(mounted / "{node}" / "cache")
    found = {node: mounted / node / "cache" for node in ("n0", "n1")}
    assert node_directories(template) == found
    assert node_directories("{node}/cache", mounted) == found
    assert in_directories(template) == {"sub/x": ["n0"], "y": ["n1"]}
    with pytest.raises(UsageError, match=r"no directory fits .*/disk; mount"):
        node_directories(str(mounted / "{node}" / "disk"))
    with pytest.raises(UsageError, match=r"give \{node\} once"):
        node_directories(str(mounted))


@pytest.fixture
def store(tmp_path: Path) -> list[str]:
    """URLs of three files."""
    (tmp_path / "store").mkdir()
    files = [tmp_path / "store" / f"part-{number}" for number in range(3)]
    for file in files:
        file.write_text("x" * 1000)
    return [f"file://{file}" for file in files]


def fetch(cache: str, directory: Path, urls: Sequence[str], **more: bool) -> None:
    """Read files through a cache of fsspec's."""
    system = fsspec.filesystem(
        cache, target_protocol="file", cache_storage=str(directory), check_files=False, **more
    )
    for url in urls:
        with system.open(url) as file:
            file.read()


@pytest.mark.parametrize(
    ("cache", "kind", "more"),
    [
        ("filecache", FileCache, {}),
        ("simplecache", SimpleCache, {}),
        ("simplecache", SimpleCache, {"same_names": True}),
    ],
)
def test_who_has_fetched_what_is_read_from_caches(
    mounted: Path, store: list[str], cache: str, kind: type, more: dict[str, bool]
) -> None:
    fetch(cache, mounted / "n0" / "cache", store[:2], **more)
    fetch(cache, mounted / "n1" / "cache", store[1:2], **more)
    found = kind(str(mounted / "{node}" / "cache"), **more)
    expected = {store[0]: ("n0",), store[1]: ("n0", "n1"), store[2]: ()}
    assert found.look_up(store) == expected
    assert found(f"{cache}::{store[1]}") == found(store[1].removeprefix("file://")) == ("n0", "n1")
    fetch(cache, mounted / "n1" / "cache", store[2:], **more)
    assert found(store[2]) == ()
    found.refresh()
    assert found(store[2]) == ("n1",)
    groups = {"g": Chunk(store[0], 0, 10), "h": Chunk(store[2], 0, 10)}
    assert located(groups, found) == {"g": ("n0",), "h": ("n1",)}


def test_files_that_a_cache_lost_do_not_count(mounted: Path, store: list[str]) -> None:
    directory = mounted / "n0" / "cache"
    fetch("filecache", directory, store)
    next(path for path in directory.iterdir() if path.name != "cache").unlink()
    found = FileCache({"n0": directory})
    assert sorted(map(found, store)) == [(), ("n0",), ("n0",)]


def test_caches_that_cannot_be_read_are_refused(mounted: Path) -> None:
    (mounted / "n0" / "cache" / "cache").write_bytes(b"\x80\x04pickled")
    with pytest.raises(
        UsageError, match=r"is no metadata of fsspec's filecache .* empty the cache"
    ):
        FileCache(str(mounted / "{node}" / "cache"))
    with pytest.raises(UsageError, match="n2: there is no directory"):
        SimpleCache({"n2": mounted / "n2"})
    with pytest.raises(UsageError, match="chunk 'nowhere://x': Protocol not known"):
        SimpleCache({"n1": mounted / "n1" / "cache"})("nowhere://x")


def test_a_mapping_of_files_locates_their_row_groups() -> None:
    groups = {"a#0": Chunk("a", 0, 1), "b#0": Chunk("b", 0, 1)}
    assert located(groups, {"a": ["n0"]}) == {"a#0": ("n0",)}


def test_sources_are_read_from_text(mounted: Path, store: list[str]) -> None:
    (mounted / "replicas.csv").write_text("chunk,node\nx,n0\n")
    assert read_source("csv:replicas.csv", mounted) == {"x": ("n0",)}
    (mounted / "n1" / "cache" / "y").touch()
    assert read_source("directories:{node}/cache", mounted) == {"y": ("n1",)}
    (mounted / "n1" / "cache" / "y").unlink()
    fetch("filecache", mounted / "n0" / "cache", store[:1])
    found = read_source("filecache:{node}/cache", mounted)
    assert isinstance(found, FileCache)
    assert found(store[0]) == ("n0",)
    found = read_source("simplecache:{node}/cache?same_names=true", mounted)
    assert isinstance(found, SimpleCache)
    for text, hashing in (
        ("rendezvous:a,b,c?replicas=2", Rendezvous(["a", "b", "c"], 2)),
        ("ring:a,b,c?virtual_nodes=5", HashRing(["a", "b", "c"], virtual_nodes=5)),
    ):
        found = read_source(text)
        assert isinstance(found, LocationReader)
        assert found.look_up(CHUNKS[:50]) == hashing.look_up(CHUNKS[:50])
    assert isinstance(read_source("webhdfs://nn1:9870,nn2:9870/data?user=alice"), WebHdfs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("replicas.csv", "is of no known kind; give one of webhdfs://HOST:PORT/FOLDER, "),
        ("hdfs://nn:8020/", "is of no known kind; HDFS is asked by WebHDFS; give one of"),
        ("csv:", "names no place; give csv:FILE"),
        ("webhdfs://", "names no place; give webhdfs://HOST:PORT/FOLDER"),
        ("ring:a,b?replica=2", "there is no option 'replica' of this kind; give replicas or virt"),
        ("ring:a,b?replicas=two", "replicas='two'; give a whole number, 1 or more"),
        ("ring:a,b?replicas=0", "0 replicas on 2 nodes; give 1 to as many"),
        ("ring:a,b?replicas=", "option replicas is empty"),
        ("webhdfs://nn:1/?token=x", "no option 'token' of this kind; give user or token_file"),
        ("simplecache:/mnt/{node}?same_names=1", "same_names='1'; give true or false"),
    ],
)
def test_sources_are_refused_by_their_kind(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_source(text)
    assert message in str(caught.value)
