"""Payload of a task: its function and arguments as bytes for a worker."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, final

from isocline.dispatch import pickling
from isocline.dispatch.pickling import Refer
from isocline.dispatch.shared_bytes import LARGE, SharedBytes
from isocline.dispatch.submission.fingerprint import Walked, walked
from isocline.dispatch.user_code_guard import Caught, guarded, shown, words
from isocline.errors import UsageError

_KEPT = 128  # cached functions, and walks through large pickles
_NO_ARGUMENTS: bytes = pickling.dumps(((), {}))


class Function(NamedTuple):
    """Pickled function."""

    original: Callable[..., Any]  # kept, so that its id stays unique
    name: str
    number: int  # common to all functions of the name, whose service times are measured together
    pickled: bytes


@final
class Payloads:
    """Pickler of functions and arguments.

    A function is pickled at its first use, with the values of its closure at that time. A bound
    method is a new object at each lookup, and so are a lambda and a partial in a loop: these are
    pickled each time, as their data may have changed, but equal pickles share memory.
    """

    def __init__(self) -> None:
        self._functions: OrderedDict[int, Function] = OrderedDict()
        self._numbers: dict[str, int] = {}
        self._shared = SharedBytes()
        self._walks: OrderedDict[bytes, Walked] = OrderedDict()  # by pickle

    def function(self, original: Callable[..., Any]) -> Function:
        """Return the pickled function; raises UsageError if it cannot be called or pickled."""
        found = self._functions.get(id(original))
        if found is not None:
            return found
        if not callable(original):
            raise UsageError(
                f"submit: {shown(original)} is not a function; give a function, then the chunk"
            )
        name = name_of(original)
        found = self._function(original, name, _pickled(original, name))
        if len(self._functions) >= _KEPT:
            self._functions.popitem(last=False)
        self._functions[id(original)] = found
        return found

    def packed(self, name: str, pickled: bytes) -> Function:
        """Return a function that another process has pickled."""
        return self._function(_elsewhere, name, pickled)

    def _function(self, original: Callable[..., Any], name: str, pickled: bytes) -> Function:
        number = self._numbers.setdefault(name, len(self._numbers))
        return Function(original, name, number, self._shared.one(pickled))

    def arguments(
        self,
        name: str,
        arguments: Sequence[Any],
        named: Mapping[str, Any],
        refer: Refer | None = None,
    ) -> bytes:
        """Pickle (args, kwargs), with references to inputs.

        Raises:
            UsageError: This is impossible, or `refer` raises it.
        """
        if not arguments and not named:
            return _NO_ARGUMENTS
        pickled = _pickled((tuple(arguments), dict(named)), f"the arguments of {name}", refer)
        return self._shared.one(pickled)

    def walked(self, function: Function) -> Walked:
        """Return a function's fingerprint and paths."""
        return self._walked(function.pickled, function.original)

    def walked_arguments(
        self, pickled: bytes, arguments: Sequence[Any], named: Mapping[str, Any]
    ) -> Walked:
        """Return fingerprint and paths of arguments; `pickled` is the result of `arguments`."""
        value = tuple(arguments), dict(named)
        return self._walked(pickled, value) if len(pickled) >= LARGE else walked(value)

    def _walked(self, pickled: bytes, value: Any) -> Walked:
        """Return fingerprint and paths, cached by pickle: large ones take longer than pickling."""
        found = self._walks.get(pickled)
        if found is None:
            if len(self._walks) >= _KEPT:
                self._walks.popitem(last=False)
            found = self._walks[pickled] = walked(value)
        return found


def _elsewhere(*_: object) -> None:
    """Stand for a function that is known to another process only."""


def name_of(function: Callable[..., Any]) -> str:
    """Name of a function in keys and messages."""
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__qualname__", type(function).__qualname__)


def _pickled(value: Any, name: str, refer: Refer | None = None) -> bytes:
    pickled = guarded(pickling.dumps, value, refer)
    if isinstance(pickled, Caught):
        if isinstance(pickled.error, UsageError):
            raise pickled.error
        raise UsageError(
            f"submit: {name} cannot be pickled ({words(pickled.error)}); open files, locks and "
            "connections inside the function"
        ) from pickled.error
    return pickled
