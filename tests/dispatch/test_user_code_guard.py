"""Users' code that runs in the driver's process: what it raises is its task's and no one else's."""

import asyncio
import concurrent.futures
import dataclasses
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from isocline.dispatch.engines.base import WorkItem
from isocline.dispatch.engines.fake import FakeEngine, Fault
from isocline.dispatch.errors import ExitError, RemoteTracebackError, UnreadableError
from isocline.dispatch.scheduler import Scheduler
from isocline.dispatch.user_code_guard import Caught, guarded, shown, words
from isocline.errors import UsageError

cloudpickle.register_pickle_by_value(sys.modules[__name__])

SOON = 60.0  # s: nothing takes so long unless it hangs


def live(locations: Any = None, **options: Any) -> Scheduler:
    def hangs(_node: str, work: WorkItem) -> Fault | None:
        return Fault.HANG if work.key == "hangs" else None

    return Scheduler(FakeEngine(2, fault=hangs, speed=math.inf), locations=locations, **options)


def raises(error: BaseException) -> None:
    raise error


class Made:
    """Pickled here, and made anew by the driver, which runs `what`."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __reduce__(self) -> Any:
        return exec, (self.what,)


@dataclasses.dataclass(frozen=True)
class FrozenError(Exception):
    code: int

    def __reduce__(self) -> Any:
        return FrozenError, (self.code,)  # else it could not even be unpickled


class WordlessError(Exception):
    def __str__(self) -> str:
        raise SystemExit(0)


STEERING: list[BaseException] = [
    SystemExit(0),
    KeyboardInterrupt(),
    GeneratorExit(),
    StopIteration(1),
    StopAsyncIteration(),
    asyncio.CancelledError(),
    concurrent.futures.CancelledError(),
    BaseExceptionGroup("several", [SystemExit(0)]),
]


@pytest.mark.parametrize("error", STEERING, ids=lambda error: type(error).__name__)
def test_what_would_end_the_caller_is_the_tasks_failure(error: BaseException) -> None:
    with live() as scheduler:
        futures = [scheduler.submit(abs, None, i) for i in range(10)]
        odd = scheduler.submit(raises, None, error, key="odd")
        futures += [scheduler.submit(abs, None, i) for i in range(10)]
        found = odd.exception(SOON)
        assert isinstance(found, ExitError)
        assert f"task 'odd': raised {type(error).__name__}" in str(found)
        assert isinstance(found.__cause__, RemoteTracebackError)
        assert [future.result(SOON) for future in futures] == [*range(10), *range(10)]
    assert scheduler.statistics().failed == 1


@pytest.mark.parametrize("error", STEERING, ids=lambda error: type(error).__name__)
def test_an_awaited_task_fails_as_one_that_is_waited_for(error: BaseException) -> None:
    async def wait(scheduler: Scheduler) -> None:
        with pytest.raises(ExitError):
            await asyncio.wait_for(_awaited(scheduler.submit(raises, None, error)), SOON)

    with live() as scheduler:
        asyncio.run(wait(scheduler))


async def _awaited(future: Any) -> Any:
    return await future


def test_an_exception_that_lets_nothing_be_set_is_still_itself() -> None:
    with live() as scheduler:
        found = scheduler.submit(raises, None, FrozenError(7), key="cold").exception(SOON)
        assert found == FrozenError(7)
        assert isinstance(found.__cause__, RemoteTracebackError)
        assert "task 'cold' at node" in found.__notes__[0]
        assert scheduler.submit(abs, None, -1).result(SOON) == 1


@pytest.mark.parametrize("what", ["raise SystemExit(0)", "raise KeyboardInterrupt", "1 / 0"])
def test_a_result_that_cannot_be_unpickled_fails_its_task_alone(what: str) -> None:
    with live() as scheduler:
        odd = scheduler.submit(Made, None, what, key="odd")
        assert isinstance(odd.exception(SOON), UnreadableError)
        assert scheduler.submit(abs, None, -1).result(SOON) == 1


def test_an_exception_without_words_is_written_down_without_them(tmp_path: Path) -> None:
    with live(journal=tmp_path / "run.db") as scheduler:
        odd = scheduler.submit(raises, None, WordlessError())
        assert isinstance(odd.exception(SOON), WordlessError)
        assert scheduler.submit(abs, None, -1).result(SOON) == 1


def test_an_exception_that_is_pickled_with_an_exit_is_named(tmp_path: Path) -> None:
    class ExitsError(Exception):
        def __reduce__(self) -> Any:
            raise SystemExit(0)

    def fails() -> None:
        raise ExitsError("its words")

    with Scheduler(nodes=1, journal=tmp_path / "run.db") as scheduler:
        assert "ExitsError: its words" in str(scheduler.submit(fails).exception(SOON))
        assert scheduler.statistics().attempts["lost"] == 0


class Moody:
    """What can be unpickled in the first run alone."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> Any:
        return eval, (f"__import__('pathlib').Path({str(self.flag)!r}).unlink() or 'first'",)


def moody(flag: Path) -> Any:
    return Moody(flag) if flag.exists() else "second"


def test_a_kept_result_that_cannot_be_unpickled_is_run_again(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    for result, resumed in (("first", 0), ("second", 0), ("second", 1)):
        with live(journal=tmp_path / "run.db", resume=True) as scheduler:
            assert scheduler.submit(moody, None, flag, key="moody").result(SOON) == result
        assert scheduler.statistics().resumed == resumed


@pytest.mark.parametrize("in_order", [True, False])
def test_chunks_that_raise_leave_no_task_behind(in_order: bool) -> None:
    def chunks() -> Iterator[str]:
        yield from "ab"
        raise KeyError("c")

    locations = {key: ["n0"] for key in "ab"}
    engine = FakeEngine(2, fault=lambda _node, _work: Fault.HANG, speed=math.inf)
    with Scheduler(engine, locations=locations) as scheduler, pytest.raises(KeyError):
        next(scheduler.map(len, chunks(), in_order=in_order))
    assert scheduler.statistics().cancelled == 2


# Callbacks


def test_a_callback_that_exits_ends_nothing() -> None:
    called = threading.Event()
    with live() as scheduler:
        first = scheduler.submit(raises, None, ValueError(), key="hangs")
        first.add_done_callback(lambda _: sys.exit(0))
        first.add_done_callback(lambda _: called.set())
        first.cancel()
        assert called.wait(SOON)
        assert scheduler.submit(abs, None, -1).result(SOON) == 1


def test_a_callback_may_wait_for_other_tasks() -> None:
    found: list[Any] = []

    def follow(scheduler: Scheduler) -> None:
        found.append(scheduler.submit(abs, None, -2).result(SOON))
        found.extend(scheduler.map(len, ["abc", "d"], in_order=False))
        scheduler.close()
        found.append("closed")

    with live(locations={"abc": ["n0"], "d": ["n1"]}) as scheduler:
        first = scheduler.submit(abs, None, -1, key="hangs")
        first.add_done_callback(lambda _: follow(scheduler))
        first.cancel()
        while "closed" not in found:
            assert not scheduler.statistics().failed
    assert (found[0], sorted(found[1:3])) == (2, [1, 3])


def test_all_callbacks_have_been_called_when_the_block_ends() -> None:
    heard: list[str] = []
    with live() as scheduler:
        for i in range(200):
            future = scheduler.submit(abs, None, i, key=str(i))
            future.add_done_callback(lambda done: heard.append(done.key))  # type: ignore[attr-defined]
    assert sorted(heard, key=int) == [str(i) for i in range(200)]
    future.add_done_callback(lambda _: heard.append("late"))
    assert heard[-1] == "late"


def test_to_wait_while_a_result_is_unpickled_is_refused() -> None:
    with live() as scheduler:
        global waiting  # noqa: PLW0603 - the pickle finds it by this name
        waiting = scheduler.submit(abs, None, -1, key="hangs")
        what = f"import sys; sys.modules[{__name__!r}].waiting.result()"
        error = scheduler.submit(Made, None, what, key="odd").exception(SOON)
        assert "in the scheduler's own thread" in str(error)
        waiting.cancel()


waiting: Any = None


def test_a_future_that_its_caller_ends_ends_nothing_else() -> None:
    global waiting  # noqa: PLW0603 - the pickle finds it by this name
    waiting = threading.Event()
    with live() as scheduler:
        future = scheduler.submit(
            eval, None, f"__import__('sys').modules[{__name__!r}].waiting.wait()"
        )
        future.set_result(5)
        waiting.set()
        assert scheduler.submit(abs, None, -1).result(SOON) == 1
    assert future.result() == 5


# What callers give


class Unpicklable:
    def __reduce__(self) -> Any:
        sys.exit(0)

    def __repr__(self) -> str:
        sys.exit(0)


@pytest.mark.parametrize(
    ("submit", "message"),
    [
        (lambda live: live.submit(abs, None, Unpicklable()), "cannot be pickled.*SystemExit"),
        (lambda live: live.submit(Unpicklable()), "<Unpicklable, whose __repr__ raises"),
        (lambda live: live.submit(abs, Unpicklable()), "whose __repr__ raises SystemExit"),
        (lambda live: live.submit(abs, "exit"), "chunk 'exit' the function raises SystemExit"),
        (lambda live: live.submit(abs, "odd"), "for chunk 'odd', got"),
    ],
)
def test_what_cannot_be_used_is_a_clear_error(submit: Any, message: str) -> None:
    def locations(chunk: str) -> Any:
        return sys.exit(0) if chunk == "exit" else [Unpicklable()]

    with live(locations=locations) as scheduler, pytest.raises(UsageError, match=message):
        submit(scheduler)


def test_a_value_that_has_no_fingerprint_is_a_clear_error(tmp_path: Path) -> None:
    class Odd:
        times = 0

        def __reduce__(self) -> Any:
            self.times += 1
            return (abs, (-1,)) if self.times == 1 else sys.exit(0)

    with (
        live(journal=tmp_path / "run.db") as scheduler,
        pytest.raises(UsageError, match="SystemExit"),
    ):
        scheduler.submit(abs, None, Odd())


def test_names_with_methods_of_their_own_are_names_and_no_more() -> None:
    class Name(str):
        __slots__ = ()

        def __hash__(self) -> int:
            raise SystemExit(0)

        def __eq__(self, other: object) -> bool:
            raise SystemExit(0)

    with live(locations=lambda _: [Name("n1")]) as scheduler:
        future = scheduler.submit(len, Name("abc"), key=Name("key"))
        assert (future.result(SOON), future.node) == (3, "n1")


# Forks

FORKING = """
import os, sys
from isocline.dispatch.scheduler import Scheduler

def work(chunk):
    return int(chunk)

with Scheduler(nodes=2, locations=lambda _: ["n0", "n1"], journal=sys.argv[1]) as live:
    before = list(live.map(work, map(str, range(50))))
    hung = live.submit(sorted, None, [])
    child = os.fork()
    if child == 0:
        refused = 0
        for wrong in (lambda: live.submit(abs, None, 1), live.statistics, live.explain):
            try:
                wrong()
            except Exception as error:
                refused += "fork" in str(error)
        live.close()
        sys.exit(refused)
    _, status = os.waitpid(child, 0)
    after = list(live.map(work, map(str, range(50, 100))))
print(os.waitstatus_to_exitcode(status), sum(before + after), flush=True)
"""


def test_a_fork_of_the_driver_acts_not_as_its_parent(tmp_path: Path) -> None:
    journal = tmp_path / "run.db"
    done = subprocess.run(
        [sys.executable, "-c", FORKING, journal],
        capture_output=True,
        text=True,
        timeout=SOON,
        check=True,
    )
    assert done.stdout == f"3 {sum(range(100))}\n"
    with live(journal=journal, resume=True) as scheduler:
        assert scheduler.statistics().unwritten == 0


@pytest.mark.parametrize("engine", [None, "processes"])
@pytest.mark.parametrize("end", ["returns", "raises", "exits"])
def test_a_fork_of_a_task_ends_where_its_task_does(
    engine: str | None, end: str, tmp_path: Path
) -> None:
    def forks(note: Path) -> int:
        child = os.fork()
        if child == 0:
            note.write_text("a child was here")
            if end == "raises":
                raise ValueError("of the child")
            if end == "exits":
                sys.exit(1)
            return -1
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)

    with live() if engine is None else Scheduler(engine, nodes=1) as scheduler:
        note = tmp_path / "note"
        assert scheduler.submit(forks, None, note).result(SOON) == (end != "returns")
        assert note.read_text() == "a child was here"
        assert scheduler.submit(abs, None, -1).result(SOON) == 1
        assert scheduler.statistics().attempts["finished"] == 2


def test_a_fork_while_a_result_is_unpickled_ends_there() -> None:
    with live() as scheduler:
        odd = scheduler.submit(Made, None, "import os; os.fork() and os.wait()", key="odd")
        assert odd.result(SOON) is None
        assert scheduler.submit(abs, None, -1).result(SOON) == 1


# The guard itself


def test_ctrl_c_goes_through_in_the_main_thread_alone() -> None:
    def interrupted() -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        guarded(interrupted)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(guarded(raises, KeyboardInterrupt())))
    thread.start()
    thread.join()
    assert isinstance(found[0], Caught)


@pytest.mark.parametrize(
    ("say", "said"),
    [
        (lambda: words(ValueError("a")), "ValueError: a"),
        (lambda: words(ValueError()), "ValueError"),
        (lambda: words(ValueError("\udc80")), "ValueError: \\udc80"),
        (lambda: words(WordlessError()), "WordlessError (its __str__ raises SystemExit)"),
        (lambda: shown("a" * 1000), "'" + "a" * 199 + "..."),
        (lambda: shown(Unpicklable()), "<Unpicklable, whose __repr__ raises SystemExit>"),
    ],
)
def test_whatever_a_value_does_there_are_words_for_it(say: Callable[[], str], said: str) -> None:
    assert say() == said
