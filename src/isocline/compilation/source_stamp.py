"""Digest of all source that a compiled function is made of.

numba looks at the file of the function alone. Where functions of other files are part of it, a
change of those would go unseen: after an upgrade in place, a simulator would decide by a rule of
the version before, without a word. So the stamp covers the files of all functions that a function
names, of those that these name, and so on, and the constants that they read, as all is compiled in.
"""

import functools
import hashlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

# What these are made of is known by their versions, which numba has in its keys or in its code.
_OTHERS = frozenset(("builtins", "llvmlite", "math", "numba", "numpy", "typing"))
_PLAIN = (bool, int, float, complex, str, bytes, tuple, frozenset, np.generic)


def stamp_of(function: Any) -> str:
    """Return the digest of the sources of a function and of all that is compiled into it."""
    files: set[str] = set()
    constants: set[str] = set()
    seen: set[Any] = set()
    left = [function]
    while left:
        python = left.pop()
        if python in seen:
            continue
        seen.add(python)
        files.add(python.__code__.co_filename)
        for name, value in _read(python):
            if isinstance(value, _PLAIN) or value is None:
                constants.add(f"{name}={value!r}")
            elif isinstance(value, np.ndarray):
                constants.add(f"{name}={value.dtype}{value.shape}{value.tobytes()!r}")
            elif inspect.isclass(value):
                files.update(_file_of(value))
            elif (found := _function(value)) is not None and not _is_others(found):
                left.append(found)
    parts = sorted(filter(None, map(digest, files))) + sorted(constants)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def digest(path: str) -> str | None:
    """Digest of a file; None where there is none, as for what is typed in at a prompt."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return _digest(path, found.st_mtime_ns, found.st_size)


@functools.cache
def _digest(path: str, _mtime_ns: int, _size: int) -> str:
    """Digest of a file, read again where its time or size has changed."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _read(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Names that a function reads from around it, and from modules there, with their values."""
    around, names = function.__globals__, set(_names(function.__code__))
    for name in names:
        value = around.get(name)
        if isinstance(value, ModuleType):
            if value.__name__.partition(".")[0] not in _OTHERS:
                yield from ((it, getattr(value, it)) for it in names if hasattr(value, it))
        elif name in around:
            yield name, value
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield name, cell.cell_contents


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _function(value: Any) -> FunctionType | None:
    """The Python function of a function, compiled or an intrinsic; None: it is none."""
    python = getattr(value, "py_func", getattr(value, "_defn", value))
    return python if isinstance(python, FunctionType) else None


def _is_others(function: FunctionType) -> bool:
    return function.__module__.partition(".")[0] in _OTHERS


def _file_of(kind: type) -> list[str]:
    """File of a class, as the records that kernels read, unless it is others'."""
    if kind.__module__.partition(".")[0] in _OTHERS:
        return []
    path = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return [] if path is None else [path]
