"""Commands' processes end with their task, also those in sessions of their own, however it ends."""

import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cloudpickle
import pytest

from isocline.dispatch.batch.command import Command, CommandError
from isocline.dispatch.engines.base import Stopped, TimedOut
from isocline.dispatch.engines.processes import ProcessEngine
from isocline.subprocesses.descendants import adopting, killed_at_exit
from tests.dispatch.rigs import SOON, Rig, exists, process_rig
from tests.running import running

cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs prctl(2)")


def escaping(note: Path, then: str) -> str:
    """A command that starts two processes which leave its group, and goes on when both run.

    Each writes its number into `note`: one in a session of its own, and a daemon, whose parents
    have ended and whose environment is empty.
    """
    quoted = shlex.quote(str(note))
    sleeps = shlex.quote(f"echo $$ >> {quoted}; exec sleep 600")
    daemon = shlex.quote(f"/bin/sh -c {sleeps} & exit")
    return (
        f"setsid /bin/sh -c {sleeps} & env -i setsid /bin/sh -c {daemon}; "
        f"until [ -e {quoted} ] && [ $(wc -l < {quoted}) = 2 ]; do sleep 0.01; done; "
        f": {{path}}; {then}"
    )


def both(note: Path) -> list[int]:
    """The numbers of the two, once they run."""
    until(lambda: note.exists() and len(note.read_text().splitlines()) == 2)
    return [int(line) for line in note.read_text().splitlines()]


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not what():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def ended(pids: list[int]) -> bool:
    return not any(map(exists, pids))


@contextmanager
def worker(**how: float) -> Iterator[Rig]:
    engine = ProcessEngine(1, **how)  # type: ignore[arg-type]
    try:
        yield process_rig(engine)
    finally:
        engine.close()


@pytest.mark.parametrize(("then", "fails"), [("echo done", False), ("exit 3", True)])
def test_when_the_command_ends_none_of_them_is_left(then: str, fails: bool, tmp_path: Path) -> None:
    note = tmp_path / "pids"
    command = Command(escaping(note, then))
    if fails:
        with pytest.raises(CommandError, match="exit status 3"):
            command("x")
    else:
        assert command("x") == "done"
    assert ended(both(note))


def test_what_was_started_before_lives_on(tmp_path: Path) -> None:
    with running(["sleep", "600"]) as other:
        Command(escaping(tmp_path / "pids", "true"))("x")
        assert other.poll() is None
    assert not adopting()


def test_what_cannot_be_waited_for_at_once_is_reaped(tmp_path: Path) -> None:
    """An exception ends the block in the midst of all that it has started."""
    started: list[subprocess.Popen[bytes]] = []

    def fail() -> None:
        started.extend(subprocess.Popen(["sleep", "600"]) for _ in range(3))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), killed_at_exit():
        fail()
    for process in started:
        with pytest.raises(ChildProcessError):  # it is no child any more
            os.waitpid(process.pid, os.WNOHANG)
        process.returncode = -signal.SIGKILL  # or `Popen` warns that it may still run


def test_a_task_over_its_limit_leaves_none(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    with worker() as rig:
        attempt = rig.run("n0", Command(escaping(note, "sleep 600")), "x", limit=2.0)
        assert isinstance(rig.end(attempt), TimedOut)
        assert not note.exists() or ended([int(pid) for pid in note.read_text().split()])


def test_a_task_that_is_cancelled_leaves_none(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    with worker() as rig:
        attempt = rig.run("n0", Command(escaping(note, "sleep 600")), "x")
        pids = both(note)
        rig.engine.cancel("n0", attempt)
        assert rig.end(attempt) == Stopped(attempt, "n0")
        assert ended(pids)
        assert rig.value(rig.run("n0", Command("echo {path}"), "y")) == "y"


def deaf(command: Command) -> None:
    """A command in a worker that no signal reaches, so that it has to be killed."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGALRM, signal.SIGTERM])
    command("x")


def test_a_worker_that_is_killed_as_it_does_not_stop_leaves_none(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    with worker(patience=0.2) as rig:
        attempt = rig.run("n0", deaf, Command(escaping(note, "sleep 600")))
        pids = both(note)
        rig.engine.cancel("n0", attempt)
        rig.lost("n0")
        assert ended(pids)


def test_an_engine_that_is_closed_leaves_none(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    with worker() as rig:
        rig.run("n0", Command(escaping(note, "sleep 600")), "x")
        pids = both(note)
    assert ended(pids)


def test_workers_whose_engine_is_killed_leave_none(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    script = textwrap.dedent(f"""
        import time, cloudpickle
        from isocline.dispatch.batch.command import Command
        from isocline.dispatch.engines.base import WorkItem
        from isocline.dispatch.engines.processes import ProcessEngine
        engine = ProcessEngine(1)
        engine.start(lambda event: None)
        command = Command({escaping(note, "sleep 600")!r})
        arguments = cloudpickle.dumps((("x",), {{}}))
        engine.run("n0", WorkItem(1, "k", cloudpickle.dumps(command), arguments))
        time.sleep(3600)
    """)
    with running([sys.executable, "-c", script]) as driver:
        pids = both(note)
        driver.kill()
    until(lambda: ended(pids))
