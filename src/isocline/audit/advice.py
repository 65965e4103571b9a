"""Advice on the fleet of a log: connections and machines that would help most.

Each saves so much of the mean latency at the optimum, and as much of that of a router near it. A
machine is a second one like one that is there, for the same frontends.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.audit.learned import usual_workloads
from isocline.errors import IsoclineError
from isocline.learn.fit import Fit
from isocline.model.fleet import RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.theory.planning import plan
from isocline.theory.routing.equilibrium import fluid_optimum

FloatArray = npt.NDArray[np.float64]

# Curves are alike if they are so near each other at each workload that both usually have: two
# machines of one kind, as each was learned from some thousand completions.
_ALIKE = 0.1
_MOST_EDGES = 5
_MOST_KINDS = 12


class Saving(NamedTuple):
    """s of mean latency that one change saves, on each of the drawn systems."""

    names: tuple[str, ...]  # frontend and backend; or backends of the kind that one more is added
    drawn: FloatArray  # (R,) nan where a system cannot serve the load


def missing_connections(learned: RoutingSystem, systems: Sequence[RoutingSystem]) -> list[Saving]:
    """The connections that would help most by the learned curves, and what by the drawn ones."""
    try:
        best = plan(learned, edges_to_try=_MOST_EDGES)
    except IsoclineError:
        return []
    found = []
    names = {backend.name: b for b, backend in enumerate(learned.backends)}
    fronts = {frontend.name: f for f, frontend in enumerate(learned.frontends)}
    for edge in best.missing_edges[:_MOST_EDGES]:
        pair = fronts[edge.frontend], names[edge.backend]
        drawn = [_saved(system, system.with_edge(*pair)) for system in systems]
        found.append(Saving((edge.frontend, edge.backend), np.array(drawn)))
    return found


def more_machines(systems: Sequence[RoutingSystem], fits: Sequence[Fit]) -> list[Saving]:
    """One more machine of each kind."""
    found = []
    for kind in kinds(fits)[:_MOST_KINDS]:
        saved = [_saved(system, _with_copy(system, kind[0])) for system in systems]
        names = tuple(systems[0].backends[b].name for b in kind)
        found.append(Saving(names, np.array(saved)))
    return found


def kinds(fits: Sequence[Fit]) -> list[list[int]]:
    """Backends whose curves are alike, in groups; of each the one seen the most comes first."""
    order = sorted(range(len(fits)), key=lambda b: -fits[b].completions)
    groups: list[list[int]] = []
    for b in order:
        one = fits[b]
        for group in groups:
            if _alike(one, fits[group[0]]):
                group.append(b)
                break
        else:
            groups.append([b])
    return groups


def _alike(one: Fit, other: Fit) -> bool:
    """Whether curves are near each other at the workloads that both have most of the time."""
    ends = [usual_workloads(fit.known) for fit in (one, other)]
    low, high = max(low for low, _ in ends), min(high for _, high in ends)
    if low > high:
        return False
    n = np.arange(low, high + 1)
    return bool(np.allclose(one.rate(n), other.rate(n), rtol=_ALIKE))


def _saved(system: RoutingSystem, changed: RoutingSystem) -> float:
    try:
        jobs = fluid_optimum(system).total_jobs - fluid_optimum(changed).total_jobs
    except IsoclineError:  # the load is more than these curves serve: no latency to compare with
        return float("nan")
    return jobs / float(system.rates.sum())


def _with_copy(system: RoutingSystem, backend: int) -> RoutingSystem:
    more = replace(system.backends[backend], name=f"{system.backends[backend].name} (added)")
    added = len(system.backends)
    neighbours = [
        [*system.graph.neighbours(f).tolist()] + [added] * system.graph.has_edge(f, backend)
        for f in range(len(system.frontends))
    ]
    graph = CompatibilityGraph.from_neighbours(added + 1, neighbours)
    return replace(system, backends=(*system.backends, more), graph=graph)
