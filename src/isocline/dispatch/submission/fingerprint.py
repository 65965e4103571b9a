"""Fingerprints of functions and arguments: equal if a task does the same as in an earlier run.

Pickles are not suitable: they contain line numbers, orders of sets, identities of strings, random
names of classes, and other details that depend on the release of cloudpickle. A fingerprint covers
what determines a function's behaviour: byte code, constants, defaults, closure, and the globals
that it reads, be they functions, classes, containers or other objects. The user's own functions,
classes and modules (`own_code`) are followed; those of installed packages and the standard library
are covered by name. An object is covered by its class and by the parts that pickle would save.

Not covered: objects found by a computed name, as with `getattr` or `importlib`, and the contents of
files. Paths in a value are reported, so that the state of those files can be checked.
"""

import copyreg
import hashlib
import weakref
from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from functools import cached_property, partial
from pathlib import Path, PurePath
from types import CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, NamedTuple, final

from isocline.dispatch import pickling
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.inputs import Broadcast
from isocline.dispatch.journal.identity import SIZE, without_data
from isocline.dispatch.submission.own_code import (
    home,
    imported_code,
    is_nested,
    is_own_module,
    used,
)

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_PROTOCOL = 4  # gives the same parts in every Python; 5 would leave large buffers out
# Members of a class that do not affect its behaviour, or are derived from others.
_IDLE = {
    "__module__",
    "__doc__",
    "__firstlineno__",
    "__static_attributes__",  # in arbitrary order
    "__annotations__",
    "__abstractmethods__",
    "__parameters__",
    "__orig_bases__",
    "__dict__",
    "__weakref__",
    "_abc_impl",
}
# Data members with such names that determine behaviour. Others of that form contain addresses.
_DUNDER_DATA = {"__slots__", "__pydantic_fields__"}
# Modules of classes whose global instances differ between processes: random number generators
# without a seed, and the environment.
_IN_ANY_STATE = {"random", "numpy.random._generator", "numpy.random.mtrand", "os"}
_WEAK = (weakref.ref, weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet)


class Walked(NamedTuple):
    """Fingerprint of a value, and the paths in it."""

    fingerprint: bytes
    paths: tuple[str, ...]


def fingerprint(value: Any) -> bytes:
    """Fingerprint of any value that can be pickled; 16 bytes."""
    return _Walk().of(value)


def walked(value: Any) -> Walked:
    """Fingerprint of a value, and the paths in it.

    Paths in a partial or a method's object are included; those in a function's closure, defaults or
    globals are not, as tasks often write to these.
    """
    walk = _Walk()
    return Walked(walk.of(value), tuple(sorted(walk.paths)))


@final
class _Walk:
    """One walk through a value and its parts.

    A part that contains itself is represented by the number of steps up to it. Each object is
    walked once, as walking every path of an object graph with many links would take forever.
    """

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self._functions = 0  # number of functions being walked
        self._above: list[Any] = []
        self._done: dict[int, tuple[Any, bytes]] = {}  # by id; objects are kept, so ids stay unique

    def of(self, value: Any) -> bytes:
        """Fingerprint of a value, as a part of the values that contain it."""
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
        """Yield byte strings for a value, equal for equal values."""
        kind = type(value)
        if kind in (tuple, list):
            yield from self._of_sequence(value)
        elif kind in (set, frozenset):
            yield from sorted(map(_plain_with_length if _all_plain(value) else self.of, value))
        elif kind in (dict, MappingProxyType):
            yield from self._of_mapping(value)
        elif kind is CodeType:
            yield from self._of_code(value)
        elif kind is FunctionType:
            self._functions += 1
            yield from self._of_function(value)
            self._functions -= 1
        elif kind is MethodType:
            yield self.of((value.__func__, value.__self__))
        elif kind is partial:
            yield self.of((value.func, value.args, value.keywords))
        elif kind is ModuleType:
            yield value.__name__.encode()
        elif isinstance(value, type):
            yield from self._of_class(value)
        elif isinstance(value, TaskFuture):  # the task determines its result
            yield without_data(value.identity)
        elif isinstance(value, Broadcast):
            found = value.fingerprint()
            self.paths.update(found.paths)
            yield found.fingerprint
        else:
            yield from self._of_object(value)

    def _of_sequence(self, value: tuple[Any, ...] | list[Any]) -> Iterator[bytes]:
        if _all_plain(value):  # such as long lists of numbers
            yield _all_of(value)
        else:
            yield from map(self.of, value)

    def _of_mapping(self, value: Mapping[Any, Any]) -> Iterator[bytes]:
        if _all_plain(value) and _all_plain(value.values()):
            yield from sorted(b"".join(map(_plain_with_length, pair)) for pair in value.items())
        else:
            yield from sorted(map(self.of, value.items()))

    def _of_code(self, code: CodeType) -> Iterator[bytes]:
        yield code.co_code
        yield code.co_exceptiontable
        counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
        yield self.of((counts, code.co_names, code.co_varnames, code.co_freevars))
        yield self.of(code.co_consts)

    def _of_function(self, function: FunctionType) -> Iterator[bytes]:
        own = is_own_module(home(function))
        if not own and not is_nested(function) and not function.__closure__:
            yield _name(function)
            return
        closed = [_content(cell) for cell in function.__closure__ or ()]
        yield self.of(function.__code__)
        yield self.of((function.__defaults__, function.__kwdefaults__, closed))
        if own:
            yield from self._globals(function)

    def _globals(self, function: FunctionType) -> Iterator[bytes]:
        """Yield the globals of a function."""
        names, known = used(function.__code__), function.__globals__
        for name in sorted(names.read & known.keys()):
            yield name.encode()
            found = known[name]
            yield self._of_global(found, names.mentioned)
        for name, code in imported_code(function.__code__, known.get("__package__")):
            yield name.encode()
            yield self.of(code)

    def _of_global(self, value: Any, names: frozenset[str], depth: int = 8) -> bytes:
        """Fingerprint of a global, in code that mentions these names.

        A user's module is covered by the members that are used. Packages refer to one another, so
        the depth is limited.
        """
        if type(value).__module__ in _IN_ANY_STATE:
            return self.of(type(value))
        if type(value) is not ModuleType:
            return self.of(value)
        parts = [value.__name__.encode()]
        if depth and is_own_module(value.__name__):
            known = vars(value)
            for name in sorted(names & known.keys()):
                parts += name.encode(), self._of_global(known[name], names, depth - 1)
        return _digest(value, tuple(parts))

    def _of_class(self, cls: type) -> Iterator[bytes]:
        """Yield the behaviour of a user's class, but only the name of another one."""
        yield _name(cls)
        if not is_own_module(cls.__module__) and not is_nested(cls):
            return
        yield self.of((type(cls), cls.__bases__))
        if issubclass(cls, Enum):
            values = {name: member._value_ for name, member in cls.__members__.items()}
            yield self.of(values)
        members = {name: _bare(each) for name, each in vars(cls).items() if _counts(cls, name)}
        yield self.of(members)

    def _of_object(self, value: Any) -> Iterator[bytes]:
        """Yield an object's reduction: a callable, its arguments, and the state to set."""
        if isinstance(value, PurePath):  # their reductions differ between releases of Python
            text = str(value)
            if isinstance(value, Path) and not self._functions:
                self.paths.add(text)
            yield text.encode("utf-8", "surrogateescape")
            return
        if isinstance(value, _WEAK):  # a cache, or a link to something covered elsewhere
            return
        function = _wrapped(value)
        if function is not None:
            yield self.of(function)
            return
        reduce = copyreg.dispatch_table.get(type(value))
        try:
            made = reduce(value) if reduce else value.__reduce_ex__(_PROTOCOL)
        except Exception:  # pickle cannot reduce it, for instance a lock
            yield from self._of_unpicklable(value)
            return
        if isinstance(made, str):
            yield f"{getattr(value, '__module__', None)}:{made}".encode()
            return
        maker, arguments, state, members, items = (*made, None, None, None)[:5]
        yield self.of(maker) if isinstance(maker, (FunctionType, type)) else _name(maker)
        yield self.of((arguments, state, list(members or ()), list(items or ())))

    def _of_unpicklable(self, value: Any) -> Iterator[bytes]:
        try:
            yield pickling.dumps(value)  # cloudpickle may be able to
        except Exception:  # a global that cannot be sent with a task: file, lock, connection
            yield self.of(type(value))


def _digest(value: Any, parts: Iterator[bytes] | tuple[bytes, ...]) -> bytes:
    digest = hashlib.blake2b(digest_size=SIZE)
    for part in (type(value).__qualname__.encode(), *parts):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def _plain(value: Any) -> bytes:
    if type(value) is bytes:
        return value
    if type(value) is int:  # decimal digits are limited in number
        return hex(value).encode()
    return repr(value).encode("utf-8", "backslashreplace")


def _all_of(values: tuple[Any, ...] | list[Any]) -> bytes:
    """Yield plain values in order."""
    try:  # ten times as fast
        return repr(values).encode("utf-8", "backslashreplace")
    except ValueError:  # decimal digits are limited in number
        return b"".join(map(_plain_with_length, values))


def _plain_with_length(value: Any) -> bytes:
    plain = _plain(value)
    return b"%s %d %s" % (type(value).__name__.encode(), len(plain), plain)


def _all_plain(values: Collection[Any]) -> bool:
    return set(map(type, values)).issubset(_PLAIN)


def _counts(cls: type, name: str) -> bool:
    """Whether a member of a class affects its behaviour."""
    if name in _IDLE:
        return False
    bare = _bare(vars(cls)[name])
    if issubclass(cls, Enum):  # its members are covered, and the rest is Python's
        return type(bare) is tuple or (type(bare) is FunctionType and is_own_module(home(bare)))
    is_dunder = name.startswith("__") and name.endswith("__")
    return not is_dunder or name in _DUNDER_DATA or callable(bare)


def _wrapped(value: Any) -> Any:
    """Return the function behind a wrapper of an installed package, if known.

    `functools.lru_cache` wrappers are pickled by name, Numba's under a random name.
    """
    if isinstance(value, type) or not callable(value):
        return None
    if type(value).__module__.startswith("numba."):
        return getattr(value, "py_func", None)
    if type(value).__module__ == "functools":
        return getattr(value, "__wrapped__", None)
    return None


def _name(value: Any) -> bytes:
    name = getattr(value, "__qualname__", None) or type(value).__qualname__
    return f"{getattr(value, '__module__', None)}:{name}".encode()


def _bare(member: Any) -> Any:
    """Return the functions behind a member of a class."""
    if isinstance(member, (staticmethod, classmethod)):
        return member.__func__
    if type(member) is property:
        return tuple(each for each in (member.fget, member.fset, member.fdel) if each)
    return member.func if type(member) is cached_property else member


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a variable without a value
        return None
