"""Cost of learning: the runs behind `gmsr_learning`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np

from isocline.learn import Learning
from isocline.model.curves import Curve, KneeCurve, TableCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals
from isocline.policies.parse import parse
from isocline.policies.routing.contract import RoutingPolicy
from isocline.report.reproduce.fits import FloatArray
from isocline.report.reproduce.systems import mixed_fleet
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.executor import OrderedExecutor, Simulator
from isocline.simulate.common.replication import Run
from isocline.simulate.common.run_settings import BATCH, BATCHES
from isocline.simulate.common.statistics.intervals import interval
from isocline.simulate.routing.learned_policy import LearnedPolicy
from isocline.simulate.routing.learning_engine import LearningEngine
from isocline.simulate.routing.prepare import Prepared, prepare
from isocline.simulate.routing.replicate import Replication, rehearse, replicate
from isocline.simulate.routing.run_settings import RunSettings
from isocline.simulate.routing.scenario import scenario
from isocline.simulate.routing.slowdown import Slowdown
from isocline.theory.routing.equilibrium import fluid_optimum

LOAD, SLOWED_LOAD = 0.7, 0.6
# Ends of the windows, in blocks of the run and in completions of the backend that has the fewest.
BLOCKS = np.array([0, 9, 18, 30, 60, 120, 240])
COMPLETIONS = 1600 * BLOCKS / (BATCH * BATCHES)
AFTER = 3  # windows before 200 completions of every backend
SHOWN = (50, 200, 800)  # completions at which learned curves are drawn

SLOWED, FACTOR, AT, UNTIL = "large-1", 2.0, 20.0, 40.0  # s
BIN = 3  # blocks: half a second
RECOVERED = 5.0  # s after the slowdown
GMSR, LEARNED = parse("gmsr"), LearnedPolicy(parse("gmsr"), Learning())


class Cost(NamedTuple):
    """What learning costs on one fleet."""

    fleet: str
    ratio: list[Estimate]  # mean latency over that of GMSR that knows, in each window
    overall: Estimate  # the same over all windows after 200 completions
    jsq: float  # the same of join the shortest queue
    bound: float  # the bound of Lemma 1 over the mean latency of GMSR that knows


class Learnt(NamedTuple):
    """One machine's curve."""

    true: Curve
    at: float  # jobs, in the optimum
    learned: list[TableCurve]  # after each of SHOWN


@final
@dataclass(frozen=True, eq=False)
class Slowing:
    """Mean latency through a silent slowdown; bins of time."""

    since: FloatArray  # (T,) s, middle of each bin, from the slowdown on
    latency: Mapping[str, FloatArray]  # (T,) s, of each policy
    bounds: tuple[float, float]  # s, before and after
    recovered: Mapping[str, Estimate]  # over that of GMSR that is told, once recovered


def small_and_large() -> RoutingSystem:
    """Two small machines that are full early, two large ones that need many jobs."""
    small, large = KneeCurve(120.0, 4.0, 4.0), KneeCurve(200.0, 32.0, 4.0)
    return RoutingSystem(
        (Frontend("all", PoissonArrivals(400.0)),),
        tuple(
            Backend(f"{kind}-{i}", curve)
            for kind, curve in (("small", small), ("large", large))
            for i in (1, 2)
        ),
        CompatibilityGraph.from_neighbours(4, [range(4)]),
        name="small and large",
    )


def cost_of(system: RoutingSystem, replications: int, seed: int) -> Cost:
    """What learning costs on a fleet, from its first job on."""
    prepared = _at(system, LOAD)
    settings = RunSettings(_time_to(prepared, COMPLETIONS[-1]), 0.0, seed)
    policies = [GMSR, LEARNED, parse("jsq")]
    knows, learns, shortest = _replicated(prepared, policies, settings, replications)
    windows = list(zip(BLOCKS[:-1].tolist(), BLOCKS[1:].tolist(), strict=True))
    after = (int(BLOCKS[AFTER]), int(BLOCKS[-1]))
    known = _means(knows, *after).mean()
    bound = prepared.optimum.total_jobs / float(prepared.system.rates.sum())
    return Cost(
        system.name,
        [_ratio(learns, knows, *window) for window in windows],
        _ratio(learns, knows, *after),
        float(_means(shortest, *after).mean() / known),
        float(bound / known),
    )


def _replicated(
    prepared: Prepared, policies: Sequence[RoutingPolicy], settings: RunSettings, replications: int
) -> list[list[Replication]]:
    """Replications of each policy, with the same arrivals."""
    runs = [Run(prepared, policy, settings) for policy in policies]
    work = OrderedExecutor(runs, Simulator(replicate, rehearse))
    work.rehearse()
    work.extend(replications)
    return work.kept


def _at(system: RoutingSystem, load: float) -> Prepared:
    return prepare(scenario(system, load=load).system)


def _time_to(prepared: Prepared, completions: float) -> float:
    """When the slowest backend should have so many completions, s, by the fluid optimum."""
    optimum = prepared.optimum
    inflow = [
        float(c.rate(n)) for c, n in zip(prepared.system.curves, optimum.workloads, strict=True)
    ]
    return float(completions / min(inflow))


def _means(reps: Sequence[Replication], first: int, last: int) -> FloatArray:
    """(R,) mean latency of the jobs that left in these blocks, s."""
    return np.array([r.sojourn[first:last].sum() / r.timed[first:last].sum() for r in reps])


def _ratio(
    one: Sequence[Replication], other: Sequence[Replication], first: int, last: int
) -> Estimate:
    """The first's mean latency over the second's, by paired differences."""
    base = _means(other, first, last)
    excess = interval(_means(one, first, last) - base).over(float(base.mean()))
    return Estimate(1.0 + excess.value, 1.0 + excess.low, 1.0 + excess.high)


def slowing_of(replications: int, seed: int) -> Slowing:
    """The small-and-large fleet through a slowdown, told and untold."""
    system = scenario(small_and_large(), load=SLOWED_LOAD).system
    prepared = prepare(system).one_row_each()
    kept: dict[str, list[Replication]] = {}
    for told, policies in (
        (True, {"told": GMSR}),
        (False, {"learned": LEARNED, "believes the old curve": GMSR, "jsq": parse("jsq")}),
    ):
        settings = RunSettings(UNTIL, 0.0, seed, slowdowns=(Slowdown(SLOWED, FACTOR, AT, told),))
        found = _replicated(prepared, list(policies.values()), settings, replications)
        kept |= dict(zip(policies, found, strict=True))
    blocks = BATCH * BATCHES
    ends = np.arange(0, blocks + 1, BIN)
    block = UNTIL / blocks
    first = round((AT + RECOVERED) / block)
    return Slowing(
        (ends[:-1] + ends[1:]) / 2.0 * block - AT,
        {name: _over_time(reps) for name, reps in kept.items()},
        (_bound(system), _bound(_slowed(system))),
        {name: _ratio(reps, kept["told"], first, blocks) for name, reps in kept.items()},
    )


def _over_time(reps: Sequence[Replication]) -> FloatArray:
    """(T,) mean latency of the jobs that left in each bin, s."""
    sojourn = np.sum([r.sojourn for r in reps], axis=0).reshape(-1, BIN).sum(axis=1)
    timed = np.sum([r.timed for r in reps], axis=0).reshape(-1, BIN).sum(axis=1)
    return np.asarray(sojourn / timed)


def _slowed(system: RoutingSystem) -> RoutingSystem:
    backends = tuple(
        Backend(b.name, b.curve.scaled(1.0 / FACTOR)) if b.name == SLOWED else b
        for b in system.backends
    )
    return RoutingSystem(system.frontends, backends, system.graph)


def _bound(system: RoutingSystem) -> float:
    return fluid_optimum(system).total_jobs / float(system.rates.sum())


def curves_of(seed: int) -> dict[str, Learnt]:
    """One machine of each kind, when the least used backend should have SHOWN completions."""
    prepared = _at(mixed_fleet(), LOAD)
    run = RunSettings(_time_to(prepared, SHOWN[-1]) + 1.0, 0.0, seed)
    engine = LearningEngine(Run(prepared, LEARNED, run))
    names = [b.name for b in prepared.system.backends]
    numbers = {kind: names.index(f"{kind}-1") for kind in ("h100", "rtx4090", "a10g")}
    found: dict[str, list[TableCurve]] = {kind: [] for kind in numbers}
    for completions in SHOWN:
        engine.advance(_time_to(prepared, completions))
        for kind, backend in numbers.items():
            found[kind].append(engine.learner.curve(backend))
    curves, optimum = prepared.system.curves, prepared.optimum.workloads
    return {kind: Learnt(curves[b], float(optimum[b]), found[kind]) for kind, b in numbers.items()}
