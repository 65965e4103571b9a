"""Delays: the kernel against its twin, against theory, and what policies make of late news."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isocline.errors import UsageError
from isocline.model.curves import HyperbolicCurve, KneeCurve
from isocline.model.fleet import RoutingSystem
from isocline.model.systemfile import load
from isocline.model.traffic import DeterministicSizes
from isocline.policies.parse import parse
from isocline.randomness.draws import step
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.kernels import counters
from isocline.simulate.common.kernels.alias_tables import column_of
from isocline.simulate.common.random_streams import EVENTS, LEAVING
from isocline.simulate.common.replication import Run
from isocline.simulate.routing.compare import simulate
from isocline.simulate.routing.delay import Delay
from isocline.simulate.routing.delayed_engine import DelayedEngine
from isocline.simulate.routing.engines import TrackEngine
from isocline.simulate.routing.kernels.delay_queue import SIZE, next_due, pop, push, ring, widened
from isocline.simulate.routing.prepare import prepare
from isocline.simulate.routing.replicate import replicate
from isocline.simulate.routing.run_settings import RunSettings
from tests.builders import fleet, mixed
from tests.naive import birth_death_mean
from tests.simulate.routing.naive_delay import Twin, streams

EXAMPLES = Path(__file__).parents[3] / "examples"


def shared() -> RoutingSystem:
    """Three frontends, three backends, all of a kind of their own, at about 0.7 of capacity."""
    curves = [HyperbolicCurve(40.0, 12.0), HyperbolicCurve(6.0, 5.0), KneeCurve(10.0, 4.0, 2.0)]
    return fleet(curves, [12.0, 8.0, 14.0], [[0, 1], [0, 2], [0, 1, 2]])


DELAYS = [
    Delay(0.3, 0.5),
    Delay(0.3, 0.5, own=True),
    Delay(0.2, 0.1, 0.7),
    Delay(0.2, 0.1, 0.7, own=True),
    Delay(report=0.4, own=True),
    Delay(travel=0.4, every=0.3, own=True),
]


@pytest.mark.parametrize("delay", DELAYS, ids=str)
def test_the_kernel_equals_its_twin_job_by_job(delay: Delay) -> None:
    prepared = replace(prepare(shared()), delay=delay)
    engine = DelayedEngine(Run(prepared, parse("gmsr:ties=first"), RunSettings(60.0, seed=5)))
    system, row, table = engine.system, prepared.row, engine.view.table
    events, leaving = streams(5, EVENTS, LEAVING)
    graph = prepared.system.graph

    def draw() -> int:
        events[0], events[1], drawn = step(events[0], events[1])
        return int(drawn)

    def next_event() -> int | tuple[int, Callable[[int], bool]]:
        event = draw()
        rest = np.uint64(event & (2**40 - 1))
        if event >> 40 < system.arriving:
            return int(column_of(system.sources, rest))
        backend = int(column_of(system.sinks, rest))
        level = (draw() >> 11) * 2.0**-53 * system.peak[row[backend]]
        return backend, lambda n: bool(level < system.rate[row[backend], n])

    def cheapest(frontend: int, jobs: list[int]) -> int:
        backends = graph.neighbours(frontend)
        return int(np.argmin([table[row[b], n] for b, n in zip(backends, jobs, strict=True)]))

    phase = np.empty(graph.sinks)
    phase[engine.net.turn] = engine.net.phase
    twin = Twin(graph.first.tolist(), graph.sink.tolist(), delay, phase.tolist(), cheapest)
    engine.advance(60.0)
    twin.run(next_event, 1.0 / system.speed, events, leaving, 60.0)
    assert engine.count[counters.ARRIVALS] == len(twin.chosen) > 1500
    assert engine.workload.tolist() == [len(backend.jobs) for backend in twin.backends]
    assert engine.count[counters.COMPLETIONS] == len(twin.sojourns)
    assert engine.gauge[counters.SOJOURN] == pytest.approx(sum(twin.sojourns), rel=1e-9)
    travelling = int(engine.net.travelling.ends[SIZE])
    assert engine.count[counters.JOBS] == engine.workload.sum() + travelling


@pytest.mark.parametrize("own", [False, True])
def test_without_any_delay_every_path_is_that_of_the_ordinary_kernel(own: bool) -> None:
    prepared, run = prepare(mixed()), RunSettings(400.0, 40.0, start="fluid")
    ordinary = replicate(Run(prepared, parse("gmsr"), run))
    late = replicate(Run(replace(prepared, delay=Delay(own=own)), parse("gmsr"), run))
    assert ordinary is not None
    assert late is not None
    for name in ("arrivals", "completions", "timed", "snapshots"):
        assert np.array_equal(getattr(ordinary, name), getattr(late, name))
    for name in ("jobs", "rate", "sojourn"):
        assert np.allclose(getattr(ordinary, name), getattr(late, name), rtol=1e-9, atol=1e-9)


def agrees(estimate: Estimate | None, exact: float) -> bool:
    """Within twice the half-width of a 95 % interval of 10 replications: 99.86 %."""
    assert estimate is not None
    assert estimate.relative_half_width < 0.05, "a test this loose would show nothing"
    return abs(estimate.value - exact) <= 2 * estimate.half_width


def test_travel_only_adds_its_time_where_nobody_looks_at_workloads() -> None:
    # A Poisson process stays one when every job is held up by the same time.
    curve = HyperbolicCurve(10.0, 4.0)
    result = simulate(fleet([curve], [6.0]), ["random"], delay=Delay(travel=3.0))
    exact = birth_death_mean(6.0, lambda n: float(curve.rate(n)), 2000)
    policy = result.policies[0]
    assert agrees(policy.mean_jobs, exact + 6.0 * 3.0)
    assert agrees(policy.mean_latency, exact / 6.0 + 3.0)
    assert result.lower_bound == pytest.approx(
        prepare(fleet([curve], [6.0])).optimum.total_jobs + 18
    )
    # What one side counts and the other does not is the jobs at the ends of the run.
    assert policy.littles_law < 1e-3


def test_jobs_are_kept_when_every_ring_and_segment_overflows() -> None:
    delay = Delay(travel=200.0, report=100.0, own=True)
    prepared = replace(prepare(mixed()), delay=delay)
    engine = DelayedEngine(Run(prepared, parse("random"), RunSettings(600.0)))
    engine.advance(600.0)
    travelling = engine.net.travelling.ends[SIZE]
    left = engine.count[counters.ARRIVALS] - engine.count[counters.COMPLETIONS]
    assert engine.count[counters.JOBS] == left == engine.workload.sum() + travelling
    assert 3000 < travelling < engine.net.travelling.due.size  # 20 jobs/s for 200 s


def test_a_ring_is_a_queue() -> None:
    r = ring()
    taken: list[int] = []
    for sent in range(3000):
        if r.ends[SIZE] == r.due.size:
            r = widened(r)
        push(r, float(sent), sent, 1, 0.0)
        if sent % 3 == 0:
            assert next_due(r) == len(taken)
            taken.append(int(r.who[pop(r)]))
    assert taken == list(range(1000))
    assert r.ends[SIZE] == 2000


def test_latencies_are_learned_as_late_as_all_else() -> None:
    # Peak EWMA without news takes the edges it knows nothing of in turn; with news it need not.
    system = fleet([HyperbolicCurve(40.0, 12.0), HyperbolicCurve(2.0, 5.0)], [10.0])
    engines = []
    for report in (0.0, 1e6):
        delay = Delay(report=report)
        prepared = replace(prepare(system), delay=delay)
        engines.append(DelayedEngine(Run(prepared, parse("peak_ewma"), RunSettings(200.0))))
        engines[-1].advance(200.0)
    informed, ignorant = (engine.workload.tolist() for engine in engines)
    assert engines[0].view.memory.any()
    assert not engines[1].view.memory.any()
    assert sum(informed) < sum(ignorant)


def test_gmsr_herds_and_looking_ahead_stays_near_the_optimum() -> None:
    system = load(EXAMPLES / "mixed_fleet.yaml")
    latency = prepare(system).optimum.total_jobs / float(system.rates.sum())

    def ratio(policy: str, delay: Delay) -> Estimate:
        """Time at the backends over the bound on it."""
        result = simulate(
            system, [policy], delay=delay, percentiles=False, replications=4,
            horizon=1200.0, warmup=300.0,
        ).policies[0]  # fmt: skip
        assert result.mean_latency is not None
        low, value, high = (
            (x - delay.travel) / latency
            for x in (result.mean_latency.low, result.mean_latency.value, result.mean_latency.high)
        )
        return Estimate(value, low, high)

    herding = [ratio("gmsr", Delay(k * latency, k * latency)) for k in (0.1, 0.5, 2.0)]
    assert herding[0].high < herding[1].low < herding[1].high < herding[2].low
    assert herding[2].low > 3.0
    for k in (0.1, 0.5, 2.0):
        for policy in ("gmsr_ahead", "gmsr_ahead:price=secant"):
            assert ratio(policy, Delay(k * latency, k * latency)).high < 1.15


def test_own_jobs_counted_since_a_report_keep_gmsr_from_herding() -> None:
    # Between reports a frontend that is alone knows everything: its own jobs are all there are.
    system = fleet([HyperbolicCurve(40.0, 12.0), KneeCurve(10.0, 4.0, 2.0)], [30.0])
    blind, counting = (
        simulate(system, ["gmsr"], delay=Delay(every=2.0, own=own), horizon=3000.0, warmup=300.0)
        for own in (False, True)
    )
    ratios = [result.policies[0].ratio_to_bound for result in (blind, counting)]
    assert ratios[0] is not None
    assert ratios[1] is not None
    assert ratios[0].low > 1.5
    assert ratios[1].high < 1.1


def test_delays_are_read_and_refused_with_a_remedy() -> None:
    assert Delay.parse("travel=0.5, report=1,own=true") == Delay(0.5, 1.0, 0.0, True)
    assert Delay(1.0, 2.0, 3.0).lag == 6.0
    for text, problem in (
        ("trvael=1", "give NAME=VALUE with travel, report, every, own"),
        ("travel=soon", "give a number of seconds"),
        ("own=yes", "give true or false"),
        ("report=-1", "give a finite number, 0 or more"),
    ):
        with pytest.raises(UsageError, match=problem):
            Delay.parse(text)


def test_what_cannot_be_delayed_is_refused() -> None:
    delay = Delay(travel=1.0)
    with pytest.raises(UsageError, match="clock; leave one of the two out"):
        simulate(mixed(), ["gmsr"], delay=delay, clock="slotted")
    sized = fleet([HyperbolicCurve(4.0, 2.0)], [1.0], sizes=DeterministicSizes())
    with pytest.raises(UsageError, match="exponential sizes"):
        simulate(sized, ["gmsr"], delay=delay)
    with pytest.raises(UsageError, match="gmsr_hold, which holds jobs"):
        simulate(mixed(), ["gmsr_hold"], delay=delay)


def test_a_result_says_its_delays() -> None:
    from isocline.report.conditions import conditions

    delay = Delay(0.5, 0.25, 1.0)
    result = simulate(mixed(), ["gmsr"], delay=delay, horizon=200.0, warmup=20.0, replications=2)
    assert result.to_dict()["delay"] == {"travel": 0.5, "report": 0.25, "every": 1.0, "own": False}
    said = "jobs travel 500 ms, which the bound includes; reports are 250 ms late; "
    assert f"Delays: {said}backends report every 1.00 s. " in conditions(result)


def test_the_ordinary_engine_runs_where_no_delay_is_given() -> None:
    prepared = prepare(mixed())
    assert prepared.setting.lag == 0.0
    assert replace(prepared, delay=Delay(1.0, 2.0)).setting.lag == 3.0
    engine = TrackEngine(Run(prepared, parse("gmsr_ahead:ties=first"), RunSettings(50.0)))
    plain = TrackEngine(Run(prepared, parse("gmsr:ties=first"), RunSettings(50.0)))
    for one in (engine, plain):
        one.advance(50.0)
    assert engine.workload.tolist() == plain.workload.tolist()
