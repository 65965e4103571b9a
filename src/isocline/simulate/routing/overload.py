"""Overload: parts of a run with more arrivals than can be served."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from isocline.compilation.interpretable import interpreted_if_small
from isocline.flow import capacity_scale
from isocline.policies.routing.contract import RoutingPolicy, Setting
from isocline.simulate.routing.slowdown import Slowdown, factors_at
from isocline.theory.routing.piecewise_parameters import Period

FloatArray = npt.NDArray[np.float64]

Span = tuple[float, float]
"""Beginning and end, s; the end is inf for one that lasts."""


def overloads(periods: Sequence[Period], slowdowns: Sequence[Slowdown] = ()) -> tuple[Span, ...]:
    """When the mean arrival rates are beyond what the backends can serve; spans do not touch.

    Args:
        periods: Of the system, one after the other.
        slowdowns: Of its backends; one outlasts a change of the system.
    """
    found: list[Span] = []
    # The last period lasts, wherever a run ends.
    for period, last in zip(periods, [*(one.begin for one in periods[1:]), np.inf], strict=True):
        within = {one.time for one in slowdowns if period.begin < one.time < last}
        for begin, end in pairwise(sorted({period.begin, last, *within})):
            if not _beyond(period, slowdowns, begin):
                continue
            together = bool(found) and found[-1][1] == begin
            found.append((found.pop()[0] if together else begin, end))
    return tuple(found)


def _beyond(period: Period, slowdowns: Sequence[Slowdown], time: float) -> bool:
    system = period.system
    factors = factors_at(slowdowns, [backend.name for backend in system.backends], time)
    graph, capacities = system.graph, system.capacities / np.array(factors)
    found = interpreted_if_small(
        graph.edges, lambda: capacity_scale(graph, system.rates, capacities)
    )
    return found.scale <= 1.0


def overloaded_by(
    policy: RoutingPolicy, setting: Setting, rates: FloatArray, capacities: FloatArray
) -> list[int]:
    """Backends that a policy with fixed shares sends more than they can serve.

    Args:
        policy: The policy.
        setting: What it is set up with.
        rates: (F,) arrivals at the frontends, jobs/s.
        capacities: (B,) jobs/s.
    """
    shares = policy.shares(setting)
    if shares is None:
        return []
    graph = setting.graph
    inflow = np.bincount(graph.sink, shares * rates[graph.source], minlength=graph.sinks)
    return np.flatnonzero(inflow >= capacities).tolist()


def spans_in_words(spans: Iterable[Span]) -> str:
    """`from 20 s to 40 s, from 60 s on`."""
    return ", ".join(
        f"from {begin:g} s {'on' if np.isinf(end) else f'to {end:g} s'}" for begin, end in spans
    )
