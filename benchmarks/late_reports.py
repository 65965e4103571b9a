"""Sixteen frontends with prefix caches and late reports: `python -m benchmarks.late_reports TRACE`.

TRACE has the blocks of its prompts, as Mooncake's. Each backend reports its workload once in the
mean latency that one frontend which sees all reaches, so that a report is half as old on average.
Prices are those of `gmsr`; by rows, what a frontend takes a workload for, and whether it knows what
caches hold or has homes. The figures are mean latencies over that of one frontend. "As expected" is
what routers do (`isocline.gateway.core.jobs_of_others`): jobs of others relax from the report to
the mean of reports, in the time that jobs stay, and respond as one's own do.

The last rows are a yardstick of what cannot be known: the present workload, plus a normal error of
the variance that arrivals and ends of the other fifteen frontends' jobs have since the report. No
herd can come of that, as errors are independent.
"""

import sys
from dataclasses import dataclass, replace
from math import cos, exp, log, pi, sqrt
from typing import Any, ClassVar, final

import numpy as np

import isocline
from isocline.compilation.compiled import inlinable, value_as
from isocline.gateway.core.jobs_of_others import AVERAGED
from isocline.model.fleet import Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals, Trace
from isocline.policies.routing.contract import (
    CHOOSE,
    OBSERVE,
    WORK,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
)
from isocline.randomness.draws import bits, unit
from isocline.report.reproduce.arena_runs import block_size
from isocline.report.reproduce.systems import cached_like_fleet, cached_mixed_fleet
from isocline.simulate.routing.cache_knowledge import Caches

FRONTENDS = 16
LOADS = 0.7, 0.9, 1.1  # by the work without caches
PRESENT, REPORTED, BLURRED, EXPECTED = 0, 1, 2, 3  # kinds of `Late`
KIND, BACKENDS, AGE, TIMES = 0, 1, 2, 3  # of its options
# Of its memory: by edge, own jobs that came less those that ended since the report; by backend, the
# last report, when the next one is due, jobs sent there by all, and reports so far. By edge again,
# own jobs there now and at the report, those of others at the report, means of both, own mean stay,
# s, and own ends so far. By frontend, at its first edge: sums of products and of squares.
OWN, REPORT, NEXT, SENT, REPORTS = 0, 1, 2, 3, 4
MINE, LAST, OTHERS, MY_MEAN, MEAN, STAY, ENDS = 5, 6, 7, 8, 9, 10, 11
PRODUCTS, SQUARES = 12, 13
COLUMNS = 14


@inlinable
def surprise(memory: Any, edge: int, age: float) -> tuple[float, float]:
    """Own jobs beyond those expected so long after a report; and the jobs expected of others."""
    left = exp(-age / memory[edge, STAY]) if memory[edge, STAY] > 0.0 else 1.0
    mine = memory[edge, MY_MEAN] + (memory[edge, LAST] - memory[edge, MY_MEAN]) * left
    others = memory[edge, MEAN] + (memory[edge, OTHERS] - memory[edge, MEAN]) * left
    return memory[edge, MINE] - mine, others


@inlinable
def take_report(memory: Any, edge: int, first: int, b: int, age: float, backends: int) -> None:
    """Take in the report of a backend at one of its edges; `first` is its frontend's first."""
    seen = memory[b, REPORT] - memory[edge, MINE]
    if memory[b, REPORTS] > 2.0:
        mine, others = surprise(memory, edge, age)
        kept = 1.0 - 1.0 / (AVERAGED * backends)
        memory[first, PRODUCTS] = kept * memory[first, PRODUCTS] + mine * (seen - others)
        memory[first, SQUARES] = kept * memory[first, SQUARES] + mine * mine
    memory[edge, OWN] = 0.0
    memory[edge, LAST], memory[edge, OTHERS] = memory[edge, MINE], seen
    memory[edge, MEAN] += (seen - memory[edge, MEAN]) / memory[b, REPORTS]
    memory[edge, MY_MEAN] += (memory[edge, MINE] - memory[edge, MY_MEAN]) / memory[b, REPORTS]


@value_as(CHOOSE)
def cheapest(candidates: Any, view: View, now: float, rng: Any) -> int:
    """The candidate with the least work times price, at the workload that its frontend believes."""
    memory, option = view.memory, view.option
    backends, age = int(option[BACKENDS]), option[AGE]
    frontends = view.backend.size // backends
    if age > 0.0:
        for b in range(backends):
            if now >= memory[b, NEXT]:
                memory[b, REPORT] = view.workload[b]
                while memory[b, NEXT] <= now:
                    memory[b, NEXT] += age
                memory[b, REPORTS] = min(memory[b, REPORTS] + 1.0, AVERAGED)
                for edge in range(b, frontends * backends, backends):
                    take_report(memory, edge, edge - b, b, age, backends)
    best, lowest = candidates[0], np.inf
    for i in range(candidates.size):
        edge = candidates[i]
        b = view.backend[edge]
        jobs = float(view.workload[b])
        if option[KIND] == REPORTED:
            jobs = memory[b, REPORT] + option[TIMES] * memory[edge, OWN]
        elif option[KIND] == EXPECTED:
            mine, others = surprise(memory, edge, now - (memory[b, NEXT] - age))
            first = edge // backends * backends
            if memory[first, SQUARES] > 0.0:
                others += memory[first, PRODUCTS] / memory[first, SQUARES] * mine
            jobs = memory[edge, MINE] + others
        elif option[KIND] == BLURRED:
            since = now - (memory[b, NEXT] - age)
            others = memory[b, SENT] / max(now, 1e-9) * since * (frontends - 1) / frontends
            one, two = unit(bits(rng)), unit(bits(rng))
            jobs += sqrt(2.0 * others) * sqrt(-2.0 * log(1.0 - one)) * cos(2.0 * pi * two)
        jobs = min(max(jobs, 0.0), view.table.shape[1] - 2.0)
        low, row = int(jobs), view.table[view.row[b]]
        price = row[low] + (jobs - low) * (row[low + 1] - row[low])
        if price * view.work[edge, WORK] < lowest:
            best, lowest = edge, price * view.work[edge, WORK]
    memory[best, OWN] += 1.0
    memory[best, MINE] += 1.0
    memory[view.backend[best], SENT] += 1.0
    return best  # type: ignore[no-any-return]


@value_as(OBSERVE)
def ended(edge: int, latency: float, now: float, view: View) -> None:  # noqa: ARG001 - contract
    """A job of the edge's frontend is done."""
    memory = view.memory
    memory[edge, OWN] -= 1.0
    memory[edge, MINE] -= 1.0
    memory[edge, ENDS] = min(memory[edge, ENDS] + 1.0, AVERAGED)
    memory[edge, STAY] += (latency - memory[edge, STAY]) / memory[edge, ENDS]


@final
@dataclass(frozen=True)
class Late(RoutingPolicy):
    """`gmsr` on late workloads; own jobs since the report count `times` times."""

    name: ClassVar[str] = "late"
    choose = cheapest
    observe = ended
    needs_latency: ClassVar[bool] = True
    reads_tokens: ClassVar[bool] = True
    backends: int = 0
    kind: int = PRESENT
    age: float = 0.0
    times: float = 1.0

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        with np.errstate(all="ignore"):
            return np.minimum(
                1.0 / np.array([c.marginal(workloads) for c in setting.curves]), 1e300
            )

    def memory(self, setting: Setting) -> FloatArray:
        kept = np.zeros((setting.graph.edges, COLUMNS))
        kept[: self.backends, NEXT] = self.age * (np.arange(self.backends) + 0.5) / self.backends
        return kept

    def option(self) -> FloatArray:
        return np.array([self.kind, self.backends, self.age, self.times])


def divided(system: RoutingSystem) -> RoutingSystem:
    """The arrivals of a system's one frontend at sixteen."""
    arrivals = PoissonArrivals(float(system.rates.sum()) / FRONTENDS)
    rows = [range(len(system.backends))] * FRONTENDS
    return replace(
        system,
        frontends=tuple(Frontend(f"f{i}", arrivals) for i in range(FRONTENDS)),
        graph=CompatibilityGraph.from_neighbours(len(system.backends), rows),
    )


def mean(
    system: RoutingSystem, trace: Trace, load: float, policy: Late, knowledge: Caches
) -> float:
    found = isocline.simulate(
        system, [policy], trace=trace, load=load, replications=2, cache_knowledge=knowledge,
        percentiles=False,
    ).policies[0].mean_latency  # fmt: skip
    assert found is not None
    return found.value


def main() -> None:
    trace = isocline.read_trace(sys.argv[1])
    for make in (cached_mixed_fleet, cached_like_fleet):
        system = make(block_size(trace))
        whole, plain = divided(system), Late(len(system.backends))
        for load in LOADS:
            one = mean(system, trace, load, plain, "exact")
            late = replace(plain, kind=REPORTED, age=one)
            expected, blurred = replace(late, kind=EXPECTED), replace(late, kind=BLURRED)
            print(f"{system.name}, load {load}: one frontend {one:.3f} s")
            rows: tuple[tuple[str, Late, Caches], ...] = (
                ("the present, homes", plain, "homes"),
                ("report and own jobs since, caches known", late, "exact"),
                ("report and own jobs since, homes", late, "homes"),
                ("the same, own jobs 8 times", replace(late, times=8.0), "homes"),
                ("own jobs, and others' as expected, caches known", expected, "exact"),
                ("the same, homes", expected, "homes"),
                ("the present with the error of others, caches known", blurred, "exact"),
                ("the same, homes", blurred, "homes"),
            )
            for words, policy, knowledge in rows:
                ratio = mean(whole, trace, load, policy, knowledge) / one
                print(f"  {words:52}{ratio:6.3f}", flush=True)


if __name__ == "__main__":
    main()
