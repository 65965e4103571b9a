"""Event loop: the one thread that owns core and engine, and the queue by which others reach it.

Events of the engine and calls of users go through one queue and are handled in batches; time is
`time.monotonic()`. Submissions never wait for the loop, and the loop never waits for callers.
"""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar, final

from isocline.dispatch.coordinator.coordinator import Coordinator
from isocline.dispatch.engines.base import Engine, Event
from isocline.dispatch.errors import EngineError
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.submission.task import Task
from isocline.dispatch.user_code_guard import words
from isocline.errors import UsageError

T = TypeVar("T")

_BATCH = 256  # events, about 10 ms, between two checks of deadlines


class Cancelled(NamedTuple):
    """Cancellation of a task by its caller."""

    number: int


class InputEnded(NamedTuple):
    """End of a task whose result is an input of another."""

    number: int  # of the other one
    future: TaskFuture[Any]  # of the ended one


class Released(NamedTuple):
    """Input that nothing uses any more."""

    number: int


class Stop(NamedTuple):
    """Request to end, when no task is left or earlier."""

    grace: float | None  # s for running tasks while no more are started; None: until all tasks end


class Call(NamedTuple):
    """Function to call in the loop's thread."""

    function: Callable[[], Any]
    answer: Future[Any]


Command = Task | Cancelled | InputEnded | Released | Stop | Call
Begin = Callable[[Callable[[Event], None]], Coordinator]
"""Starts the engine, which emits its events by the argument."""


@final
class EventLoop:
    """Loop that runs until it is stopped or fails.

    Attributes:
        failure: Exception that ended the loop prematurely.
    """

    def __init__(
        self, begin: Begin, engine: Engine, refuse: Callable[[Task, BaseException | None], None]
    ) -> None:
        """Start the thread, and the engine in it.

        Args:
            begin: Starts the engine; its exceptions are raised here.
            engine: Engine, which is always closed at the end.
            refuse: Called with a task submitted after the end, and the loop's failure.
        """
        self.failure: Exception | None = None
        self._engine = engine
        self._refuse = refuse
        self._queue: SimpleQueue[Command | Event] = SimpleQueue()
        self._over = False
        self._stopping = False  # whether to end when no task is left
        self._ended = threading.Event()
        self._deadline = math.inf  # for running tasks, once no more are started
        self._begun: Future[Coordinator] = Future()
        self._thread = threading.Thread(
            target=self._main, args=(begin,), name="isocline-driver", daemon=True
        )
        self._thread.start()
        try:
            self.coordinator = self._begun.result()
        except BaseException:
            self.put(Stop(0.0))  # Ctrl-C during the start
            raise

    def put(self, item: Command | Event) -> None:
        """Put an item into the queue; returns at once, in any thread."""
        self._queue.put(item)
        if self._over:  # the loop may have emptied its queue for the last time
            self._refuse_rest()

    def released(self, number: int) -> None:
        """Note that nothing uses an input any more; may be called while garbage is collected."""
        self._queue.put(Released(number))

    def call(self, function: Callable[[], T]) -> T:
        """Call `function` in the loop's thread, or in this one if that has ended."""
        if threading.current_thread() is self._thread:
            return function()
        return self.later(function).result()

    def later(self, function: Callable[[], T]) -> Future[T]:
        """Call `function` like `call`, without waiting for it."""
        answer: Future[T] = Future()
        self.put(Call(function, answer))
        return answer

    @property
    def over(self) -> bool:
        """Whether the loop accepts no more tasks."""
        return self._over

    def wait(self) -> None:
        """Wait until the loop has ended; raises UsageError in the loop's own thread."""
        self.require_other_thread("close")
        self._ended.wait()

    def require_other_thread(self, what: str) -> None:
        """Raise UsageError if called in the loop's own thread, which would wait for itself."""
        if threading.current_thread() is self._thread:
            raise UsageError(
                f"{what}: waits for the scheduler in the scheduler's own thread, which unpickles "
                "results; wait in a callback or in another thread"
            )

    def _main(self, begin: Begin) -> None:
        try:
            coordinator = begin(self._queue.put)
        except BaseException as error:
            self._over = True
            self._engine.close()
            self._begun.set_exception(error)
            return
        self._begun.set_result(coordinator)
        try:
            self._work(coordinator)
        except BaseException as error:  # of any kind, as no caller may wait forever
            self.failure = _failure(error)
        finally:
            self._end(coordinator)

    def _work(self, coordinator: Coordinator) -> None:
        while coordinator.unfinished or not self._stopping:
            now = time.monotonic()
            due = min(coordinator.next_deadline(now), self._deadline)
            self._batch(coordinator, due - now)
            now = time.monotonic()
            if coordinator.next_deadline(now) <= now:
                coordinator.tick(now)
            if self._deadline <= now:
                coordinator.stop_running(now)

    def _batch(self, coordinator: Coordinator, patience: float) -> None:
        """Wait up to `patience` s for an item, and handle all in the queue, up to a limit."""
        with suppress(Empty):
            event = self._queue.get(timeout=min(max(patience, 0.0), threading.TIMEOUT_MAX))
            for _ in range(_BATCH):
                self._handle(coordinator, event, time.monotonic())
                event = self._queue.get_nowait()
            self._handle(coordinator, event, time.monotonic())

    def _handle(self, coordinator: Coordinator, event: Command | Event, now: float) -> None:
        match event:
            case Task():
                coordinator.submitted(event, now)
            case Cancelled():
                coordinator.cancelled(event.number, now)
            case InputEnded():
                coordinator.input_ended(event.number, event.future, now)
            case Released():
                self._engine.release(event.number)
            case Stop():
                self._stop(coordinator, event.grace, now)
            case Call():
                _call(event)
            case _:
                coordinator.on_engine_event(event, now)

    def _stop(self, coordinator: Coordinator, grace: float | None, now: float) -> None:
        self._stopping = True
        if grace is not None:
            coordinator.stop(now)
            self._deadline = min(self._deadline, now + grace)

    def _end(self, coordinator: Coordinator) -> None:
        for task in (*coordinator.tasks.values(), *coordinator.blocked.values()):
            self._refuse(task, self.failure)
        self._over = True
        self._refuse_rest()
        try:
            self._engine.close()
        except BaseException as error:
            self.failure = self.failure or _failure(error)
        self._ended.set()

    def _refuse_rest(self) -> None:
        """End everything still in the queue; several threads may do so at a time."""
        with suppress(Empty):
            while True:
                event = self._queue.get_nowait()
                if isinstance(event, Task):
                    self._refuse(event, self.failure)
                elif isinstance(event, Call):
                    _call(event)


def _failure(error: BaseException) -> Exception:
    """Wrap the exception that ended the loop in one that is safe to raise elsewhere."""
    if isinstance(error, Exception):
        return error
    failure = EngineError(f"the scheduler failed: {words(error)}")
    failure.__cause__ = error
    return failure


def _call(call: Call) -> None:
    try:
        call.answer.set_result(call.function())
    except BaseException as error:
        call.answer.set_exception(error)
