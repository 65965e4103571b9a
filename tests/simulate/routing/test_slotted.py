"""The slotted clock against a plain twin, its stationary law, and Little's law."""

import math
from typing import Any

import numpy as np
import pytest

from isocline.errors import UsageError
from isocline.model.curves import ExponentialCurve, HyperbolicCurve
from isocline.model.fleet import Frontend, RoutingSystem
from isocline.model.traffic import DeterministicSizes, PiecewiseArrivals
from isocline.policies.parse import parse
from isocline.simulate.common.kernels import counters
from isocline.simulate.common.kernels.alias_tables import Alias
from isocline.simulate.common.replication import Run
from isocline.simulate.routing.compare import simulate
from isocline.simulate.routing.kernels.departures import LAWS, Law
from isocline.simulate.routing.prepare import prepare
from isocline.simulate.routing.replicate import Replication, replicate
from isocline.simulate.routing.run_settings import RunSettings
from isocline.simulate.routing.slotted_clock import slots
from isocline.simulate.routing.slotted_engine import SlottedEngine
from tests.builders import fleet, mixed, station
from tests.naive import xoroshiro
from tests.simulate.routing.naive_slotted import pmf, slotted, stationary_mean
from tests.simulate.routing.options import RunLength, SimulateOptions

TWO = fleet([HyperbolicCurve(0.9, 1.0), HyperbolicCurve(1.0, 4.0)], [0.5, 0.4], [[0], [0, 1]])


def engine(
    system: RoutingSystem, policy: str, law: Law, slot: float, start: tuple[int, ...]
) -> SlottedEngine:
    cut = slots(system, 1.0, slot, law)
    run = RunSettings(1.0, seed=11, start=start, slots=cut)
    return SlottedEngine(Run(prepare(system), parse(policy), run, 2))


def column(table: Alias, bits: int) -> int:
    i, coin = divmod((bits >> 24) * int(table.columns), 2**40)
    return i if table.other.size == 0 or coin < table.threshold[i] else int(table.other[i])


@pytest.mark.parametrize("law", LAWS)
def test_the_kernel_equals_the_printed_recursion_job_by_job(law: Law) -> None:
    made = engine(TWO, "gmsr:ties=first", law, 1.0, (3, 5))
    table = made.view.table
    cut = {n: [pmf(law, float(c.rate(n)), n) for c in TWO.curves] for n in range(60)}
    arrivals, departing = made.slotted.arrivals.tolist(), made.streams.events.tolist()
    history, held, sojourns = slotted(
        3000,
        xoroshiro(arrivals),
        xoroshiro(departing),
        xoroshiro(made.streams.leaving.tolist()),
        0.9,
        lambda bits: column(made.system.sources, bits),
        lambda f, n: 0 if f == 0 or table[0, n[0]] <= table[1, n[1]] else 1,
        lambda b, n: cut[n][b],
        (3, 5),
    )
    seen = [made.workload.tolist()]
    for slot in range(1, 3001):
        made.advance(float(slot))
        seen.append(made.workload.tolist())
    assert seen == history
    assert max(held) == 0
    assert made.count[counters.TIMED] == len(sojourns)
    assert made.gauge[counters.SOJOURN] == pytest.approx(sum(sojourns))
    # The integral of the number of jobs is its sum over the slots' beginnings.
    assert made.gauge[counters.JOB_SECONDS] == pytest.approx(sum(map(sum, history[:-1])))


def test_held_jobs_wait_in_line_as_in_the_printed_recursion() -> None:
    world = fleet([station(0.4, 2), station(0.3, 1)], [0.45, 0.4], [[0], [0, 1]])
    made = engine(world, "gmsr_hold", "binomial", 1.0, (0, 0))
    slot: list[int] | None = None
    tally: dict[tuple[int, int], int] = {}

    def route(f: int, n: list[int]) -> int:
        # One instant's own sends count: a fresh tally per slot, which is known by its list of n.
        nonlocal slot, tally
        if slot is not n:
            slot, tally = n, {}
        jobs = {b: n[b] + tally.get((f, b), 0) for b in ([0] if f == 0 else [0, 1])}
        best = max(jobs, key=lambda b: (0.4, 0.3)[b] * (jobs[b] < (2, 1)[b]))
        if jobs[best] >= (2, 1)[best]:
            return -1
        tally[f, best] = tally.get((f, best), 0) + 1
        return best

    history, held, sojourns = slotted(
        4000,
        xoroshiro(made.slotted.arrivals.tolist()),
        xoroshiro(made.streams.events.tolist()),
        xoroshiro(made.streams.leaving.tolist()),
        0.85,
        lambda bits: column(made.system.sources, bits),
        route,
        lambda b, n: pmf("binomial", float(world.curves[b].rate(n)), n),
        (0, 0),
    )
    made.advance(4000.0)
    assert max(held) > 20  # it was put to the test
    assert min(held[100:]) == 0
    assert made.workload.tolist() == history[-1]
    assert made.held.waiting.sum() == held[-1]
    assert made.count[counters.TIMED] == len(sojourns)
    assert made.gauge[counters.SOJOURN] == pytest.approx(sum(sojourns))
    in_system = sum(map(sum, history[:-1])) + sum(held[:-1])
    assert made.gauge[counters.JOB_SECONDS] == pytest.approx(in_system)


@pytest.mark.parametrize("law", LAWS)
def test_one_backend_follows_its_stationary_law(law: Law) -> None:
    curve = ExponentialCurve(1.0, 2.0) if law == "bernoulli" else HyperbolicCurve(3.0, 4.0)
    load = 0.6 if law == "bernoulli" else 1.8
    exact = stationary_mean(load, lambda n: float(curve.rate(n)), law, 120)
    result = simulate(
        fleet([curve], [load]),
        ["random"],
        clock="slotted",
        departures=law,
        horizon=40_000.0,
        warmup=1000.0,
    )
    assert result.slot == 1.0
    estimate = result.policies[0].mean_jobs
    assert estimate is not None
    assert estimate.relative_half_width < 0.02
    # Student-t with 9 degrees of freedom: 4.78 at 99.9 % over 2.26 at 95 %.
    assert abs(estimate.value - exact) <= 4.78 / 2.26 * estimate.half_width


@pytest.mark.parametrize("policy", ["gmsr", "gmsr_hold", "peak_ewma"])
@pytest.mark.parametrize("timed", [True, False])
def test_what_came_is_what_left_and_what_is_there(policy: str, timed: bool) -> None:
    cut = slots(mixed())
    run = RunSettings(200.0, 20.0, seed=5, percentiles=timed, slots=cut)
    made = SlottedEngine(Run(prepare(mixed()), parse(policy), run))
    made.advance(200.0)
    inside = int(made.workload.sum() + made.held.waiting.sum())
    assert made.count[counters.ARRIVALS] - made.count[counters.COMPLETIONS] == inside
    assert made.count[counters.JOBS] == inside


def test_littles_law_holds_with_jobs_at_the_frontends() -> None:
    world = fleet([station(1.0, 2), station(1.0, 3)], [1.5, 1.7], [[0, 1], [1]])
    clocks: tuple[SimulateOptions, ...] = (
        {"clock": "slotted", "slot": 0.1},
        {"clock": "continuous"},
    )
    for clock in clocks:
        options: SimulateOptions = {"horizon": 8000.0, "warmup": 500.0, **clock}
        hold = simulate(world, ["gmsr_hold", "jsq"], **options).policies[0]
        assert hold.littles_law < 2e-3  # the jobs at the two ends of 24 000
        assert hold.mean_jobs is not None
        # Some wait outside, where no backend counts them.
        assert hold.mean_jobs.value > 1.1 * hold.backend_jobs.sum()


def test_timing_jobs_changes_nothing_else() -> None:
    runs = []
    for timed in (True, False):
        run = RunSettings(300.0, 20.0, seed=5, percentiles=timed, slots=slots(mixed()))
        runs.append(replicate(Run(prepare(mixed()), parse("gmsr"), run, 1)))
    one, two = runs
    assert one is not None
    assert two is not None
    assert np.array_equal(one.snapshots, two.snapshots)
    assert one.sojourn.sum() > 0 == two.sojourn.sum()


def test_all_policies_see_the_same_arrivals() -> None:
    def replicated(name: str) -> Replication:
        run = RunSettings(100.0, 20.0, slots=slots(mixed()))
        found = replicate(Run(prepare(mixed()), parse(name), run, 3))
        assert found is not None
        return found

    runs = [replicated(name) for name in ("gmsr", "random", "gmsr_hold:level=0.3")]
    assert all(np.array_equal(run.arrivals, runs[0].arrivals) for run in runs)
    assert not np.array_equal(runs[0].completions, runs[1].completions)


def test_short_slots_are_nearly_continuous_time() -> None:
    options: RunLength = {"horizon": 6000.0, "warmup": 200.0, "percentiles": False}
    exact = simulate(mixed(), ["gmsr"], **options).policies[0].mean_jobs
    fine = simulate(mixed(), ["gmsr"], clock="slotted", slot=0.002, **options)
    coarse = simulate(mixed(), ["gmsr"], clock="slotted", slot=0.2, **options)
    a, b, c = exact, fine.policies[0].mean_jobs, coarse.policies[0].mean_jobs
    assert a is not None
    assert b is not None
    assert c is not None
    assert abs(a.value - b.value) <= 2 * math.hypot(a.half_width, b.half_width)
    assert c.low > a.high  # jobs of one slot do not see each other


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        (fleet([HyperbolicCurve(1.0, 1.0)], [0.5]), 1.0),  # 1 / l(1) = 2
        (fleet([HyperbolicCurve(40.0, 12.0)], [20.0]), 0.2),  # 13 / 40 = 0.325
        (fleet([station(2.0)], [1.0]), 0.5),
        (fleet([station(1.0)], [0.5]), 1.0),
        (fleet([station(30.0)], [9.0]), 0.02),  # 1 / 30 = 0.033
    ],
)
def test_the_usual_slot_is_the_longest_round_one_that_is_admitted(
    system: RoutingSystem, expected: float
) -> None:
    found = slots(system)
    assert found.length == pytest.approx(expected)
    assert expected * max(float(c.rate(1.0)) for c in system.curves) <= 1.0 + 1e-9
    fits = expected * system.capacities.max() <= 1.0 + 1e-9
    assert found.law == ("bernoulli" if fits else "binomial")


@pytest.mark.parametrize("scale", [0.5, 10.0, 1000.0])
def test_slots_of_a_scaled_system_bring_the_same_jobs_each(scale: float) -> None:
    system = fleet([HyperbolicCurve(1.0, 1.0)], [0.5])
    assert slots(system, scale).length == pytest.approx(1.0 / scale)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"slot": 0.5}, "backend 'b0' would finish more jobs than it holds .* --slot 0.325 or"),
        ({"slot": 0.1, "departures": "bernoulli"}, "'b0' .* more than one job .* --slot 0.025 or"),
        ({"slot": -1.0}, "slot -1.0: give a finite number above 0"),
        ({"departures": "geometric"}, "one of bernoulli, binomial, poisson"),
        ({"clock": "continuous", "slot": 1.0}, "slot 1.0: only the slotted clock"),
        ({"clock": "continuous", "departures": "poisson"}, "departures poisson: only"),
        ({"clock": "sundial"}, "one of continuous, slotted"),
        ({"scale": 0.0}, "scale 0.0: give a finite number above 0"),
        ({"discipline": "fcfs"}, "discipline fcfs; leave one .*give --discipline ps"),
    ],
)
def test_arguments_out_of_range_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        simulate(mixed(), ["gmsr"], **({"clock": "slotted"} | options))


def test_the_advised_slot_is_admitted() -> None:
    with pytest.raises(UsageError) as caught:
        slots(mixed(), slot=1.0)
    advised = float(str(caught.value).split("--slot ")[1].split()[0])
    assert slots(mixed(), slot=advised).law == "binomial"


def test_other_arrivals_and_sizes_are_refused() -> None:
    base = fleet([HyperbolicCurve(1.0, 1.0)], [0.5])
    tides = Frontend("f0", PiecewiseArrivals(((0.0, 0.1), (5.0, 0.5)), 10.0))
    with pytest.raises(UsageError, match="'f0' that are not Poisson"):
        slots(RoutingSystem((tides,), base.backends, base.graph))
    with pytest.raises(UsageError, match="deterministic sizes"):
        slots(fleet([HyperbolicCurve(1.0, 1.0)], [0.5], sizes=DeterministicSizes()))
