"""Functions of a user's own that raise, or choose what they may not."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import isocline
from isocline.compilation.compiled import value_as
from isocline.errors import PolicyError
from isocline.policies.routing.contract import CHOOSE, RoutingPolicy
from isocline.policies.routing.gmsr import Gmsr
from isocline.randomness.draws import below
from tests.builders import mixed

# The untyped functions are as a user would write them.


def always(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    raise ValueError("no price for it")


def when_busy(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    edge = candidates[0]
    if view.workload[view.backend[edge]] >= 2:
        raise AssertionError  # as a plain `assert`, which pytest would rewrite
    return edge


def by_lot(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    if below(rng, 100) == 7:
        raise IndexError
    return candidates[0]


def once(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    view.memory[0, 0] += 1.0
    if view.memory[0, 0] == 3.0:
        raise ValueError("the third")
    return candidates[0]


def outside(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    return 1000


def makes_an_array(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    jobs = np.zeros(candidates.size)
    for i in range(candidates.size):
        jobs[i] = view.workload[view.backend[candidates[i]]]
    return candidates[np.argmin(jobs)]


def ran(policy: Any) -> None:
    isocline.simulate(
        mixed(), [policy], horizon=200.0, warmup=20.0, replications=2, percentiles=False
    )


def line_of(function: Callable[..., Any], offset: int) -> str:
    return rf"test_own_functions\.py:{function.__code__.co_firstlineno + offset}\)"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (always, f"raised ValueError: no price for it .*{line_of(always, 1)}$"),
        (when_busy, f"raised AssertionError.*{line_of(when_busy, 3)}$"),
        (by_lot, f"raised IndexError .*{line_of(by_lot, 2)}$"),
        (once, r"raised an exception at [0-9.]+ s, but did not when"),
        (outside, "returned an edge not in `candidates`"),
    ],
)
def test_what_a_function_raises_ends_the_run(function: Callable[..., Any], words: str) -> None:
    name = rf"^policy tests\.policies\.test_own_functions:{function.__name__} "
    with pytest.raises(PolicyError, match=name + r"(\S+ )?" + words) as refusal:
        ran(function)
    assert "\n" not in str(refusal.value)


def test_a_function_may_make_arrays() -> None:
    ran(makes_an_array)


@value_as(CHOOSE)
def raises(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    if view.workload[0] > 1:
        raise ValueError("too many")
    return candidates[0]


@dataclass(frozen=True)
class Inlined(RoutingPolicy):
    """A class of a user's own, whose function is a part of the kernel."""

    name = "inlined"
    choose = raises

    def table(self, setting, workloads):  # type: ignore[no-untyped-def]
        return Gmsr().table(setting, workloads)


def test_so_does_what_a_class_raises() -> None:
    with pytest.raises(PolicyError, match="policy inlined raised ValueError: too many"):
        ran(Inlined())


@value_as(CHOOSE)
def capacity(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    return view.parameter[candidates[0], 0]


@dataclass(frozen=True)
class NoEdge(Inlined):
    """Gives a rate where an edge is due, which numba would cut to an integer."""

    choose = capacity


def test_a_class_that_gives_no_integer_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"it returns float64, not an edge; it must be choose"):
        ran(NoEdge())
