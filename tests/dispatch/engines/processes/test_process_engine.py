"""The engine of worker processes: the contract suite, and restarts, refusals to stop, output."""

import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from isocline.cores import usable_cores
from isocline.dispatch.engines.base import (
    Done,
    Ending,
    Node,
    NodeGone,
    NodeLost,
    Stopped,
    TimedOut,
)
from isocline.dispatch.engines.processes import ProcessEngine
from isocline.dispatch.engines.processes.engine import short_directory
from isocline.dispatch.engines.processes.protocol import Setup
from isocline.dispatch.engines.processes.worker_handle import thread_variables
from isocline.dispatch.engines.processes.worker_slot import WorkerSlot
from isocline.dispatch.errors import EngineError
from isocline.errors import UsageError
from tests.dispatch.engines.engine_contract import EngineContract
from tests.dispatch.engines.scheduled import check_dependent_tasks, load
from tests.dispatch.rigs import Rig, exists, process_rig, until, value_of
from tests.running import running

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@contextmanager
def started(*args: Any, **how: Any) -> Iterator[Rig]:
    engine = ProcessEngine(*args, **how)
    try:
        yield process_rig(engine)
    finally:
        engine.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    with started(2, loader=value_of) as rig:
        yield rig


class TestProcessEngine(EngineContract):
    pass


def deaf(begun: str) -> None:
    """As a long call of compiled code: no signal reaches it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGALRM])
    Path(begun).touch()
    time.sleep(3600.0)


def stubborn(begun: str) -> None:
    """It catches all that is raised in its midst."""
    while True:
        try:
            Path(begun).touch()
            time.sleep(3600.0)
        except BaseException:
            continue


def test_a_worker_killed_in_its_task_is_started_again() -> None:
    with started(2) as rig:
        for _ in range(2):
            attempt = rig.run("n0", os.kill, 0, 9)  # its process group: itself
            assert rig.lost("n0").reason == "killed by SIGKILL, often for lack of memory"
            rig.up("n0")
            rig.events.clear()
            assert rig.value(rig.run("n0", abs, -1)) == 1
            assert not [e for e in rig.events if isinstance(e, Ending) and e.attempt == attempt]


def test_what_was_done_before_the_death_is_heard_first() -> None:
    with started(1) as rig:
        done = [rig.run("n0", abs, -number) for number in range(20)]
        rig.run("n0", os._exit, 3)
        behind = rig.run("n0", abs, 1)
        assert rig.lost("n0").reason == "ended with status 3"
        ended = [event.attempt for event in rig.events if isinstance(event, Done)]
        assert ended[-20:] == done
        assert behind not in ended


def test_what_is_given_to_a_lost_node_is_lost_with_it() -> None:
    with started(2) as rig:
        rig.run("n0", os._exit, 3)
        rig.lost("n0")
        late = rig.run("n0", abs, 1)
        rig.up("n0")
        assert rig.value(rig.run("n0", abs, -2)) == 2
        assert not [e for e in rig.events if isinstance(e, Ending) and e.attempt == late]


@pytest.mark.parametrize("task", [deaf, stubborn])
def test_a_worker_that_will_not_stop_is_killed(task: Callable[[str], None], tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with started(1, patience=0.2) as rig:
        cancelled, behind = rig.run("n0", task, str(begun)), rig.run("n0", abs, 1)
        until(begun.exists)
        rig.engine.cancel("n0", cancelled)
        assert rig.end(cancelled) == Stopped(cancelled, "n0")
        assert f"attempt {cancelled} would not stop" in rig.lost("n0").reason
        rig.up("n0")
        rig.events.clear()
        late = rig.run("n0", task, str(begun), limit=0.1)
        ended = rig.end(late)
        assert isinstance(ended, TimedOut)
        assert ended.seconds >= 0.3
        rig.lost("n0")
        assert not [e for e in rig.events if isinstance(e, Ending) and e.attempt == behind]


def test_the_limit_of_a_task_does_not_reach_the_next() -> None:
    def late() -> int:
        time.sleep(0.3)
        return 2

    with started(1) as rig:
        rig.run("n0", abs, 1, limit=0.1)
        assert rig.value(rig.run("n0", late)) == 2


def test_a_command_that_a_task_waits_for_ends_with_it(tmp_path: Path) -> None:
    file = tmp_path / "pid"

    def waits() -> None:
        """As `subprocess.run`, but it notes when nobody but it can end the command."""
        with subprocess.Popen(["sleep", "3600"]) as process:
            try:
                file.with_suffix(".part").write_text(str(process.pid))
                file.with_suffix(".part").rename(file)
                process.wait()
            except BaseException:
                process.kill()
                raise

    with started(1) as rig:
        attempt = rig.run("n0", waits)
        until(file.exists)
        rig.engine.cancel("n0", attempt)
        rig.end(attempt)
        assert not exists(int(file.read_text()))


def test_what_tasks_leave_running_ends_with_the_engine() -> None:
    with started(1) as rig:
        pid = rig.value(rig.run("n0", lambda: subprocess.Popen(["sleep", "3600"]).pid))
        rig.engine.close()
        until(lambda: not exists(pid))


def test_what_tasks_print_comes_with_the_nodes_name(capsys: pytest.CaptureFixture[str]) -> None:
    def prints() -> None:
        print("a word")
        os.system("echo from a command; echo an error >&2")

    with started(["here", "there"]) as rig:
        rig.end(rig.run("there", prints))
        rig.engine.close()
    said = capsys.readouterr()
    assert said.out == ""
    assert sorted(said.err.splitlines()) == [
        "there: a word",
        "there: an error",
        "there: from a command",
    ]


class Refusing(io.TextIOBase):
    """A standard error that takes nothing."""

    def write(self, _text: str) -> int:
        raise ValueError("I/O operation on closed file")


@pytest.mark.parametrize(
    "stderr",
    [Refusing, lambda: io.TextIOWrapper(io.BytesIO(), "ascii"), lambda: None],
    ids=["closed", "ascii", "none"],
)
def test_a_standard_error_that_takes_nothing_fails_no_task_that_prints(
    monkeypatch: pytest.MonkeyPatch, stderr: Callable[[], Any]
) -> None:
    def prints(size: int) -> int:
        print("ü" * size, flush=True)
        return size

    with started(1) as rig:
        monkeypatch.setattr(sys, "stderr", stderr())
        for size in (10, 100_000, 10):
            assert rig.value(rig.run("n0", prints, size)) == size


def test_an_alarm_is_the_tasks_own_and_ends_with_it() -> None:
    class OwnError(Exception):
        pass

    def own(limit: float) -> str:
        def ring(*_: object) -> None:
            raise OwnError

        signal.signal(signal.SIGALRM, ring)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            time.sleep(limit)
        except OwnError:
            signal.alarm(300)  # and returns long before that
            return "in time"
        return "late"

    def rings() -> None:
        signal.alarm(1)
        time.sleep(60.0)

    def left() -> tuple[str, float]:
        return str(signal.getsignal(signal.SIGALRM)), signal.getitimer(signal.ITIMER_REAL)[0]

    with started(1) as rig:
        assert rig.value(rig.run("n0", own, 60.0, limit=60.0)) == "in time"
        assert rig.value(rig.run("n0", left)) == (str(signal.SIG_DFL), 0.0)
        rig.run("n0", rings)
        assert rig.lost("n0").reason == "killed by SIGALRM"


@pytest.mark.parametrize(
    "what",
    [
        "sys.stdout.close()",
        "sys.stdout = sys.stderr = None",
        "os.close(1); os.close(2)",
        "os.dup2(os.open('/dev/null', os.O_WRONLY), 1)",
        "sys.stdout = open('/dev/null'); sys.stdout.close()",
    ],
)
def test_what_a_task_does_to_its_outputs_does_not_reach_the_next(
    what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def prints() -> None:
        print("a word")
        print("an error", file=sys.stderr)

    with started(1) as rig:
        rig.value(rig.run("n0", exec, f"import os, sys; {what}"))
        rig.value(rig.run("n0", prints))
        assert not any(isinstance(event, NodeLost) for event in rig.drain())
        rig.engine.close()
    assert sorted(capsys.readouterr().err.splitlines()) == ["n0: a word", "n0: an error"]


@pytest.mark.parametrize("first", [0, 3])
def test_a_task_that_closes_all_descriptors_ends_its_worker_with_one_line(
    first: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor does what the worker would have written get into the files that the task opens then."""

    def cuts_off() -> None:
        os.closerange(first, 256)
        for number in range(32):  # each gets a number that was the worker's
            os.open(tmp_path / str(number), os.O_CREAT | os.O_RDWR)

    with started(1) as rig:
        attempt = rig.run("n0", cuts_off)
        lost = rig.lost("n0")
        assert (lost.returns, lost.reason) == (
            True,
            "ended, because a task closed its file descriptors",
        )
        assert not [e for e in rig.events if isinstance(e, Ending) and e.attempt == attempt]
        rig.up("n0")
        assert rig.value(rig.run("n0", abs, -1)) == 1
        rig.engine.close()
    assert capsys.readouterr().err.splitlines() == [
        "n0: the worker ended because a task closed its file descriptors; close only "
        "descriptors that the task has opened"
    ]
    # Fewer, or none, if the thread that reads messages was the first to see it.
    assert {file.read_bytes() for file in tmp_path.iterdir()} <= {b""}


def test_nor_does_a_thread_that_sends_a_chunk_print_a_traceback_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def cuts_off() -> None:
        os.closerange(3, 256)
        time.sleep(1.0)  # the thread is to see it before the worker ends

    with started(2, loader=lambda _: bytes(1_000_000), link=50_000.0) as rig:
        read = rig.run("n1", len, chunk="c", holders=("n0",))
        time.sleep(0.5)  # most likely it is on its way by now
        rig.run("n0", cuts_off)
        rig.lost("n0")
        rig.end(read)
        rig.engine.close()
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("n0: the worker ended because a task closed its file descriptors")


class Loader:
    """One that is unpickled in a worker with what `what` does, given a file."""

    def __init__(self, what: str, file: Path) -> None:
        self.what, self.file = what, file

    def __reduce__(self) -> Any:
        source = f"import os, pathlib; file = pathlib.Path({str(self.file)!r}); {self.what}"
        return eval, (f"exec({source!r}) or str",)

    def __call__(self, chunk: str) -> None: ...


def test_a_worker_killed_as_it_begins_is_started_again(tmp_path: Path) -> None:
    once = "file.exists() or (file.touch(), os.kill(os.getpid(), 9))"
    with started(1, loader=Loader(once, tmp_path / "killed")) as rig:
        assert rig.value(rig.run("n0", abs, -1)) == 1
    assert (tmp_path / "killed").exists()


def test_a_node_whose_workers_end_as_they_begin_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isocline.dispatch.engines.processes.supervisor._IN_VAIN", 2)
    broken = tmp_path / "broken"
    with started(1, loader=Loader("file.exists() and os._exit(3)", broken)) as rig:
        broken.touch()
        rig.kill("n0")
        assert rig.lost("n0").returns
        gone = rig.hear(lambda event: isinstance(event, NodeGone))
        assert isinstance(gone, NodeGone)
        assert "2 workers ended during their start" in gone.reason
        assert "status 3" in gone.reason
        broken.unlink()
        rig.up("n0")


FORKED = """
import os, time
from isocline.dispatch.scheduler import Scheduler
live = Scheduler(nodes=1)
worker = live.submit(os.getpid).result()
child = os.fork()
if child == 0:
    time.sleep(600)
print(worker, child, flush=True)
time.sleep(600)
"""


def test_workers_end_with_their_engine_though_a_fork_of_it_lives_on() -> None:
    with subprocess.Popen([sys.executable, "-c", FORKED], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        worker, child = map(int, process.stdout.readline().split())
        process.kill()
    try:
        until(lambda: not exists(worker))
        assert exists(child)
    finally:
        os.kill(child, signal.SIGKILL)


def test_workers_end_when_their_engine_is_killed(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import os, queue, time, cloudpickle
        from isocline.dispatch.engines.base import WorkItem
        from isocline.dispatch.engines.processes import ProcessEngine
        heard = queue.SimpleQueue()
        engine = ProcessEngine(2, scratch={str(tmp_path)!r})
        engine.start(heard.put)
        arguments = cloudpickle.dumps(((), {{}}))
        for node in ("n0", "n1"):
            engine.run(node, WorkItem(1, "k", cloudpickle.dumps(os.getpid), arguments))
            print(cloudpickle.loads(heard.get().value), flush=True)
        engine.run("n0", WorkItem(3, "k", cloudpickle.dumps(lambda: time.sleep(3600)), arguments))
        time.sleep(3600)
    """)
    command = [sys.executable, "-c", script]
    with running(command, stdout=subprocess.PIPE) as driver:
        assert driver.stdout is not None
        pids = [int(driver.stdout.readline()) for _ in range(2)]
        assert list(tmp_path.iterdir())
        driver.kill()
    until(lambda: not any(map(exists, pids)))
    until(lambda: not list(tmp_path.iterdir()))


FROZEN = """
import ctypes, os, queue, signal, subprocess, time, cloudpickle
from isocline.dispatch.engines.base import WorkItem
from isocline.dispatch.engines.processes import ProcessEngine

def frozen(kind):
    child = subprocess.Popen(["sleep", "3600"], start_new_session=True)
    print(os.getpid(), child.pid, flush=True)
    if kind == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    ctypes.PyDLL(None).usleep(600_000_000)  # which keeps the lock, unlike CDLL

engine = ProcessEngine(2, scratch={scratch!r})
engine.start(lambda event: None)
for node, kind in (("n0", "stopped"), ("n1", "compiled")):
    arguments = cloudpickle.dumps(((kind,), {{}}))
    engine.run(node, WorkItem(1, "k", cloudpickle.dumps(frozen), arguments))
time.sleep(3600)
"""


def test_workers_that_are_frozen_end_when_their_engine_is_killed(tmp_path: Path) -> None:
    """With what they have started, also in a session of its own, and with their files."""
    command = [sys.executable, "-c", FROZEN.format(scratch=str(tmp_path))]
    with running(command, stderr=subprocess.PIPE) as driver:
        assert driver.stderr is not None
        said = [driver.stderr.readline().split()[-2:] for _ in range(2)]
        pids = [int(number) for pair in said for number in pair]
        time.sleep(0.3)  # so that most likely they are frozen by now; if not, they end all the same
        driver.kill()
    until(lambda: not any(map(exists, pids)))
    until(lambda: not list(tmp_path.iterdir()))


def test_a_worker_that_cannot_begin_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    class Loader:
        def __reduce__(self) -> tuple[Any, ...]:
            return int, ("not a loader",)

        def __call__(self, chunk: str) -> None: ...

    engine = ProcessEngine(2, loader=Loader(), scratch=tmp_path)
    with pytest.raises(EngineError, match=r"(?s)node n\d cannot be started.*not a loader"):
        engine.start(lambda _event: None)
    assert not list(tmp_path.iterdir())


def test_the_pause_before_a_restart_grows_until_a_task_is_done() -> None:
    now = 0.0
    setup = Setup("n0", None, "", "", {}, 0, False, 1.0, None)
    place = WorkerSlot(Node("n0"), setup, 1.0, lambda: now)

    def pause() -> float:
        nonlocal now
        place.lost()
        lost = now
        while not place.due:
            now += 0.01
        return now - lost

    growing = [pause() for _ in range(10)]
    place.task_done()
    assert growing == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0], abs=0.02)
    assert pause() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(
    ("nodes", "racks", "words"),
    [
        (2, 5, "racks 5: give a mapping"),
        ({"a": 1}, None, "directory of node a: 1: give a string"),
        (0, None, "give at least one"),
        (["a", "a"], None, "a unique name"),
        (["a", ""], None, "a unique name"),
        ({"a": "/nowhere/at/all"}, None, "a: there is no directory '/nowhere/at/all'"),
        (["a"], {"b": "r0"}, "no node 'b'; the nodes are a"),
    ],
)
def test_nodes_that_cannot_be_are_refused(nodes: Any, racks: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ProcessEngine(nodes, racks=racks)


def test_options_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="everywhere: not possible with directories of nodes"):
        ProcessEngine({"a": tmp_path}, everywhere=True)
    with pytest.raises(UsageError, match="loader: it cannot be pickled"):
        ProcessEngine(1, loader={threading.Lock(): 0}.get)
    with pytest.raises(
        EngineError, match=r"scratch: no directory can be created there.*set TMPDIR"
    ):
        ProcessEngine(1, scratch=tmp_path / "nowhere").start(lambda _event: None)


def test_racks_are_told() -> None:
    with started(["a", "b"], racks={"b": "r1"}) as rig:
        assert rig.nodes == [Node("a", None), Node("b", "r1")]
        with pytest.raises(EngineError, match="no node 'c'; the nodes are a, b"):
            rig.run("c", abs, 1)
        with pytest.raises(EngineError, match="started once"):
            rig.engine.start(lambda _event: None)


def test_a_worker_carries_nothing_heavy() -> None:
    def heavy() -> list[str]:
        return [name for name in ("numba", "numpy", "scipy", "pydantic") if name in sys.modules]

    with started(1) as rig:
        assert rig.value(rig.run("n0", heavy)) == []


def test_no_lost_node_is_heard_of_at_close() -> None:
    with started(2) as rig:
        rig.engine.close()
        assert not [event for event in rig.drain() if isinstance(event, NodeLost)]


def test_a_long_temporary_directory_is_no_hindrance(tmp_path: Path) -> None:
    """A path of a socket has no more than some hundred bytes; chunks go through sockets."""
    deep = tmp_path / ("x" * 90)
    deep.mkdir()
    before = set(Path("/tmp").glob("isocline-*"))
    with started(2, loader=str.upper, scratch=deep) as rig:
        assert rig.value(rig.run("n1", str.lower, chunk="c", holders=("n0",))) == "c"
        (sockets,) = set(Path("/tmp").glob("isocline-*/1")) - {path / "1" for path in before}
        first = rig.value(rig.run("n1", os.getpid))
        os.kill(first, signal.SIGKILL)
        rig.up("n1")  # at the same path again
        assert rig.value(rig.run("n0", str.lower, chunk="d", holders=("n1",))) == "d"
    assert not list(deep.iterdir())
    assert not sockets.parent.exists()


def test_where_no_short_directory_can_be_made_the_remedy_is_said(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"set TMPDIR \(or scratch=\) to a path of less"):
        short_directory([str(tmp_path / "nowhere")])


def test_workers_share_the_cores_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    share = str(max(usable_cores() // 2, 1))

    def told() -> list[str | None]:
        return [os.environ.get(f"{name}_NUM_THREADS") for name in ("OMP", "OPENBLAS", "MKL")]

    with started(2) as rig:
        assert rig.value(rig.run("n0", told)) == [share, share, "7"]
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.parametrize(("workers", "threads"), [(1, "16"), (3, "5"), (16, "1"), (40, "1")])
def test_each_worker_has_its_share_and_at_least_one_thread(workers: int, threads: str) -> None:
    assert set(thread_variables(workers, 16, {}).values()) == {threads}


def test_cores_are_those_of_the_container(tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    free = usable_cores(quota)  # there is no such file
    for text, cores in (("max 100000\n", free), ("50000 100000\n", 1), ("99900000 100000\n", free)):
        quota.write_text(text)
        assert usable_cores(quota) == cores


def test_tasks_may_depend_on_one_another() -> None:
    check_dependent_tasks(ProcessEngine(2, loader=load, everywhere=True))
