"""Piecewise constant parameters of a system: the periods between its changes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.curves import Curve
from isocline.model.fleet import Backend, RoutingSystem
from isocline.model.graph import CompatibilityGraph

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


@final
@dataclass(frozen=True, eq=False)
class Period:
    """A system from one time to another, among the backends of all periods.

    Backends that the system does not have stay in the graph without an edge: they drain.
    """

    begin: float  # s
    end: float  # s, may be inf
    system: RoutingSystem
    backends: tuple[str, ...]  # B names, of all periods
    curves: tuple[Curve, ...]  # (B,)
    present: IndexArray  # which of them the system has, in its order
    graph: CompatibilityGraph

    @property
    def rates(self) -> FloatArray:
        """(F,) jobs/s."""
        return self.system.rates

    @property
    def edges(self) -> list[tuple[str, str]]:
        """Frontend and backend of each edge of `graph`."""
        graph, frontends = self.graph, self.system.frontends
        ends = zip(graph.source.tolist(), graph.sink.tolist(), strict=True)
        return [(frontends[f].name, self.backends[b]) for f, b in ends]

    def times(self, step: float) -> FloatArray:
        """Multiples of `step` in the period, with its begin and its end."""
        grid = step * np.arange(int(self.begin / step), int(np.ceil(self.end / step)) + 1)
        near = 1e-9 * step
        inside = grid[(grid > self.begin + near) & (grid < self.end - near)]
        return np.concatenate(([self.begin], inside, [self.end]))


def periods(
    system: RoutingSystem,
    changes: Sequence[tuple[float, RoutingSystem]],
    horizon: float | None,
    *,
    concave: bool = True,
) -> list[Period]:
    """The periods of a system that becomes another at given times, s.

    Raises:
        UsageError: Times do not increase from above 0 to below the horizon, or a curve is not
            strictly concave and `concave` asks for it.
    """
    end = np.inf if horizon is None else horizon
    times = [0.0, *(time for time, _ in changes), end]
    _require_in_order(times)
    systems = [system, *(changed for _, changed in changes)]
    for one in systems if concave else ():
        _require_concave(one)
    names = tuple(dict.fromkeys(b.name for one in systems for b in one.backends))
    known = {b.name: c for one in reversed(systems) for b, c in _curves(one)}
    found = []
    for one, (begin, after) in zip(systems, pairwise(times), strict=True):
        known |= {b.name: c for b, c in _curves(one)}
        present = np.array([names.index(b.name) for b in one.backends])
        edges = np.column_stack((one.graph.source, present[one.graph.sink]))
        graph = CompatibilityGraph.from_edges(one.graph.sources, len(names), edges)
        curves = tuple(known[name] for name in names)
        found.append(Period(begin, after, one, names, curves, present, graph))
    return found


def _require_in_order(times: Sequence[float]) -> None:
    """Raise UsageError unless `times`, from 0 over those of changes to the end, increase, s."""
    *changes, end = times
    for before, time in pairwise(changes):
        place = f"change at {time:g} s"
        if not math.isfinite(time):
            raise UsageError(f"{place}: give a finite time")
        if not time > before:
            earlier = "the start" if before == 0.0 else f"the change at {before:g} s"
            raise UsageError(f"{place}: it must come after {earlier}; give a later time")
        if not time < end:
            raise UsageError(
                f"{place}: the horizon is {end:g} s; give an earlier time, or a longer horizon"
            )


def _curves(system: RoutingSystem) -> list[tuple[Backend, Curve]]:
    return list(zip(system.backends, system.curves, strict=True))


def _require_concave(system: RoutingSystem) -> None:
    for backend in system.backends:
        if not backend.curve.strictly_concave:
            raise UsageError(
                f"backend {backend.name}: a {backend.curve.type} curve is not strictly concave "
                "(Assumption 1), so that the fluid has many paths; give it a hyperbolic or knee "
                "curve"
            )
