"""Parts common to engines on top of another engine: functions that are sent once."""

import pickle
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import final

from isocline.dispatch.engines.common import calls

Loader = Callable[[str], object]
_FUNCTIONS = 256  # kept


@final
class Numbers:
    """At the scheduler: a number for each function, so that its code need not go with each task."""

    def __init__(self) -> None:
        self._numbers: OrderedDict[bytes, int] = OrderedDict()
        self._used: Counter[int] = Counter()  # attempts there with this function
        self._last = 0

    def take(self, code: bytes) -> int:
        """The number of a function, for one attempt more."""
        number = self._numbers.get(code)
        if number is None:
            self._last = number = self._last + 1
            self._numbers[code] = number
        else:
            self._numbers.move_to_end(code)
        self._used[number] += 1
        return number

    def give(self, number: int) -> None:
        """An attempt with this function has ended."""
        self._used[number] -= 1
        if not self._used[number]:
            del self._used[number]

    def forgotten(self) -> int | None:
        """A function that is not used and would be one too many; its number is not used again."""
        if len(self._numbers) <= _FUNCTIONS:
            return None
        for code, number in self._numbers.items():
            if number not in self._used:
                del self._numbers[code]
                return number
        return None


@final
class Functions:
    """At a node: the functions it was sent."""

    def __init__(self) -> None:
        self._codes: dict[int, bytes] = {}
        self._functions: dict[int, calls.Function] = {}

    def learn(self, number: int, code: bytes) -> None:
        """A function, which is unpickled when a task calls it: what goes wrong is that task's."""
        self._codes[number] = code

    def forget(self, number: int) -> None:
        """No task to come calls it."""
        self._codes.pop(number, None)
        self._functions.pop(number, None)

    def get(self, number: int) -> calls.Function:
        """Raises whatever the unpickling raises."""
        function = self._functions.get(number)
        if function is None:
            function = self._functions[number] = pickle.loads(self._codes[number])
        return function
