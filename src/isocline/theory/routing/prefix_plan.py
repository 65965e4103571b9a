"""Plan of a system whose requests begin alike: where prefixes are cached, and what that is worth.

All requests of a frontend begin with the same `Frontend.prefix` tokens, as with the instructions
that an application puts before each prompt. Where these are cached, a request has less work: w_fb
of `work_flow`. If every backend had room for all prefixes, the plan would be one level flow with
gains, and no placement has fewer jobs than that. Where it uses more copies than fit, those worth
least for their tokens are left out, and the rest is planned again until all fit. In its place, if
that is better, copies are added one by one from none on. The best placement is a knapsack's, so
neither need be the best: the flow without any limit remains the bound.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.fleet import RoutingSystem
from isocline.theory.routing.active_frontends import with_arrivals
from isocline.theory.routing.plan_records import PrefixCopy, PrefixPlan, SplitRate
from isocline.theory.routing.work_flow import OverloadError, WorkFlow, work_flow

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# Share of a frontend's rate below which an edge is not used: the flow is that of an interior point.
_UNUSED = 1e-6
# Share of the jobs that more copies must be able to save.
_WORTHWHILE = 1e-6


def prefix_plan(system: RoutingSystem, jobs_without: float | None) -> PrefixPlan | None:
    """Plan copies of prefixes; None if there are none to be cached, or the load is too much then.

    Args:
        system: The system; frontends without arrivals are left out.
        jobs_without: Jobs of the plan without caches; None: that load cannot be served.

    Raises:
        UsageError: Prompts are no work, or a prefix is more work than a request.
        NumericalError: The load is too close to the capacity.
    """
    if not system.has_caches or not any(frontend.prefix for frontend in system.frontends):
        return None
    try:
        return _planned(with_arrivals(system), jobs_without)
    except OverloadError:
        return None


def _planned(system: RoutingSystem, jobs_without: float | None) -> PrefixPlan:
    warm, tokens = _warm_work(system)
    graph = system.graph
    room = np.array([backend.cache_tokens or 0 for backend in system.backends])
    problem = _Placement(system, warm, tokens, room)
    cached = (warm < 1.0) & (tokens <= room[graph.sink])
    free = problem.flow(cached)
    cached, found = problem.thinned(cached, free)
    if found.total_jobs - free.least_jobs > _WORTHWHILE * found.total_jobs:
        cached, found = problem.grown(cached, found)
        if jobs_without is not None:
            nothing = np.zeros_like(cached)
            other = problem.grown(nothing, problem.flow(nothing))
            cached, found = min((cached, found), other, key=lambda it: it[1].total_jobs)
    worth = problem.worth(cached, found)
    used = cached & (found.flow > _UNUSED * system.rates[graph.source])
    names = [(system.frontends[f].name, system.backends[b].name) for f, b in _ends(system)]
    flow = np.where(found.flow > _UNUSED * system.rates[graph.source], found.flow, 0.0)
    return PrefixPlan(
        found.total_jobs,
        min(free.least_jobs, found.total_jobs),
        jobs_without,
        found.total_jobs / float(system.rates.sum()),
        tuple(
            PrefixCopy(*names[e], int(tokens[e]), float(flow[e]), float(worth[e]))
            for e in map(int, np.argsort(-worth, kind="stable"))
            if used[e]
        ),
        tuple(SplitRate(*names[e], rate) for e, rate in enumerate(flow.tolist()) if rate > 0.0),
    )


def _warm_work(system: RoutingSystem) -> tuple[FloatArray, FloatArray]:
    """(E,) work of a job, in mean jobs, where its prefix is cached; (E,) tokens that this takes."""
    work, size = system.work, system.block_size
    if work.prefill == 0.0:
        raise UsageError(
            "work: prefill is 0, so that a prefix cache saves nothing; give the work of a prompt "
            "token, as work: {unit: tokens, mean: 900, prefill: 0.1, decode: 1.0}"
        ).within("work", "prefill")
    prefix = np.array([frontend.prefix // size * size for frontend in system.frontends])
    warm = 1.0 - work.prefill * prefix / work.mean
    for frontend, left in zip(system.frontends, warm.tolist(), strict=True):
        if left <= 0.0:
            raise UsageError(
                f"frontend {frontend.name!r}: its prefix of {frontend.prefix} tokens is "
                f"{work.prefill * frontend.prefix:g} {work.unit} of work, and a mean request has "
                f"{work.mean:g}; give a shorter prefix, or a greater work.mean"
            ).within("frontends", frontend.name, "prefix")
    return warm[system.graph.source], prefix[system.graph.source]


@final
@dataclass(frozen=True)
class _Placement:
    """Copies, as (E,) flags, and what is to be known of them."""

    system: RoutingSystem
    warm: FloatArray  # (E,) work of a job where its prefix is cached, in mean jobs
    tokens: FloatArray  # (E,) that a copy takes
    room: FloatArray  # (B,) tokens

    def flow(self, cached: BoolArray) -> WorkFlow:
        """The best split with these copies."""
        return work_flow(self.system, np.where(cached, self.warm, 1.0))

    def worth(self, cached: BoolArray, found: WorkFlow) -> FloatArray:
        """(E,) jobs that each copy saves, to first order; 0 where there is none."""
        saved = np.where(cached, 1.0 - self.warm, 0.0)
        return np.asarray(found.flow * saved * found.price[self.system.graph.sink])

    def thinned(self, cached: BoolArray, found: WorkFlow) -> tuple[BoolArray, WorkFlow]:
        """Leave out copies until those in use fit, the least worth for their tokens first."""
        rates = self.system.rates[self.system.graph.source]
        while True:
            used = cached & (found.flow > _UNUSED * rates)
            kept = self._fitting(self.worth(used, found))
            if not (used & ~kept).any():
                return used, found
            cached = cached & ~(used & ~kept)
            found = self.flow(cached)

    def grown(self, cached: BoolArray, found: WorkFlow) -> tuple[BoolArray, WorkFlow]:
        """Add copies that fit one by one, that with the greatest bound for its tokens first."""
        graph, rates = self.system.graph, self.system.rates
        while True:
            left = self.room - np.bincount(graph.sink, cached * self.tokens, graph.sinks)
            may = ~cached & (self.warm < 1.0) & (self.tokens <= left[graph.sink])
            # As in `best_copies`.
            most = found.level[graph.source] - self.warm * found.price[graph.sink]
            bound = np.where(may, rates[graph.source] * most, 0.0)
            if bound.max() <= _WORTHWHILE * found.total_jobs:
                return cached, found
            best = int(np.argmax(bound / np.maximum(self.tokens, 1.0)))
            cached = cached | (np.arange(cached.size) == best)
            found = self.flow(cached)

    def _fitting(self, worth: FloatArray) -> BoolArray:
        """(E,) copies that fit, at each backend those worth most for their tokens first."""
        left = self.room.astype(np.float64)
        kept = np.zeros(worth.size, np.bool_)
        for edge in np.argsort(-worth / np.maximum(self.tokens, 1.0), kind="stable").tolist():
            sink = self.system.graph.sink[edge]
            if worth[edge] > 0.0 and self.tokens[edge] <= left[sink]:
                left[sink] -= self.tokens[edge]
                kept[edge] = True
        return kept


def _ends(system: RoutingSystem) -> list[tuple[int, int]]:
    graph = system.graph
    return list(zip(graph.source.tolist(), graph.sink.tolist(), strict=True))
