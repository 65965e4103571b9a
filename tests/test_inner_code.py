"""Functions that only compiled functions call have no code of their own."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numba import float64, int64

from isocline.compilation.compiled import compiled, inlined, inlined_as, inner, kernel


@inlined
def doubled(x: float) -> float:
    return 2.0 * x


@inlined_as(float64(float64))
def doubled_and_one(x: float) -> float:
    return doubled(x) + 1.0


@inner
def filled(count: int, value: float) -> np.ndarray:
    found = np.zeros(count)
    for i in range(count):
        found[i] = doubled_and_one(value + i)
    return found


@compiled
def total(count: int, value: float) -> float:
    return float(filled(count, value).sum()) + doubled(value)


@kernel
def once_more(count: int, value: float) -> float:
    return doubled(value) if count == 0 else doubled_and_one(value)


@given(st.integers(0, 20), st.floats(-1e6, 1e6))
def test_compiled_functions_agree_with_what_they_say(count: int, value: float) -> None:
    expected = sum(2.0 * (value + i) + 1.0 for i in range(count)) + 2.0 * value
    assert np.isclose(total(count, value), expected, rtol=1e-12, atol=1e-6)
    assert once_more(count, value) == 2.0 * value + (count > 0)


def test_inner_functions_are_not_translated_on_their_own() -> None:
    """Which is what the time of compiling a kernel went to: their code is in the kernel."""
    total(3, 1.0)
    filled.compile((int64, float64))  # type: ignore[attr-defined]  # the kernel may be from disk
    functions: list[tuple[Any, bool]] = [
        (doubled, False),
        (doubled_and_one, False),
        (filled, False),
        (total, True),
    ]
    for function, translated in functions:
        assert function.overloads
        for found in function.overloads.values():
            address = found.library.get_pointer_to_function(found.fndesc.llvm_func_name)
            assert bool(address) == translated
