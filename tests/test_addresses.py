"""Functions called by address do what they do when called, on the record that is kept."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from numba import float64, int64, void

from isocline.compilation.addresses import Address, by_record
from isocline.compilation.compiled import array_of, by_address, kernel, record_of
from isocline.compilation.kept_arguments import KeptArguments, kept


class Store(NamedTuple):
    counts: npt.NDArray[np.int64]
    prices: npt.NDArray[np.float64]
    tax: float


STORE = record_of(Store, array_of(int64), array_of(float64, 2), float64)
WORTH = float64(int64, STORE, float64)
TAKE = void(int64, STORE)


class Rules(NamedTuple):
    worth: Any
    take: Any


def worth(item: int, at: Any, factor: float) -> float:
    store = kept(at)[0]
    found: float = factor * store.counts[item] * store.prices[item, 1] + store.tax
    return found


def twice(item: int, at: Any, factor: float) -> float:
    return 2.0 * worth_inside(item, at, factor)  # type: ignore[no-any-return]


def take(item: int, at: Any) -> None:
    kept(at)[0].counts[item] -= 1


worth_inside: Any = kernel(worth)


@kernel
def sold(at: Any, item: int) -> float:
    """What an item is worth before one of it is taken, and after."""
    rules, store = kept(at)
    before = rules.worth(item, store, 10.0)
    rules.take(item, store)
    return before + rules.worth(item, store, 1.0)  # type: ignore[no-any-return]


def store(size: int) -> Store:
    return Store(np.arange(size), np.arange(2.0 * size).reshape(size, 2), 0.5)


def rule(function: Any, signature: Any) -> Address:
    made = by_address(by_record(signature, STORE), cached=False, plain=True)(function)
    return Address.of(made, signature, STORE)


def price(given: Store, item: int, factor: float) -> float:
    return float(factor * given.counts[item] * given.prices[item, 1] + given.tax)


@pytest.mark.parametrize("is_kept", [True, False])
@pytest.mark.parametrize(("function", "times"), [(worth, 1.0), (twice, 2.0)])
def test_a_kernel_calls_what_it_is_given_on_the_record(
    function: Any, times: float, is_kept: bool
) -> None:
    """One kernel serves several functions; a record that is replaced is replaced for them, too."""
    given = store(4)
    apart = KeptArguments((given,))
    rules = Rules(rule(function, WORTH), rule(take, TAKE))
    if is_kept:
        rules = Rules(*(each.with_record(apart.address) for each in rules))
    place = KeptArguments((rules, given))
    call = sold.compile((place.type, int64))  # type: ignore[attr-defined]
    for size in (4, 400):
        given = store(size)
        apart.replace((given,))
        place.replace((rules, given))
        for item in (1, size - 1):
            before, left = price(given, item, 10.0), int(given.counts[item]) - 1
            found = call(place.address, item)
            assert given.counts[item] == left
            assert found == times * (before + price(given, item, 1.0))
    assert len(sold.overloads) <= 2  # type: ignore[attr-defined]  # kept, and not
