"""Overload: what is served of a load that cannot be, who stays stable, and where jobs pile up.

Version 3 of the GMSR paper (arXiv 2411.17103) says of the fluid under an overload that GMSR
maximises throughput, stabilises the most backends among the policies that do, and minimises the
workload on those. All three are computed here.

No policy serves more than the value of a cut: what the frontends outside bring, and the capacity of
the backends inside. Curves stay below their peaks, so that a policy that attains the minimum keeps
backends inside a minimum cut at their peaks only by ever more jobs. The widest minimum cut has all
of those. Outside, frontends bring less than the backends there can take, whatever the set, and must
be served there alone: by Lemma 1 with no fewer jobs than at the optimum of Eq. (1) of that part.

GMSR attains all of it: as workloads inside grow, marginal rates there fall to 0, so that frontends
with a choice leave those backends alone. What it does inside is in `growth`: totals follow from
conservation; shares of single backends are derived from the tails of the curves, for long times.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.flow import Certificate, FlowStatus, LevelFlow, LevelFlowProblem, Prices, solve
from isocline.flow.maxflow import FlagArray
from isocline.flow.throughput import cut_of, greatest_throughput
from isocline.model.fleet import RoutingSystem
from isocline.model.graph import CompatibilityGraph, IndexArray
from isocline.theory.routing.growth import BOUNDED, Growth, Tail, growth, tail_of
from isocline.theory.routing.plan_records import (
    BackendOverload,
    FrontendOverload,
    Overload,
    OverloadCertificate,
    PileUp,
    SplitRate,
)
from isocline.theory.routing.workloads import workloads

FloatArray = npt.NDArray[np.float64]


class _Stable(NamedTuple):
    """The part outside of the cut, at the optimum of Eq. (1)."""

    jobs: FloatArray  # (B,) nan inside the cut
    inflow: FloatArray  # (B,) jobs/s
    marginal: FloatArray  # (B,) jobs/s per job; 0 inside the cut
    flow: FloatArray  # (E,) jobs/s
    certificate: Certificate | None  # None where nothing arrives outside of the cut


def overload(system: RoutingSystem) -> Overload | None:
    """What becomes of a load that cannot be served; None of one that can.

    Args:
        system: The system; its curves must be strictly concave (Assumption 1).

    Raises:
        NumericalError: A certificate is missed, which no known input causes.
    """
    graph, rates, capacities = system.graph, system.rates, system.capacities
    most = greatest_throughput(graph, rates, capacities)
    sources, sinks = most.sources, most.sinks
    stable, sources, sinks = _stable(system, sources, sinks)
    if not sinks.any():
        return None
    tails = [tail_of(curve) for curve in system.curves]
    inside = np.concatenate((sources, sinks))
    grown = growth(graph, rates, capacities, tails, inside, most.flow)
    flow, split_known = _whole(graph, rates, grown, stable)
    # Of what reaches a backend where jobs pile up, all frontends have the same share served.
    share = capacities / (capacities + np.maximum(np.nan_to_num(grown.growth), 0.0))
    served = np.add.reduceat(flow * share[graph.sink], graph.first[:-1])
    throughput = cut_of(rates, capacities, sources, sinks)
    return Overload(
        arrivals=math.fsum(rates),
        throughput=throughput,
        stable_jobs=math.fsum(stable.jobs[~sinks]),
        frontends=tuple(
            map(
                FrontendOverload,
                (frontend.name for frontend in system.frontends),
                rates.tolist(),
                np.minimum(served, rates).tolist(),
            )
        ),
        backends=tuple(_backends(system, stable, sinks, grown, tails)),
        split=tuple(
            SplitRate(system.frontends[f].name, system.backends[b].name, rate)
            for f, b, rate in zip(
                graph.source.tolist(), graph.sink.tolist(), flow.tolist(), strict=True
            )
            if rate > 0.0 and split_known[f]
        ),
        pile_ups=tuple(_pile_ups(system, grown)),
        certificate=OverloadCertificate(
            carried=most.carried,
            cut=throughput,
            conservation=stable.certificate.conservation if stable.certificate else 0.0,
            slope_gap=stable.certificate.slope_gap if stable.certificate else 0.0,
        ),
    )


def _stable(
    system: RoutingSystem, sources: FlagArray, sinks: FlagArray
) -> tuple[_Stable, FlagArray, FlagArray]:
    """Optimum outside of a cut, and the cut: wider, where rounding had left out what is full."""
    graph = system.graph
    while True:
        solved, edges, outer = _solved(system, sources, sinks)
        if solved is None or solved.status is FlowStatus.OPTIMAL:
            break
        sources, sinks = sources.copy(), sinks.copy()
        sources[np.flatnonzero(~sources)[solved.violated_sources]] = True
        sinks[np.flatnonzero(~sinks)[solved.violated_sinks]] = True
        sources |= np.logical_and.reduceat(sinks[graph.sink], graph.first[:-1])
    curves = system.curves
    jobs = np.where(sinks, np.nan, 0.0)
    inflow, flow = np.zeros(graph.sinks), np.zeros(graph.edges)
    empty = np.array([float(curve.marginal(0.0)) for curve in curves])
    marginal = np.where(sinks, 0.0, empty)
    if solved is not None:
        inflow[outer], flow[edges] = solved.inflow, solved.flow
        marginal[outer] = 1.0 / solved.price
        jobs[outer] = workloads([curves[b] for b in outer], solved.inflow, solved.price)
    certificate = None if solved is None else solved.certificate
    return _Stable(jobs, inflow, marginal, flow, certificate), sources, sinks


def _solved(
    system: RoutingSystem, sources: FlagArray, sinks: FlagArray
) -> tuple[LevelFlow | None, IndexArray, IndexArray]:
    """Level flow outside of a cut, None where nothing arrives; its edges and its backends."""
    graph = system.graph
    outer, left = np.flatnonzero(~sinks), np.flatnonzero(~sources)
    edges = np.flatnonzero(~sources[graph.source] & ~sinks[graph.sink])
    rates = system.rates[left]
    if not rates.any():
        return None, edges, outer
    pairs = np.column_stack(
        (np.searchsorted(left, graph.source[edges]), np.searchsorted(outer, graph.sink[edges]))
    )
    smaller = CompatibilityGraph.from_edges(left.size, outer.size, pairs)
    prices = Prices.of_curves([system.curves[b] for b in outer])
    return solve(LevelFlowProblem(smaller, rates, prices)), edges, outer


def _whole(
    graph: CompatibilityGraph, rates: FloatArray, grown: Growth, stable: _Stable
) -> tuple[FloatArray, FlagArray]:
    """(E,) jobs/s on each edge in the long run, and (S,) whether a frontend's are determined.

    Where they are not, it is what one maximum flow serves.
    """
    of_source, of_sink = grown.group[: graph.sources], grown.group[graph.sources :]
    known = ~np.isin(of_source, of_sink[np.isnan(grown.growth)])
    flow = np.where(of_source[graph.source] == of_sink[graph.sink], grown.flow, 0.0)
    # What rounding left unsent is shared out in proportion.
    sent = np.add.reduceat(flow, graph.first[:-1])
    scale = np.where(known & (sent > 0.0), rates / np.where(sent > 0.0, sent, 1.0), 1.0)
    inside = (of_source >= 0)[graph.source]
    return np.where(inside, flow * scale[graph.source], stable.flow), known


def _backends(
    system: RoutingSystem,
    stable: _Stable,
    sinks: FlagArray,
    grown: Growth,
    tails: list[Tail | None],
) -> list[BackendOverload]:
    made = []
    for b, backend in enumerate(system.backends):
        more, tail, peak = float(grown.growth[b]), tails[b], float(system.capacities[b])
        jobs: float | None = None
        status: Literal["stable", "full", "growing"] = "growing"
        rate, marginal = peak, 0.0
        if not sinks[b]:
            status, jobs = "stable", float(stable.jobs[b])
            rate, marginal = float(stable.inflow[b]), float(stable.marginal[b])
        elif more == 0.0 and tail is not None and tail.order == BOUNDED:
            status, jobs = "full", tail.weight
        growing = None if math.isnan(more) else more
        made.append(BackendOverload(backend.name, status, jobs, rate, marginal, growing))
    return made


def _pile_ups(system: RoutingSystem, grown: Growth) -> list[PileUp]:
    """The groups in which jobs pile up, the fastest first."""
    sources, found = system.graph.sources, []
    order = np.argsort(grown.group, kind="stable")
    ends = np.searchsorted(grown.group[order], np.arange(grown.count + 1))
    for g in range(grown.count):
        nodes = order[ends[g] : ends[g + 1]]
        frontends, backends = nodes[nodes < sources], nodes[nodes >= sources] - sources
        rate = math.fsum(system.rates[frontends])
        capacity = math.fsum(system.capacities[backends])
        more = grown.growth[backends]
        excess = math.fsum(more) if np.isfinite(more).all() else rate - capacity
        found.append(
            PileUp(
                tuple(system.frontends[f].name for f in frontends),
                tuple(system.backends[b].name for b in backends),
                rate,
                capacity,
                excess,
            )
        )
    return sorted(found, key=lambda one: (-one.growth, one.backends))
