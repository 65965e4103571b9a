"""Runs of the arena: fleets, traffic, settings of policies, and latencies in each cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import pi, sin
from typing import NamedTuple, final

import numpy as np

from isocline.model.fleet import RoutingSystem
from isocline.model.traffic import PiecewiseArrivals, Trace, bursty_trace
from isocline.policies.parse import parse
from isocline.policies.routing import ALL
from isocline.policies.routing.contract import RoutingPolicy
from isocline.policies.wrapped import Wrapped
from isocline.report.reproduce.fits import FloatArray
from isocline.report.reproduce.systems import (
    cached_like_fleet,
    cached_mixed_fleet,
    fleet_a,
    fleet_c,
    like_fleet,
    mixed_fleet,
    regions,
)
from isocline.simulate.common.executor import OrderedExecutor, Simulator
from isocline.simulate.common.measured import Measured
from isocline.simulate.routing.engines import RoutingRun
from isocline.simulate.routing.options import Length, Model, Options, Traffic, experiment_of
from isocline.simulate.routing.replicate import Replication, rehearse, replicate
from isocline.simulate.routing.scenario import scenario

FLEETS = (mixed_fleet, fleet_a, fleet_c, regions, like_fleet)
DEFAULT, PLAIN = "gmsr_secant", "gmsr"
POISSON, BURSTY, DAILY = "Poisson", "bursty", "daily"

# Settings searched in each cell, so that each rival is at its best. Those of its paper or product
# are included.
SETTINGS: Mapping[str, Sequence[str]] = {
    "weighted_least_connections": ("", "join=false"),
    "power_of_d": ("", "d=3"),
    "peak_ewma": ("", "tau=100", "tau=1000"),
    "prequal": ("quantile=0.5", "quantile=0.7", "", "quantile=1"),
    "dgd_lb": ("eta=0.01", "", "eta=1", "eta=10", "eta=100"),
    "least_request": ("", "bias=2", "bias=4"),
    "drain_rate": ("window=1,smoothing=10", "window=10,smoothing=10", ""),
    "least_work": ("", "join=true"),
    "bounded_hash": ("bound=1.01", "bound=1.1", "", "bound=2"),
}
# Additional settings where prompts are cached, so that jobs differ. Only the product of penalty and
# throughput of `sticky_tokens` matters.
TOKEN_SETTINGS: Mapping[str, Sequence[str]] = {
    "predicted_latency": ("", "slo=5", "slo=20", "slo=60"),
    "sticky_tokens": ("penalty=0.5", "penalty=2", "penalty=6", "", "penalty=60"),
    "cache_threshold": ("", "threshold=0.5,absolute=32", "absolute=16", "absolute=4,relative=1.1"),
    "linear_cost": ("weight=0.1", "weight=0.3", "", "weight=3"),
    "least_work": ("", "join=true", "count=held", "count=held,join=true"),
}
# Where jobs are alike, these are equivalent to another rule, which represents them.
SAME = {
    "predicted_latency": "least_expected_latency",
    "lmetric": "jsq",
    "sticky_tokens": "jsq",
    "cache_threshold": "jsq",
    "linear_cost": "jsq",
}
SAMPLED = "gmsr:d=3"


class Cell(NamedTuple):
    """Cell of the arena: one kind of traffic on one fleet."""

    fleet: str
    traffic: str
    load: float
    system: RoutingSystem  # at this load, except for traces
    length: float | None = None  # s; None: length of the trace
    trace: Trace | None = None

    @property
    def name(self) -> str:
        """Name in tables and messages."""
        return f"{self.fleet}, {self.traffic} {self.load:g}"

    @property
    def cached(self) -> bool:
        """Whether prompts are cached, so that jobs differ."""
        return self.system.has_caches

    @property
    def steady(self) -> bool:
        """Whether arrival rates are constant."""
        return self.traffic == POISSON


@final
@dataclass(frozen=True)
class Row:
    """One policy in one cell, at its best setting."""

    policy: str
    setting: str  # options as on the command line; empty: the defaults
    latencies: FloatArray  # (R,) s


@final
@dataclass(frozen=True)
class Effort:
    """Size of the runs."""

    jobs: int  # in a replication without a trace
    replications: int
    fleets: int  # the first so many
    loads: tuple[float, ...]  # of Poisson arrivals
    bursts: tuple[float, ...]  # loads of the generated bursty trace
    traces: tuple[float, ...]  # loads of given traces
    caches: tuple[float, ...]  # loads of traces with blocks of prompts, by the work without caches


FULL = Effort(
    10_000, 5, len(FLEETS), (0.3, 0.5, 0.7, 0.9), (0.3, 0.5, 0.7), (0.5, 0.7), (0.7, 0.95)
)
QUICK = Effort(4_000, 3, 3, (0.5, 0.9), (0.5,), (0.5, 0.7), (0.95,))
MEAN_LOAD, SWING, HOURS = 0.6, 0.5, 24  # of the day: mean load, relative swing, steps


@final
class _Addressed(Wrapped):
    """Wrapper that calls a policy by address, so that one compiled kernel serves all policies."""

    shares_kernel = True

    def __init__(self, policy: RoutingPolicy):
        self.policy = policy

    @property
    def name(self) -> str:  # type: ignore[override]  # of one policy here, not of a class
        return self.policy.name


def cells(effort: Effort, traces: Sequence[Trace], seed: int) -> list[Cell]:
    """All cells, fleet by fleet."""
    bursty = replace(bursty_trace(seed=seed), name=BURSTY)
    found = []
    for make in FLEETS[: effort.fleets]:
        system = make()
        fleet = system.name
        found += [
            _lasting(Cell(fleet, POISSON, load, system), effort.jobs) for load in effort.loads
        ]
        found += [Cell(fleet, BURSTY, load, system, trace=bursty) for load in effort.bursts]
        found.append(_daily(_lasting(Cell(fleet, DAILY, MEAN_LOAD, system), effort.jobs)))
        for trace in traces:
            found += [Cell(fleet, trace.name, load, system, None, trace) for load in effort.traces]
    for trace in traces:
        if trace.blocks is None:
            continue
        for cached in (cached_mixed_fleet, cached_like_fleet):
            system = cached(block_size(trace))
            found += [
                Cell(system.name, trace.name, load, system, None, trace) for load in effort.caches
            ]
    return found


def block_size(trace: Trace) -> int:
    """Tokens per block of a trace with blocks: the most that its prompts have per block."""
    assert trace.blocks is not None
    counts = trace.blocks.counts
    some = counts > 0
    return int(np.ceil((trace.prompt_tokens[some] / counts[some]).max()))


def policies(cached: bool) -> dict[str, tuple[str, ...]]:
    """Settings of each policy to run, by name.

    Policies that hold jobs are left out, as is the one for delayed reports, as there are none here;
    without caches, also policies equivalent to another.
    """
    settings = {**SETTINGS, **TOKEN_SETTINGS} if cached else SETTINGS
    found = {
        name: tuple(settings.get(name, ("",)))
        for name, kind in ALL.items()
        if not kind.may_hold and name != "gmsr_ahead" and (cached or name not in SAME)
    }
    return {PLAIN: found.pop(PLAIN), SAMPLED: ("",)} | found


def played(cell: Cell, effort: Effort, seed: int) -> list[Row]:
    """Run each policy at its best setting in a cell, with the same jobs for all.

    The best setting is chosen from the reported replications, which favours rivals.
    """
    named = {
        (policy, setting): _Addressed(parse(f"{policy}:{setting}" if setting else policy))
        for policy, settings in policies(cell.cached).items()
        for setting in settings
    }
    latencies = dict(zip(named, _latencies(cell, list(named.values()), effort, seed), strict=True))
    rows = []
    for policy, settings in policies(cell.cached).items():
        best = min(settings, key=lambda setting: latencies[policy, setting].mean())
        rows.append(Row(policy, best, latencies[policy, best]))
    return rows


def _latencies(
    cell: Cell, chosen: Sequence[RoutingPolicy], effort: Effort, seed: int
) -> list[FloatArray]:
    """(R,) mean latency of each policy, s.

    Computed by Little's law, so that jobs still held by an overloaded backend count. Without a
    trace, a run starts from the rounded optimum, and its first fifth is discarded.
    """
    load = cell.load if cell.trace is not None else None
    warmup = 0.2 * cell.length if cell.steady and cell.length else None
    options = Options(
        Traffic(trace=cell.trace, load=load),
        Length(horizon=cell.length, warmup=warmup, seed=seed),
        model=Model(start="fluid" if cell.steady else "empty"),
    )
    labels = [str(i) for i in range(len(chosen))]
    experiment = experiment_of(cell.system, dict(zip(labels, chosen, strict=True)), options)
    # Listed jobs, with their sizes, are the same for all policies.
    settings = replace(experiment.settings, listed=True)
    runs = [replace(run, settings=settings) for run in experiment.runs]
    simulator = Simulator(replicate, rehearse)
    work: OrderedExecutor[RoutingRun, Replication] = OrderedExecutor(runs, simulator)
    work.extend(effort.replications)
    parts = [Measured(reps, settings.ends, settings.discarded_blocks) for reps in work.kept]
    return [part.numbers / part.arrived for part in parts]


def _lasting(cell: Cell, jobs: int) -> Cell:
    """The cell with its system at its load, and the length in which `jobs` jobs arrive."""
    system = scenario(cell.system, load=cell.load).system
    return cell._replace(system=system, length=jobs / float(system.rates.sum()))


def _daily(cell: Cell) -> Cell:
    """The cell with rates that rise and fall over its length, as over a day."""
    day = cell.length
    assert day is not None

    def arrivals(rate: float) -> PiecewiseArrivals:
        swing = (1.0 - SWING * sin(2.0 * pi * (hour + 0.5) / HOURS) for hour in range(HOURS))
        steps = ((hour * day / HOURS, rate * factor) for hour, factor in enumerate(swing))
        return PiecewiseArrivals(tuple(steps), day)

    return cell._replace(system=cell.system.with_arrivals(arrivals))
