"""A function and its arguments as bytes that a worker can take."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, final

from isocline.dispatch import pickling
from isocline.dispatch.fingerprint import fingerprint
from isocline.errors import UsageError

_KEPT = 128  # functions whose pickles are kept
_NO_ARGUMENTS: bytes = pickling.dumps(((), {}))


class Function(NamedTuple):
    """A function, pickled once."""

    original: Callable[..., Any]  # kept, so that no other one gets its id
    name: str
    number: int  # one for all functions of the name: their service times are measured together
    pickled: bytes


@final
class Calls:
    """Pickles functions and arguments.

    A function is pickled when it is first used; what it closes over is as it was then.
    """

    def __init__(self) -> None:
        self._functions: OrderedDict[int, Function] = OrderedDict()
        self._fingerprints: dict[int, bytes] = {}
        self._numbers: dict[str, int] = {}

    def function(self, original: Callable[..., Any]) -> Function:
        """The function; raises UsageError if it cannot be called or pickled."""
        found = self._functions.get(id(original))
        if found is not None:
            return found
        if not callable(original):
            raise UsageError(f"submit: {original!r} is not a function; give one, then the chunk")
        name = name_of(original)
        number = self._numbers.setdefault(name, len(self._numbers))
        found = Function(original, name, number, _pickled(original, name))
        if len(self._functions) >= _KEPT:
            oldest, _ = self._functions.popitem(last=False)
            self._fingerprints.pop(oldest, None)
        self._functions[id(original)] = found
        return found

    def fingerprint(self, function: Function) -> bytes:
        """A function's."""
        key = id(function.original)
        if key not in self._fingerprints:
            self._fingerprints[key] = fingerprint(function.original)
        return self._fingerprints[key]


def arguments_of(name: str, arguments: Sequence[Any], named: Mapping[str, Any]) -> bytes:
    """Pickled (args, kwargs); raises UsageError if that cannot be done."""
    if not arguments and not named:
        return _NO_ARGUMENTS
    return _pickled((tuple(arguments), dict(named)), f"the arguments of {name}")


def name_of(function: Callable[..., Any]) -> str:
    """What a function is called in keys and messages."""
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__qualname__", type(function).__qualname__)


def _pickled(value: Any, name: str) -> bytes:
    try:
        pickled: bytes = pickling.dumps(value)
    except Exception as error:  # whatever a class of the user's raises when it is pickled
        raise UsageError(
            f"submit: {name} cannot be pickled ({type(error).__name__}: {error}); open files, "
            "locks and connections where they are used instead"
        ) from error
    return pickled
