"""What the fault suite needs of an engine, and how faults are made."""

import math
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle

from isocline.dispatch.engines.base import Engine
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.rules import Rules
from isocline.dispatch.scheduler import Scheduler
from isocline.dispatch.telemetry.records import Outcome
from tests.running import running

cloudpickle.register_pickle_by_value(sys.modules[__name__])

TASKS = int(os.environ.get("ISOCLINE_FAULT_TASKS", "300"))  # of the run with random kills
KILL_EVERY = 75  # tasks
ROOT = Path(__file__).parents[3]

Loader = Callable[[str], object]


class Stage(NamedTuple):
    """One kind of engine.

    Attributes:
        engine: Makes one with a loader that reads every chunk at every node.
        names: The nodes that are up, in the order in which chunks are dealt out to them.
        program: Source that defines `engine`, of the same kind, for a driver of its own.
    """

    engine: Callable[[Loader], Engine]
    names: Callable[[], list[str]]
    program: str

    @contextmanager
    def scheduler(self, loader: Loader = str, **options: Any) -> Iterator[Scheduler]:
        """Two replicas of each chunk, whose names are numbers."""
        names = self.names()

        def holders(chunk: str) -> list[str]:
            return [names[(int(chunk) + i) % len(names)] for i in range(min(2, len(names)))]

        with Scheduler(self.engine(loader), "late_binding", holders, **options) as live:
            yield live


class Heard:
    """Results as they come; exactly one to each task."""

    def __init__(self) -> None:
        self.times: Counter[str] = Counter()

    def listen(self, future: TaskFuture[Any]) -> TaskFuture[Any]:
        future.add_done_callback(lambda done: self.times.update([getattr(done, "key", "")]))
        return future

    def wait(self, count: int) -> None:
        """Until so many futures have been heard of: callbacks come a little later than results."""
        end = time.monotonic() + 60.0  # s
        while len(self.times) < count:
            assert time.monotonic() < end, f"only {len(self.times)} of {count} were heard of"
            time.sleep(0.001)


def square(chunk: str) -> tuple[int, int]:
    """The task of most tests; and the process that ran it."""
    time.sleep(0.003)
    return int(chunk) ** 2, os.getpid()


class Killer:
    """Kills the worker that has just given a result, after so many of them as it draws.

    Never the last one: who starts Dask's workers again gives up when they die too fast.
    """

    def __init__(self, tasks: int, seed: int) -> None:
        self.killed: set[int] = set()
        draw = random.Random(seed)
        self._at = set(draw.sample(range(10, tasks), max(1, tasks // KILL_EVERY)))
        self._results = self._due = 0

    def see(self, pid: int, live: Scheduler) -> None:
        self._results += 1
        self._due += self._results in self._at
        if self._due and pid not in self.killed and live.statistics().nodes > 1:
            self._due -= 1
            self.killed.add(pid)
            with suppress(ProcessLookupError):  # it ended otherwise
                os.kill(pid, signal.SIGKILL)


def survives(live: Scheduler, killer: Killer, tasks: int, folder: Path) -> None:
    """Have `tasks` squares made while workers die; every one is right, and comes once.

    One more task waits to be killed, so that at least one is lost: of the others it may be that
    each worker has done all that it was given when it is killed.
    """
    heard = Heard()
    found: dict[str, int] = {}
    note = folder / "held"
    held = live.submit(held_once, "0", str(note), key="held")
    futures = [heard.listen(live.submit(square, str(i), key=str(i))) for i in range(tasks)]
    while not note.exists():
        time.sleep(0.01)
    os.kill(int(note.read_text()), signal.SIGKILL)
    for future in as_completed(futures):
        assert isinstance(future, TaskFuture)
        value, pid = future.result()
        found[future.key] = value
        killer.see(pid, live)
    assert held.result() == "0"
    assert found == {str(i): i * i for i in range(tasks)}
    heard.wait(tasks)
    assert set(heard.times.values()) == {1}
    finished = Counter(ran.key for ran in live.records if ran.outcome is Outcome.FINISHED)
    assert finished == dict.fromkeys([*found, "held"], 1)


def held_once(chunk: str, note: str) -> str:
    """Note the process and stand still, until it is killed; at the second time return the chunk."""
    if not Path(note).exists():
        draft = Path(f"{note}.draft")
        draft.write_text(str(os.getpid()))
        draft.replace(note)
        time.sleep(3600.0)
    return chunk


# No task is copied to another worker because it takes long, which it may for any reason.
PATIENT = Rules(most_killed=10, holder_grace=20.0, straggler=math.inf)

DRIVER = """
import os, resource, sys, time
from isocline.dispatch.errors import JournalError
from isocline.dispatch.scheduler import Scheduler
{engine}

def work(chunk, last, gate):
    time.sleep(0.005)
    while chunk == last and not os.path.exists(gate):
        time.sleep(0.01)
    return int(chunk) ** 2, "a result that fills a disk " * 100

journal, count, room, gate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
log = journal + "-wal"
try:
    with Scheduler(engine, locations=lambda c: [], everywhere=True, journal=journal,
                   resume=True) as live:
        done = 0
        for value, _ in live.map(work, map(str, range(count)), str(count - 1), gate):
            if room and done > 1000:
                while b"finished" not in open(log, "rb").read():
                    time.sleep(0.01)
                hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
                resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(log) + room, hard))
                room = 0
            done += value
            print(value, flush=True)
        print("total", done, live.statistics().resumed, flush=True)
except JournalError as error:
    print("journal", error, flush=True)
"""


class Drive(NamedTuple):
    """What a driver of its own said."""

    total: int | None  # None: it was killed before
    resumed: int  # tasks
    journal: str  # what went wrong with it


def drive(stage: Stage, journal: Path, count: int, kill_after: int = 0, room: int = 0) -> Drive:
    """Run a driver to its end, or kill it after so many results and when some are in its journal.

    The last task of one that is to be killed does not end, and so it is killed before its end. With
    `room` the disk becomes full: once some results are in the journal, a file may have so many
    bytes more.
    """
    gate = journal.with_name("gate")
    if not kill_after:
        gate.touch()
    program = DRIVER.format(engine=stage.program)
    command = [sys.executable, "-c", program, str(journal), str(count), str(room), str(gate)]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "cwd": ROOT}
    with running(command, **quiet) as process:
        assert process.stdout is not None
        total, resumed, words = None, 0, ""
        for i, line in enumerate(process.stdout, 1):
            if line.startswith("total"):
                total, resumed = map(int, line.split()[1:])
            elif line.startswith("journal"):
                words = line
            elif i == kill_after:
                while b"finished" not in journal.with_name(f"{journal.name}-wal").read_bytes():
                    time.sleep(0.01)
                process.kill()
        process.wait()
    assert process.returncode == (-signal.SIGKILL if kill_after else 0)
    return Drive(total, resumed, words)


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """No file of this process may have more than so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
