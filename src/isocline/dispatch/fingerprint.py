"""Whether a function and its arguments are the same as in an earlier run.

Pickles do not say: they hold line numbers, orders of sets, and which strings are one object. A
fingerprint is of what a function does: its byte code, constants, names, defaults, what it closes
over, and the constants and functions of its own module that it names. Other modules are not
followed.
"""

import hashlib
from collections.abc import Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

import cloudpickle

SIZE = 16  # bytes: of 2^40 tasks, two are alike by chance with probability 2^-49

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_Within = tuple[FunctionType, ...]


def fingerprint(value: Any, within: _Within = ()) -> bytes:
    """Of any value that can be pickled; 16 bytes.

    Args:
        value: What is asked about.
        within: Functions of which it is a part: they may name each other.
    """
    digest = hashlib.blake2b(digest_size=SIZE)
    for part in (type(value).__qualname__.encode(), *_parts(value, within)):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def _parts(value: Any, within: _Within) -> Iterator[bytes]:
    """The value as byte strings; of equal values the same ones."""
    kind = type(value)
    if kind is bytes:
        yield value
    elif kind in _PLAIN:
        yield repr(value).encode("utf-8", "backslashreplace")
    elif kind in (tuple, list):
        yield from (fingerprint(each, within) for each in value)
    elif kind in (set, frozenset):
        yield from sorted(fingerprint(each, within) for each in value)
    elif kind is dict:
        yield from sorted(fingerprint(item, within) for item in value.items())
    elif kind is CodeType:
        facts = (value.co_consts, value.co_names, value.co_varnames, value.co_freevars)
        yield value.co_code
        yield fingerprint(facts, within)
    elif kind is FunctionType:
        yield from _parts_of_function(value, within)
    elif kind is MethodType:
        yield fingerprint((value.__func__, value.__self__), within)
    elif kind is partial:
        yield fingerprint((value.func, value.args, value.keywords), within)
    else:
        yield cloudpickle.dumps(value)


def _parts_of_function(function: FunctionType, within: _Within) -> Iterator[bytes]:
    if function in within:
        yield b"%d" % within.index(function)
        return
    within += (function,)
    closed = [_content(cell) for cell in function.__closure__ or ()]
    yield fingerprint(function.__code__, within)
    yield fingerprint((function.__defaults__, function.__kwdefaults__, closed), within)
    yield fingerprint(
        {
            name: function.__globals__[name]
            for name in sorted(_names(function.__code__))
            if name in function.__globals__ and _is_own(function.__globals__[name], function)
        },
        within,
    )


def _names(code: CodeType) -> set[str]:
    """Globals that code may use, and attributes."""
    inner = [_names(constant) for constant in code.co_consts if type(constant) is CodeType]
    return set(code.co_names).union(*inner)


def _is_own(value: Any, function: FunctionType) -> bool:
    """Whether a global is a constant, or a function of the same module."""
    if type(value) is FunctionType:
        return value.__module__ == function.__module__
    if type(value) in (tuple, frozenset):
        return all(_is_own(each, function) for each in value)
    return type(value) in _PLAIN


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # of a variable that has no value yet
        return None
