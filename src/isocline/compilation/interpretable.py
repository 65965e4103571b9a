"""Kernels that the interpreter runs where numba would take longer than they do.

Importing numba takes 0.3 s, and compiling the kernels of a level flow about 8 s; a level flow of a
hundred edges takes the interpreter a few ms. Kernels made here are compiled, or loaded from disk,
when they are first called outside `interpreted`; inside it they run as the Python that they are
written in. Both ways take the same steps and round alike, which `tests/flow/test_interpreted.py`
checks.
"""

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast, final

import numpy as np

from isocline.errors import IsoclineError

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

# Edges up to which a level flow is interpreted. A plan of so many (an optimum and ten missing
# edges) takes the interpreter up to 0.5 s, as long as importing numba and loading kernels.
SMALL = 200

# s that a thread interprets before it compiles even what is small: compiled, such a plan is solved
# up to 25 times as fast, so that whoever solves many of them gets the time for compiling back.
PATIENCE = 1.0


def compiled(function: F) -> F:
    """`isocline.compilation.compiled.compiled`, of a function that can be interpreted."""
    return cast(F, Kernel(function, inner=False))


def inner(function: F) -> F:
    """`isocline.compilation.compiled.inner`, of a function that can be interpreted."""
    return cast(F, Kernel(function, inner=True))


def one_type(record: type[T]) -> type[T]:
    """`isocline.compilation.compiled.one_type`, of a record that interpreted kernels take, too."""
    _records.append(record)
    return record


@contextmanager
def interpreted() -> Iterator[None]:
    """Interpret kernels that this thread calls within.

    Division by zero raises, as it does in Python, where neither number is numpy's.
    """
    before, _mode.interpreted = _mode.interpreted, True
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        _mode.interpreted = before


def in_interpreter() -> bool:
    """Whether kernels that this thread calls now are interpreted."""
    return _mode.interpreted


def interpreted_if_small(edges: int, work: Callable[[], T], *, never_compile: bool = False) -> T:
    """What `work` returns, by interpreted kernels if its graph has at most `SMALL` edges.

    A thread that has spent `PATIENCE` so has the rest compiled.

    Args:
        edges: Of the graph.
        work: Changes nothing: it is done again, compiled, where Python has no number for what is
            infinite or none in compiled code, as 1.0 / 0.0.
        never_compile: Go on beyond `PATIENCE`, where a pause for compiling would do harm.
    """
    impatient = _mode.spent > PATIENCE and not never_compile
    if edges > SMALL or impatient or _mode.interpreted:
        return work()
    began = time.perf_counter()
    try:
        with interpreted():
            return work()
    except IsoclineError:
        raise
    except (ArithmeticError, ValueError):
        return work()
    finally:
        _mode.spent += time.perf_counter() - began


@final
class _Mode(threading.local):
    interpreted = False
    spent = 0.0  # s, interpreting


@final
class Kernel:
    """A function that is interpreted within `interpreted`, and compiled elsewhere."""

    def __init__(self, function: Callable[..., Any], *, inner: bool):
        functools.update_wrapper(self, function)
        self.py_func = function
        self._inner = inner

    def __call__(self, *arguments: Any) -> Any:
        return (self.py_func if _mode.interpreted else self.compiled)(*arguments)

    @functools.cached_property
    def compiled(self) -> Any:
        """What numba makes of the function."""
        from isocline.compilation import compiled

        _make_known_to_numba()
        return (compiled.inner if self._inner else compiled.compiled)(self.py_func)


@final
class Callback:
    """A function that kernels are given, and call by address; compiled when numba asks for it."""

    def __init__(self, function: Callable[..., Any], signature: str, *, cached: bool):
        functools.update_wrapper(self, function)
        self.py_func = function
        self.signature = signature
        self._cached = cached

    def __call__(self, *arguments: Any) -> Any:
        return self.py_func(*arguments)

    def __wrapper_address__(self) -> int:
        """The name is numba's protocol."""
        return int(self._compiled.address)

    @functools.cached_property
    def _compiled(self) -> Any:
        from isocline.compilation.compiled import by_address

        return by_address(self.signature, cached=self._cached)(self.py_func)


def _make_known_to_numba() -> None:
    """Have numba take kernels, callbacks and records of one type for what they are."""
    from isocline.compilation import compiled

    if not _known:
        compiled.stands_for(Kernel, lambda kernel: compiled.type_of_dispatcher(kernel.compiled))
        compiled.stands_for(Callback, lambda it: compiled.type_of_function(it.signature))
        _known.append(True)
    while _records:
        compiled.one_type(_records.pop())


_mode = _Mode()
_known: list[bool] = []
_records: list[type[Any]] = []  # not yet known to numba
