"""Fingerprints of functions and arguments: equal if a task would do the same as in an earlier run.

Pickles cannot tell: they hold line numbers, orders of sets, which strings are one object, random
names of classes, and whatever else a release of cloudpickle puts there. A fingerprint covers what a
function does: its byte code, constants, names, defaults, closure, and the constants, functions and
classes of its own module that it names. Other modules are not followed. An object is covered by its
class and by the parts that pickle would save.
"""

import copyreg
import hashlib
from collections.abc import Iterator
from functools import cached_property, partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, final

import cloudpickle

from isocline.dispatch import pickling

SIZE = 16  # bytes: of 2^40 tasks, two are alike by chance with probability 2^-49

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_PROTOCOL = 4  # the same parts in every Python; 5 would leave large buffers out
# Members of a class that change nothing that it does; the last is in any order.
_IDLE = {"__module__", "__doc__", "__firstlineno__", "__static_attributes__"}


def fingerprint(value: Any) -> bytes:
    """The fingerprint of any value that can be pickled; 16 bytes."""
    return _Walk().of(value)


@final
class _Walk:
    """One walk through a value and its parts.

    A part that contains itself is replaced by the number of steps up to it. Each object is walked
    through once: in an object graph with many links, walking every path would take for ever.
    """

    def __init__(self) -> None:
        self._above: list[Any] = []
        self._done: dict[int, tuple[Any, bytes]] = {}  # by id; the object is kept, so its id is too

    def of(self, value: Any) -> bytes:
        """The fingerprint of the value, as a part of those above it."""
        if type(value) in _PLAIN:
            return _digest(value, (_plain(value),))
        if id(value) in self._done:
            return self._done[id(value)][1]
        for steps, above in enumerate(reversed(self._above)):
            if above is value:
                return _digest(value, (b"%d" % steps,))
        self._above.append(value)
        found = _digest(value, self._parts(value))
        self._above.pop()
        self._done[id(value)] = value, found
        return found

    def _parts(self, value: Any) -> Iterator[bytes]:
        """The value as byte strings; of equal values the same ones."""
        kind = type(value)
        if kind in (tuple, list):
            yield from map(self.of, value)
        elif kind in (set, frozenset):
            yield from sorted(map(self.of, value))
        elif kind is dict:
            yield from sorted(map(self.of, value.items()))
        elif kind is CodeType:
            yield value.co_code
            yield self.of((value.co_consts, value.co_names, value.co_varnames, value.co_freevars))
        elif kind is FunctionType:
            yield from self._of_function(value)
        elif kind is MethodType:
            yield self.of((value.__func__, value.__self__))
        elif kind is partial:
            yield self.of((value.func, value.args, value.keywords))
        elif kind is ModuleType:
            yield value.__name__.encode()
        elif isinstance(value, type):
            yield from self._of_class(value)
        else:
            yield from self._of_object(value)

    def _of_function(self, function: FunctionType) -> Iterator[bytes]:
        closed = [_content(cell) for cell in function.__closure__ or ()]
        yield self.of(function.__code__)
        yield self.of((function.__defaults__, function.__kwdefaults__, closed))
        known = function.__globals__
        names = sorted(_names(function.__code__) & known.keys())
        yield self.of({name: known[name] for name in names if _is_own(known[name], function)})

    def _of_class(self, cls: type) -> Iterator[bytes]:
        """A class of the user's by what it does, another one by its name."""
        yield _name(cls)
        if not (_by_value(cls) or any(_same_module(cls, above) for above in self._above[:-1])):
            return
        yield self.of(cls.__bases__)
        members = {name: _bare(member) for name, member in vars(cls).items() if name not in _IDLE}
        yield self.of({name: each for name, each in members.items() if _is_own(each, cls)})

    def _of_object(self, value: Any) -> Iterator[bytes]:
        """By how pickle would make it again: a callable, its arguments, and the state to set."""
        reduce = copyreg.dispatch_table.get(type(value))
        try:
            made = reduce(value) if reduce else value.__reduce_ex__(_PROTOCOL)
        except TypeError:  # pickle cannot, but cloudpickle may know how
            yield pickling.dumps(value)
            return
        if isinstance(made, str):
            yield f"{getattr(value, '__module__', None)}:{made}".encode()
            return
        maker, arguments, state, members, items = (*made, None, None, None)[:5]
        yield self.of(maker) if _by_value(maker) else _name(maker)
        yield self.of((arguments, state, list(members or ()), list(items or ())))


def _digest(value: Any, parts: Iterator[bytes] | tuple[bytes, ...]) -> bytes:
    digest = hashlib.blake2b(digest_size=SIZE)
    for part in (type(value).__qualname__.encode(), *parts):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def _plain(value: Any) -> bytes:
    return value if type(value) is bytes else repr(value).encode("utf-8", "backslashreplace")


def _names(code: CodeType) -> set[str]:
    """Globals that code may use, and attributes."""
    inner = [_names(constant) for constant in code.co_consts if type(constant) is CodeType]
    return set(code.co_names).union(*inner)


def _is_own(value: Any, owner: Any) -> bool:
    """Whether a value is a constant, or a function or class of the owner's module."""
    if type(value) is FunctionType or isinstance(value, type):
        return _same_module(value, owner)
    if type(value) in (tuple, frozenset):
        return all(_is_own(each, owner) for each in value)
    return type(value) in _PLAIN


def _same_module(value: Any, other: Any) -> bool:
    is_code = type(other) is FunctionType or isinstance(other, type)
    return is_code and value.__module__ == other.__module__


def _by_value(value: Any) -> bool:
    """Whether a function or class goes to workers whole, as they could not import it."""
    module = getattr(value, "__module__", None)
    if module is None:
        return False
    known = cloudpickle.list_registry_pickle_by_value()
    return (
        module == "__main__"
        or "<locals>" in value.__qualname__
        or any(module == name or module.startswith(f"{name}.") for name in known)
    )


def _name(value: Any) -> bytes:
    return f"{getattr(value, '__module__', None)}:{value.__qualname__}".encode()


def _bare(member: Any) -> Any:
    """The function, or functions, behind a member of a class."""
    if isinstance(member, (staticmethod, classmethod)):
        return member.__func__
    if type(member) is property:
        return tuple(each for each in (member.fget, member.fset, member.fdel) if each)
    return member.func if type(member) is cached_property else member


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # of a variable that has no value yet
        return None
