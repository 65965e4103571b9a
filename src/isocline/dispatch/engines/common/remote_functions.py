"""Functions sent to a node once, for the engines on Ray and Dask."""

import pickle
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, final

from isocline.dispatch.engines.common import calls

Loader = Callable[[Any], object]
_FUNCTIONS = 256  # unused functions kept at a node


@final
class Numbers:
    """Scheduler side: numbers for functions, so that the code is not sent with each task."""

    def __init__(self) -> None:
        self._numbers: OrderedDict[bytes, int] = OrderedDict()
        self._used: Counter[int] = Counter()  # function -> number of its attempts at the node
        self._last = 0

    def take(self, code: bytes) -> int:
        """Return the number of a function for another attempt."""
        number = self._numbers.get(code)
        if number is None:
            self._last = number = self._last + 1
            self._numbers[code] = number
        else:
            self._numbers.move_to_end(code)
        self._used[number] += 1
        return number

    def give(self, number: int) -> None:
        """Release a function after an attempt."""
        self._used[number] -= 1
        if not self._used[number]:
            del self._used[number]

    def forgotten(self) -> int | None:
        """Return an unused function to drop, if there are too many; its number is not reused."""
        if len(self._numbers) <= _FUNCTIONS:
            return None
        for code, number in self._numbers.items():
            if number not in self._used:
                del self._numbers[code]
                return number
        return None


@final
class Functions:
    """Node side: functions by number."""

    def __init__(self) -> None:
        self._codes: dict[int, bytes] = {}
        self._functions: dict[int, calls.Function] = {}

    def learn(self, number: int, code: bytes) -> None:
        """Store a function; it is unpickled when a task calls it, so that errors are the task's."""
        self._codes[number] = code

    def forget(self, number: int) -> None:
        """Remove a function that no later task calls."""
        self._codes.pop(number, None)
        self._functions.pop(number, None)

    def get(self, number: int) -> calls.Function:
        """Return a function; raises any exception of its unpickling."""
        function = self._functions.get(number)
        if function is None:
            function = self._functions[number] = pickle.loads(self._codes[number])
        return function
