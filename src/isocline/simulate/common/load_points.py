"""Simulations at several loads: one after the other on threads here, all at once on an executor."""

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from threading import Lock
from typing import Any, TypeVar, final

from isocline.simulate.common.executor import (
    WINDOW,
    Progress,
    SharingExecutor,
    executor_in_force,
    replications_on,
)

T = TypeVar("T")
Simulate = Callable[[float, Progress], T]


def at_loads(
    loads: Sequence[float],
    simulate: Simulate[T],
    is_interrupted: Callable[[T], bool],
    progress: Progress,
) -> list[T]:
    """Simulate at each load, and stop all if one is interrupted.

    Raises:
        KeyboardInterrupt: Ctrl-C came before there was anything to report.
    """
    executor = executor_in_force()
    if executor is None:
        return _in_turn(loads, simulate, is_interrupted, progress)
    return _at_once(loads, simulate, is_interrupted, progress, executor)


def _in_turn(
    loads: Sequence[float],
    simulate: Simulate[T],
    is_interrupted: Callable[[T], bool],
    progress: Progress,
) -> list[T]:
    found: list[T] = []
    for load in loads:
        try:
            found.append(simulate(load, progress))
        except KeyboardInterrupt:
            if not found:
                raise
            break
        if is_interrupted(found[-1]):
            break
    return found


def _at_once(
    loads: Sequence[float],
    simulate: Simulate[T],
    is_interrupted: Callable[[T], bool],
    progress: Progress,
    executor: Executor,
) -> list[T]:
    """Simulate at all loads at the same time, each from a thread that waits for its results."""
    stoppable, total = _Stoppable(executor), _Total(progress, len(loads))

    def ended(future: "Future[T]") -> None:
        if future.exception() is not None or is_interrupted(future.result()):
            stoppable.stop()

    with replications_on(stoppable), ThreadPoolExecutor(len(loads)) as pool:
        futures = [
            pool.submit(copy_context().run, simulate, load, total.part(number))
            for number, load in enumerate(loads)
        ]
        for future in futures:
            future.add_done_callback(ended)
        try:
            wait(futures)
        except KeyboardInterrupt:
            stoppable.stop()
    errors = [error for future in futures if (error := future.exception()) is not None]
    found = [future.result() for future in futures if future.exception() is None]
    grave = next((error for error in errors if not isinstance(error, KeyboardInterrupt)), None)
    if grave is not None:
        raise grave
    if not found:
        raise KeyboardInterrupt
    return found


@final
class _Stoppable(Executor):
    """Executor whose calls can all be cancelled, those to come included."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._lock = Lock()  # guards all that follows
        self._stopped = False
        self._flying: set[Future[Any]] = set()

    @property
    def window(self) -> int:
        return self._executor.window if isinstance(self._executor, SharingExecutor) else WINDOW

    def share(self, value: Any) -> Any:
        return self._executor.share(value) if isinstance(self._executor, SharingExecutor) else value

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        with self._lock:
            if self._stopped:
                raise CancelledError
            future = self._executor.submit(fn, *args, **kwargs)
            self._flying.add(future)
        future.add_done_callback(self._flying.discard)
        return future

    def stop(self) -> None:
        """Cancel all calls."""
        with self._lock:
            self._stopped = True
            flying = tuple(self._flying)
        for future in flying:
            future.cancel()


@final
class _Total:
    """Progress of all loads together."""

    def __init__(self, progress: Progress, loads: int) -> None:
        self._progress = progress
        self._lock = Lock()
        self._parts = [(0, 0)] * loads

    def part(self, number: int) -> Progress:
        """Progress of one load."""

        def note(done: int, total: int) -> None:
            with self._lock:
                self._parts[number] = done, total
                dones, totals = zip(*self._parts, strict=True)
                self._progress(sum(dones), sum(totals))

        return note
