"""`isocline run` on real worker processes: results on stdout, all else on stderr."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from isocline.cli import main
from isocline.dispatch.batch.spec import Batch
from isocline.dispatch.locations import Rendezvous
from tests.dispatch.rigs import exists
from tests.running import running

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["run", *map(str, arguments)], prog_name="isocline")


def lines(text: str) -> dict[str, dict[str, object]]:
    return {line["key"]: line for line in map(json.loads, text.splitlines())}


def job(folder: Path, text: str, name: str = "job.py") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_the_python_example_counts_every_text_and_writes_its_pictures(tmp_path: Path) -> None:
    result = run(EXAMPLES / "word_count.py", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    found = lines(result.stdout)
    assert sorted(found) == [f"text-{n:02}.txt" for n in range(24)]
    assert all(line["result"]["words"] == 20_000 for line in found.values())  # type: ignore[index]
    assert "word_count: done  24 tasks" in result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"timeline.png", "trace.json"}


def test_the_yaml_example_counts_as_wc_does(tmp_path: Path) -> None:
    results = tmp_path / "results"
    result = run(EXAMPLES / "word_count.yaml", "--workers", "2", "--results", results)
    assert result.exit_code == 0, result.stderr
    found = lines(results.read_text())
    for path in [*EXAMPLES.glob("*.yaml"), *EXAMPLES.glob("*.py")]:
        assert int(str(found.pop(path.name)["result"])) == len(path.read_text().split())
    assert not found
    assert "word_count: done" in result.stdout  # which has room for the table now


def test_a_run_that_is_refused_leaves_earlier_results(tmp_path: Path) -> None:
    file = job(tmp_path, "chunks = ['a', 'b']\ndef run(chunk): return chunk\n")
    results, journal = tmp_path / "results", tmp_path / "journal"
    assert run(file, "--journal", journal, "--results", results).exit_code == 0
    kept = results.read_text()
    assert sorted(lines(kept)) == ["a", "b"]
    again = run(file, "--journal", journal, "--results", results)  # without --resume
    assert again.exit_code == 2
    assert results.read_text() == kept
    with results.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        busy = run(file, "--results", results)
    assert busy.exit_code == 2
    assert "another run writes to it" in busy.stderr
    itself = run(file, "--results", file)
    assert itself.exit_code == 2
    assert "this is FILE itself" in itself.stderr
    (tmp_path / "a").write_text("of a chunk")
    chunk = run(file, "--results", tmp_path / "a")
    assert chunk.exit_code == 2
    assert "this file has something else than results" in chunk.stderr
    assert (tmp_path / "a").read_text() == "of a chunk"
    assert results.read_text() == kept
    nothing = job(tmp_path, "chunks = []\ndef run(chunk): return chunk\n", "none.py")
    assert run(nothing, "--results", results).exit_code == 0
    assert not results.read_text()


def test_tasks_run_where_a_source_says_their_data_is(tmp_path: Path) -> None:
    text = "chunks = [str(n) for n in range(20)]\ndef run(chunk): return chunk\n"
    file = job(tmp_path, text)
    source = "rendezvous:elm,oak"
    result = run(file, "--locations", source, "--policy", "jsq_local_only", "--json")
    assert result.exit_code == 0, result.stderr
    expected = Rendezvous(["elm", "oak"]).look_up(map(str, range(20)))
    found = json.loads(result.stdout)["results"]
    assert {line["chunk"] for line in found} == expected.keys()
    assert {line["node"] for line in found} <= {"elm", "oak"}
    near = sum((line["node"],) == expected[line["chunk"]] for line in found)
    assert near > 12  # all, unless a node is so late that the other helps; 10 by chance
    wrong = run(file, "--locations", "hdfs://nn:8020/")
    assert wrong.exit_code == 2
    assert "HDFS is asked by WebHDFS; give one of webhdfs://HOST:PORT/FOLDER" in wrong.stderr


def test_combined_results_are_one_line(tmp_path: Path) -> None:
    text = """
chunks = [str(n) for n in range(30)]
def run(chunk):
    if chunk == limit_of_numbers:
        raise ValueError("not this one")
    return int(chunk)
def combine(*some):
    return sum(some)
limit_of_numbers, arity = None, 4
"""
    result = run(job(tmp_path, text), "--workers", "2")
    assert result.exit_code == 0, result.stderr
    (line,) = lines(result.stdout).values()
    assert (line["result"], line["chunk"]) == (sum(range(30)), None)
    failed = run(job(tmp_path, text.replace("None, 4", "'7', 4")), "--workers", "2", "--json")
    assert failed.exit_code == 1
    document = json.loads(failed.stdout)
    (failure,) = document["failures"]
    assert (failure["chunk"], failure["error"]) == ("7", "ValueError: not this one")
    assert document["unanswered"] == 29


MIXED = """
chunks = ["good", "bad", "odd", "good", "twice"]
def run(chunk):
    if chunk == "bad":
        raise ValueError("not this one")
    if chunk == "twice":
        return {1: "a", "1": "b"}
    return object() if chunk == "odd" else {"nan": float("nan"), "chunk": chunk}
"""


def test_tasks_that_fail_are_listed_with_their_tracebacks(tmp_path: Path) -> None:
    result = run(job(tmp_path, MIXED), "--workers", "1", "--policy", "fifo", "--json")
    assert result.exit_code == 1, result.stderr
    document = json.loads(result.stdout)
    assert (document["status"], document["policy"]) == ("failed", "fifo")
    by_key = {line["key"]: line for line in document["results"]}
    assert by_key["good"]["result"] == {"nan": None, "chunk": "good"}
    assert set(by_key) == {"good", "bad", "odd", "good#2", "twice"}
    failures = {failure["key"]: failure for failure in document["failures"]}
    assert failures["bad"]["error"] == "ValueError: not this one"
    assert 'job.py", line 5, in run' in failures["bad"]["traceback"]
    assert "type object, cannot be written as JSON" in failures["odd"]["error"]
    assert "two keys of a dict in the result are equal in JSON" in failures["twice"]["error"]
    statistics = document["statistics"]
    assert (statistics["finished"], statistics["failed"]) == (2, len(failures))


def test_the_log_may_be_json_whatever_is_said(tmp_path: Path) -> None:
    file = job(
        tmp_path,
        'chunks = ["a", "b"]\n'
        "def run(chunk):\n"
        "    print('working on', chunk, flush=True)\n"
        "    return chunk\n",
    )
    done = run(file, "--workers", "1", "--log-format", "json", "--out", tmp_path / "out")
    assert done.exit_code == 0
    assert lines(done.stdout).keys() == {"a", "b"}
    said = [json.loads(line) for line in done.stderr.splitlines()]
    events = [it["event"] for it in said]
    assert (events[0], said[0]["tasks"]) == ("run.started", 2)
    printed = {it["message"]: it["node"] for it in said if it["event"] == "task.output"}
    assert printed == {"working on a": "n0", "working on b": "n0"}
    (finished,) = (it for it in said if it["event"] == "run.finished")
    assert (finished["status"], finished["finished"], finished["failed"]) == ("done", 2, 0)
    assert "file.written" in events
    missing = run(tmp_path / "none.py", "--log-format", "json")
    assert missing.exit_code == 2
    assert json.loads(missing.stderr)["level"] == "error"
    # Of the command alone: what comes after it in this process is text again.
    assert run(tmp_path / "none.py").stderr.startswith("isocline: ")


def test_a_live_page_is_named_on_stderr_and_changes_nothing_else(tmp_path: Path) -> None:
    file = job(tmp_path, 'chunks = ["a"]\ndef run(chunk):\n    return chunk\n')
    plain, paged = (run(file, "--workers", "1", "--json", *more) for more in ([], ["--page", "0"]))
    assert paged.exit_code == plain.exit_code == 0, paged.stderr
    assert re.search(r"isocline: live page on http://127\.0\.0\.1:\d+/\n", paged.stderr)
    assert "live page" not in plain.stderr
    assert json.loads(paged.stdout).keys() == json.loads(plain.stdout).keys()
    assert json.loads(paged.stdout)["results"] == json.loads(plain.stdout)["results"]
    refused = run(file, "--workers", "1", "--page", "nowhere")
    assert refused.exit_code == 2
    assert (
        "page 'nowhere': it is no address; give HOST:PORT, or a port of 127.0.0.1" in refused.stderr
    )


def test_a_result_that_cannot_be_written_counts_as_failed_again_on_resume(tmp_path: Path) -> None:
    file, journal = job(tmp_path, MIXED), tmp_path / "journal"
    run(file, "--workers", "1", "--journal", journal)
    again = json.loads(run(file, "--journal", journal, "--resume", "--json").stdout)
    statistics = again["statistics"]
    counts = [statistics[name] for name in ("finished", "resumed", "failed")]
    assert counts == [0, 2, len(again["failures"])] == [0, 2, 3]


# The last part is not done before a file is there, so that a test comes before the end.
SLOW = """
import os, time
chunks = [f"part-{n}" for n in range(80)]
gate = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gate")
def run(chunk):
    time.sleep(0.05)
    while chunk == "part-79" and not os.path.exists(gate):
        time.sleep(0.05)
    return chunk
"""


def finished(journal: Path) -> set[bytes]:
    """Tasks that are so in the file of a run which has it for itself: SQLite's write-ahead log."""
    try:
        log = journal.with_name(f"{journal.name}-wal").read_bytes()
    except FileNotFoundError:  # the run has ended
        return set()
    return set(re.findall(rb"((?:part-|data/)\d+).{,96}?finished", log, re.DOTALL))


def test_a_run_that_was_killed_goes_on_where_it_stopped(tmp_path: Path) -> None:
    file, journal = job(tmp_path, SLOW), tmp_path / "journal"
    command: list[str | Path] = [sys.executable, "-m", "isocline", "run", file, "--workers", "2"]
    command += ["--journal", journal]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(10):
            process.stdout.readline()
        while len(finished(journal)) < 10:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    (tmp_path / "gate").touch()
    again = run(file, "--workers", "2", "--journal", journal, "--resume")
    assert again.exit_code == 0, again.stderr
    found = lines(again.stdout)
    assert {line["result"] for line in found.values()} == {f"part-{n}" for n in range(80)}
    earlier = sum(line["node"] is None for line in found.values())
    assert earlier >= 10
    assert f"{earlier} from an earlier run" in again.stderr


DATED = """
import time
factors = {"a": 2}
chunks = [f"data/{n}" for n in range(40)]
def load(chunk):
    with open(chunk) as file:
        return int(file.read())
def run(number):
    time.sleep(0.05)
    return number * factors["a"]
"""


def test_a_killed_run_that_goes_on_gives_nothing_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for number in range(40):
        (tmp_path / "data" / str(number)).write_text(str(number))
    file, journal = job(tmp_path, DATED), tmp_path / "journal"
    command: list[str | Path] = [sys.executable, "-m", "isocline", "run", file, "--workers", "2"]
    command += ["--journal", journal]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        done = [json.loads(process.stdout.readline()) for _ in range(15)]
        while process.poll() is None and len(finished(journal)) < 10:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    changed = done[0]["chunk"]
    (tmp_path / changed).write_text("1000")
    for edit in (('{"a": 2}', '{"a": 3}'), ("int(file.read())", "-int(file.read())")):
        job(tmp_path, DATED.replace(*edit))
        refused = run(file, "--workers", "2", "--journal", journal, "--resume")
        assert refused.exit_code == 2
        assert re.search("had another (function|loader).* when it ran", refused.stderr)
    job(tmp_path, DATED)
    again = run(file, "--workers", "2", "--journal", journal, "--resume")
    assert again.exit_code == 0, again.stderr
    found = lines(again.stdout)
    assert found[changed]["result"] == 2000
    assert found[changed]["node"] is not None
    others = [found[f"data/{n}"]["result"] for n in range(40) if f"data/{n}" != changed]
    assert others == [2 * n for n in range(40) if f"data/{n}" != changed]
    assert sum(line["node"] is None for line in found.values()) >= 10


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (("wc -c", "wc -l"), "'a.txt' had another command when it ran; undo"),
        (("chunks: ", "nodes: {one: .}\nchunks: "), "had a job file in another folder, or one"),
    ],
)
def test_a_job_file_that_has_changed_is_named_by_what_changed_in_it(
    tmp_path: Path, edit: tuple[str, str], says: str
) -> None:
    text = 'command: "wc -c < {path}"\nchunks: "*.txt"\n'
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    file, journal = job(tmp_path, text, "job.yaml"), tmp_path / "journal"
    done = run(file, "--journal", journal, *(() if "nodes" in edit[1] else ("--workers", "1")))
    assert done.exit_code == 0, done.stderr
    job(tmp_path, text.replace(*edit), "job.yaml")
    refused = run(file, "--journal", journal, "--resume")
    assert refused.exit_code == 2
    assert says in refused.stderr
    assert "function" not in refused.stderr


def test_a_command_that_fails_shows_what_it_wrote_and_no_python(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    text = 'command: "echo too little >&2; test -s {path}"\nchunks: "*.txt"\n'
    result = run(job(tmp_path, text, "job.yaml"), "--workers", "1")
    assert result.exit_code == 1
    assert "a.txt at n0: CommandError: exit status 1: too little" in result.stderr
    assert "Traceback" not in result.stderr


def test_ctrl_c_says_what_was_done_and_exits_with_130(tmp_path: Path) -> None:
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "isocline",
        "run",
        job(tmp_path, SLOW),
        "--workers",
        "1",
    ]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        (tmp_path / "gate").touch()  # what runs may end
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 130
    assert "job: interrupted" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("keeps", [True, False])
def test_sigterm_says_what_was_done_and_how_to_go_on_and_exits_with_143(
    tmp_path: Path, keeps: bool
) -> None:
    journal = tmp_path / "journal"
    options = ["--journal", str(journal)] if keeps else []
    file = job(tmp_path, SLOW)
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "isocline",
        "run",
        file,
        "--workers",
        "1",
        *options,
    ]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        (tmp_path / "gate").touch()  # what runs may end
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 143
    assert "job: interrupted" in errors
    assert "Traceback" not in errors
    (said,) = [line for line in errors.splitlines() if line.startswith("isocline: ")]
    found = re.fullmatch(r"isocline: stopped by SIGTERM after (\d+) tasks? of 80; (.*)", said)
    assert found
    assert 1 <= int(found[1]) < 80
    if keeps:
        assert found[2] == f"the same command with --resume goes on with the journal {journal}"
        again = run(file, "--workers", "2", "--journal", journal, "--resume", "--json")
        statistics = json.loads(again.stdout)["statistics"]
        assert statistics["resumed"] >= 1
        assert statistics["resumed"] + statistics["finished"] == 80
    else:
        assert found[2] == "a run with --journal PATH can go on with --resume"


SLOW_TO_START = """
import os, pathlib, time
chunks = ["a"]
def wait(file):
    pathlib.Path(file + "part").write_text(str(os.getpid()))
    os.rename(file + "part", file)
    time.sleep(600)
class Loader:
    def __reduce__(self):
        return wait, ({file!r},)
    def __call__(self, chunk): ...
load = Loader()
def run(chunk): ...
"""


def test_sigterm_before_the_first_task_says_so(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    file = job(tmp_path, SLOW_TO_START.replace("{file!r}", repr(str(begun))))
    command: list[str | Path] = [sys.executable, "-m", "isocline", "run", file, "--workers", "1"]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not begun.exists():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=300)
        assert (process.returncode, out) == (143, "")
    assert errors == "isocline: stopped by SIGTERM before the first task\n"
    while exists(int(begun.read_text())):  # its worker notices
        time.sleep(0.01)


def test_a_reader_that_goes_away_ends_the_run(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "isocline",
        "run",
        job(tmp_path, SLOW),
        "--workers",
        "1",
    ]
    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, check=False)
    os.close(write_end)
    assert done.returncode == 141


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--resume",), "--resume does not apply without --journal; add --journal PATH"),
        (("--workers", "0"), "--workers"),
        (("--policy", "local_fist"), "did you mean local_first"),
        (("--results", "/no/such/directory/x"), "--results /no/such/directory/x"),
    ],
)
def test_wrong_usage_exits_with_2(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    result = run(job(tmp_path, MIXED), *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""


def test_workers_are_not_for_a_job_that_names_its_nodes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").touch()
    text = "command: 'cat {path}'\nnodes: {a: a}\n"
    result = run(job(tmp_path, text, "job.yaml"), "--workers", "2")
    assert result.exit_code == 2
    assert "the job names its 1 node;" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--address", "x:1"), "--address x:1: only for --engine ray or dask"),
        (("--engine", "ray", "--workers", "2"), "--workers 2: ray has its own"),
    ],
)
def test_an_engine_is_refused_what_it_cannot_do(
    tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").touch()
    result = run(job(tmp_path, "nodes = {'a': 'a'}\ndef run(data): ...\n"), *arguments)
    assert result.exit_code == 2
    assert says in result.stderr


COPIED = """
from pathlib import Path
import time
log = Path(__file__).with_name("log") if "__file__" in globals() else None
chunks = [f"part-{n}" for n in range(60)] + ["slow"]
def load(chunk):
    return chunk
def run(chunk, log=str(Path(__file__).with_name("log"))):
    if chunk != "slow":
        time.sleep(0.01)
        return chunk
    with open(log, "a") as file:
        file.write("x")
    if Path(log).read_text() == "x":  # the first: it hangs
        time.sleep(600)
    return chunk
"""


def test_copies_of_slow_tasks_are_shown_with_their_nodes(tmp_path: Path) -> None:
    result = run(job(tmp_path, COPIED), "--workers", "2")
    assert result.exit_code == 0, result.stderr
    said = r"copies of slow tasks that ran at the same time: 1, at n[01] \(1\); 1 done first"
    assert re.search(said, result.stderr)
    # The log is longer, so that none hangs. Of two workers one may have to wait for the other on a
    # busy machine, and then runs a copy.
    result = run(job(tmp_path, COPIED), "--workers", "1")
    assert result.exit_code == 0, result.stderr
    assert "copies" not in result.stderr


def test_a_command_runs_once_at_a_time_unless_the_file_says_that_it_may_be_copied(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    for number in range(40):
        (tmp_path / f"{number:02}.txt").write_text("sleep 0.01")
    (tmp_path / "99.txt").write_text("sleep 3")
    text = f"command: 'echo {{path}} >> {log}; sh {{path}}'\nchunks: '*.txt'\n"
    result = run(job(tmp_path, text, "job.yaml"), "--workers", "2")
    assert result.exit_code == 0, result.stderr
    assert len(log.read_text().splitlines()) == 41
    assert "copies" not in result.stderr
    log.unlink()
    file = job(tmp_path, text + "copies: true\n", "job.yaml")
    result = run(file, "--workers", "2", "--no-copies")
    assert len(log.read_text().splitlines()) == 41
    log.unlink()
    # Ends once there is a copy, however late that comes on a busy machine.
    (tmp_path / "99.txt").write_text(
        f"until [ $(grep -c 99.txt {log}) -ge 2 ]; do sleep 0.05; done"
    )
    result = run(file, "--workers", "2")
    assert result.exit_code == 0, result.stderr
    assert "copies of slow tasks" in result.stderr


ENDING = """
import sys
chunks = [f"part-{n}" for n in range(20)]
class Odd:
    def __init__(self, chunk): self.chunk = chunk
    def tolist(self): sys.exit(0)
class WordlessError(Exception):
    def __str__(self): sys.exit(0)
def run(chunk):
    if chunk == "part-7":
        sys.exit(0)
    if chunk == "part-8":
        raise KeyboardInterrupt
    if chunk == "part-9":
        return Odd(chunk)
    if chunk == "part-10":
        raise WordlessError
    if chunk == "part-11":
        return 10**5000
    return chunk
"""


def test_a_task_that_exits_ends_neither_the_run_nor_other_tasks(tmp_path: Path) -> None:
    result = run(job(tmp_path, ENDING), "--workers", "2")
    assert result.exit_code == 1, result.stderr
    found = lines(result.stdout)
    assert len(found) == 20
    failed = {key for key, line in found.items() if "error" in line}
    assert failed == {f"part-{n}" for n in range(7, 12)}
    assert "job: failed" in result.stderr
    assert str(found["part-7"]["error"]).startswith("ExitError: task 'part-7': raised SystemExit")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import sys\nsys.exit(0)\n", "job.py:2: SystemExit: 0; a job file must not end"),
        ("def chunks(): exit(0)\ndef run(c): ...\n", "job.py:1: chunks() raises SystemExit"),
        (
            "def chunks():\n  yield 'a'\n  raise KeyError('b')\ndef run(c): ...\n",
            "job.py:3: chunks raises KeyError: 'b'",
        ),
        (
            "chunks = ['a']\ndef locations(c): exit(0)\ndef run(c): ...\n",
            "locations: for chunk 'a' the function raises SystemExit: 0",
        ),
        (
            "class C:\n  def __repr__(self): exit(0)\nchunks = C()\ndef run(c): ...\n",
            "chunks is <C, whose __repr__ raises SystemExit>",
        ),
        ("def run(c): ...\ndef __getattr__(name): exit(0)\n", "job.py:2: SystemExit: 0"),
        (
            "import collections\nclass M(collections.UserDict):\n  def __iter__(self): exit(0)\n"
            "locations = M(a=['n0'])\ndef run(c): ...\n",
            "job.py:3: chunks raises SystemExit: 0",
        ),
        (
            "import collections\nclass M(collections.UserDict):\n  def items(self): exit(0)\n"
            "racks = M(n0='r1')\nchunks = ['a']\ndef run(c): ...\n",
            "job.py:3: SystemExit: 0",
        ),
    ],
)
def test_a_job_file_that_exits_is_a_clear_error(tmp_path: Path, text: str, says: str) -> None:
    result = run(job(tmp_path, text), "--workers", "1")
    assert result.exit_code == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_a_job_that_exits_where_nobody_guards_against_it_is_no_success(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Exits:
        """Chunks that are counted before they are asked for."""

        def __len__(self) -> int:
            raise SystemExit(0)

        def __iter__(self) -> Iterator[str]:
            return iter(())

    monkeypatch.setattr(
        "isocline.dispatch.batch.load.load_batch", lambda *_: Batch("job", len, Exits())
    )
    result = run("job.py", "--workers", "1")
    assert result.exit_code == 2
    assert "the job called sys.exit(0); return from its functions instead" in result.stderr


class Short:
    """Chunks that are fewer than they say."""

    def __len__(self) -> int:
        return 20

    def __iter__(self) -> Iterator[str]:
        return iter(["a", "b"])


def test_chunks_without_an_answer_are_said_and_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Batch("job", len, Short(), loader=str)
    monkeypatch.setattr("isocline.dispatch.batch.load.load_batch", lambda *_: batch)
    result = run("job.py", "--workers", "1")
    assert result.exit_code == 1
    assert "job: incomplete" in result.stderr
    assert "18 with neither result nor failure" in result.stderr


needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@needs_full
@pytest.mark.parametrize("where", ["--results", "stdout"])
def test_where_results_find_no_room_the_run_stops_with_its_table(
    tmp_path: Path, where: str
) -> None:
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "isocline",
        "run",
        job(tmp_path, SLOW),
        "--workers",
        "1",
    ]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*command, *(["--results", "/dev/full"] if where == "--results" else [])],
            stdout=subprocess.PIPE if where == "--results" else full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    said = (done.stdout or "") + done.stderr
    assert done.returncode == 2, said
    assert "job: incomplete" in said
    assert "No space left on device" in said
    assert "--resume runs only what has not finished" in said
    assert "Traceback" not in said


LIMITED = """
import resource, signal, sys
from isocline.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), hard))
main(prog_name="isocline")
"""
WORDY = """
chunks = [f"part-{n}" for n in range(200)]
def run(chunk):
    return chunk * 500
"""


def limited(room: int, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """A run in which no file may have more than so many bytes."""
    command = [sys.executable, "-c", LIMITED, str(room), "run", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_results_that_find_no_more_room_end_with_a_whole_line(tmp_path: Path) -> None:
    results = tmp_path / "results"
    file = job(tmp_path, WORDY)
    done = limited(100_000, file, "--workers", "1", "--results", results)
    assert done.returncode == 2, done.stderr
    assert "job: incomplete" in done.stdout
    written = lines(results.read_text())
    assert f"File too large after {len(written)} results" in done.stderr
    assert 10 < len(written) < 200


def test_a_journal_that_finds_no_room_costs_no_result(tmp_path: Path) -> None:
    file, journal = job(tmp_path, WORDY), tmp_path / "journal"
    done = limited(100_000, file, "--workers", "1", "--journal", journal)
    assert done.returncode == 2, done.stderr
    assert len(lines(done.stdout)) == 200
    assert "job: done" in done.stderr
    assert "rows could not be written" in done.stderr
    assert "Traceback" not in done.stderr


PRINTING = """
chunks = [f"part-{n}" for n in range(20)]
def run(chunk):
    print(chunk, flush=True)
    return chunk
"""


def test_a_standard_error_that_is_closed_costs_no_task(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "isocline", "run", job(tmp_path, PRINTING), "--workers", "1"]
    closed = ["sh", "-c", 'exec "$@" 2>&-', "sh", *map(str, command)]
    done = subprocess.run(closed, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0
    assert len(lines(done.stdout)) == 20


@pytest.mark.parametrize("verb", ["run", "plan", "policies"])
def test_a_standard_output_that_is_closed_is_said(verb: str, tmp_path: Path) -> None:
    given = {
        "run": [job(tmp_path, PRINTING), "--workers", "1"],
        "plan": [EXAMPLES / "n_model.yaml", "--json"],
        "policies": [],
    }
    command = [sys.executable, "-m", "isocline", verb, *given[verb]]
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", *map(str, command)]
    done = subprocess.run(closed, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "stdout: it is closed" in done.stderr
    assert "Traceback" not in done.stderr


def test_results_and_journal_are_two_files(tmp_path: Path) -> None:
    file = job(tmp_path, "chunks = ['a']\ndef run(chunk): return chunk\n")
    both = run(file, "--results", tmp_path / "one", "--journal", tmp_path / "." / "one")
    assert both.exit_code == 2
    assert "this is the journal; give another path" in both.stderr
    assert not (tmp_path / "one").exists()
