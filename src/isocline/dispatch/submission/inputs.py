"""Inputs of a scheduler's tasks: futures and broadcasts found among arguments."""

import weakref
from collections.abc import Callable, Iterator
from functools import cache
from threading import Lock
from typing import Any, TypeVar, final

from isocline.dispatch import pickling
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.inputs import Broadcast, Input
from isocline.dispatch.submission.fingerprint import walked
from isocline.dispatch.user_code_guard import Caught, guarded, words
from isocline.errors import UsageError

T = TypeVar("T")


@final
class Inputs:
    """Maker of inputs, safe for several threads."""

    def __init__(
        self, release: Callable[[int], object], numbers: Iterator[int] | None = None
    ) -> None:
        """Initialise; `release` is called with the number of an input that nothing uses any more.

        It is called in any thread, at any time, and must only queue the number. `numbers` are those
        of new inputs; None: as in this process.
        """
        self._release = release
        self._numbers = numbers
        self._lock = Lock()

    def broadcast(self, value: T) -> Broadcast[T]:
        """Make a handle to an object; raises UsageError if it cannot be pickled."""
        data = guarded(pickling.dumps, value)
        if isinstance(data, Caught):
            raise UsageError(
                f"broadcast: the {type(value).__qualname__} cannot be pickled "
                f"({words(data.error)}); open files, locks and connections in the tasks"
            ) from data.error
        return Broadcast(value, self.new(data, shared=True), self, cache(lambda: walked(value)))

    def of(self, future: TaskFuture[Any]) -> Input:
        """Return the input that is a future's result."""
        with self._lock:
            if future.input is None:
                future.input = self.new()
            return future.input

    def new(
        self, data: bytes | None = None, *, shared: bool = False, number: int | None = None
    ) -> Input:
        """Make an input, of the next number by default."""
        if number is None and self._numbers is not None:
            number = next(self._numbers)
        given = Input(data, shared=shared, number=number)
        weakref.finalize(given, self._release, given.number).atexit = False
        return given

    def collector(self) -> "Collector":
        """Make a collector for the arguments of one task."""
        return Collector(self)


def fill_input(future: TaskFuture[Any]) -> BaseException | None:
    """Pickle a finished future's result for its input, unless the ledger has; returns an error."""
    if future.input is None or future.input.data is not None:
        return None
    value = future.result()
    data = value if future.packed else guarded(pickling.dumps, value)
    if isinstance(data, Caught):
        return data.error
    future.input.data = data
    return None


@final
class Collector:
    """Collector of the inputs to which the arguments of a task refer.

    Attributes:
        found: Inputs by number, in order.
        futures: Futures among them.
    """

    def __init__(self, inputs: Inputs) -> None:
        self.found: dict[int, Input] = {}
        self.futures: dict[int, TaskFuture[Any]] = {}
        self._inputs = inputs

    def refer(self, part: object) -> int | None:
        """Return the number of an input that a part of the arguments stands for; None: none.

        Raises:
            UsageError: It is of another scheduler.
        """
        kind = type(part)
        if kind is not TaskFuture and kind is not Broadcast:
            return None
        assert isinstance(part, TaskFuture | Broadcast)
        if part.owner is not self._inputs:
            raise UsageError(
                f"submit: the argument {part!r} is of another scheduler; give its "
                f"{'result()' if isinstance(part, TaskFuture) else 'value'}"
            )
        given = self._inputs.of(part) if isinstance(part, TaskFuture) else part.input
        self.found[given.number] = given
        if isinstance(part, TaskFuture):
            self.futures[given.number] = part
        return given.number
