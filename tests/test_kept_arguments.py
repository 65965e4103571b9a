"""Arguments that are kept in memory are those that were given, in records within records."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from numba import float64, int64

from isocline.compilation.compiled import kernel
from isocline.compilation.kept_arguments import KeptArguments, kept


class Inner(NamedTuple):
    grid: npt.NDArray[np.int32]
    is_on: bool


class Outer(NamedTuple):
    scale: float
    inner: Inner
    pair: tuple[int, int]


@kernel
def weighed(at: Any, cell: int, add: float) -> float:
    """Weigh a cell of the grid, and add to the last array."""
    outer, sums = kept(at)
    sums[cell] += add
    if not outer.inner.is_on:
        return 0.0
    found: float = outer.scale * outer.inner.grid[cell, 1] + outer.pair[0] - outer.pair[1]
    return found


def arguments(scale: float, *, is_on: bool = True, size: int = 3) -> tuple[Outer, Any]:
    grid = np.arange(2 * size, dtype=np.int32).reshape(size, 2)
    return Outer(scale, Inner(grid, is_on), (7, 4)), np.zeros(size)


def compiled_for(place: KeptArguments) -> Any:
    function: Any = weighed
    return function.compile((place.type, int64, float64))


def test_a_kernel_reads_and_writes_what_is_kept() -> None:
    given = arguments(0.5)
    place = KeptArguments(given)
    call = compiled_for(place)
    assert call(place.address, 1, 2.0) == 0.5 * 3 + 3
    assert call(place.address, 2, 4.0) == 0.5 * 5 + 3
    assert given[1].tolist() == [0.0, 2.0, 4.0]


def test_arguments_are_replaced_by_larger_ones() -> None:
    place = KeptArguments(arguments(0.5))
    call = compiled_for(place)
    for size in (4, 100, 5000):
        given = arguments(2.0, size=size)
        place.replace(given)
        assert call(place.address, size - 1, 1.0) == 2.0 * (2 * size - 1) + 3
        assert given[1].sum() == 1.0
    place.replace(arguments(2.0, is_on=False))
    assert call(place.address, 0, 1.0) == 0.0


def test_what_is_kept_lasts_as_long_as_its_place() -> None:
    place = KeptArguments(arguments(1.0, size=10_000))
    call = compiled_for(place)
    others = [np.full(20_000, 9, np.int32) for _ in range(50)]
    assert call(place.address, 9_999, 0.0) == 19_999 + 3
    assert len(others) == 50


def test_places_are_apart() -> None:
    one, two = KeptArguments(arguments(1.0)), KeptArguments(arguments(3.0))
    call = compiled_for(one)
    assert [call(place.address, 0, 0.0) for place in (one, two)] == [1.0 + 3, 3.0 + 3]


def test_records_that_are_too_large_are_refused() -> None:
    many = tuple(np.zeros(1) for _ in range(400))
    with pytest.raises(Exception, match="arguments of more than"):
        KeptArguments((*many, np.zeros(1, np.int32)))
