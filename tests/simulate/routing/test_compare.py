import math
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from isocline.errors import InfeasibleError, PolicyError, RunTooShortError, UsageError
from isocline.model.curves import Curve, HyperbolicCurve
from isocline.model.fleet import Frontend
from isocline.model.systemfile import load
from isocline.model.traffic import LognormalSizes, PiecewiseArrivals, Trace
from isocline.policies.parse import parse
from isocline.report.tables.comparison import sweep_report
from isocline.simulate.common.replication import Run
from isocline.simulate.routing.compare import simulate, sweep
from isocline.simulate.routing.prepare import prepare
from isocline.simulate.routing.replicate import Replication, replicate
from isocline.simulate.routing.run_settings import RunSettings
from isocline.simulate.routing.scenario import scenario
from tests.builders import fleet, mixed, station
from tests.naive import birth_death_mean
from tests.simulate.routing.options import RunLength

SHORT: RunLength = {"horizon": 400.0, "warmup": 100.0, "replications": 4}


def one(policy: str, replication: int = 3, *, percentiles: bool = True) -> Replication:
    run = RunSettings(100.0, 20.0, seed=5, percentiles=percentiles)
    result = replicate(Run(prepare(mixed()), parse(policy), run, replication))
    assert result is not None
    return result


@pytest.mark.parametrize("timed", [True, False])
def test_a_replication_run_again_alone_is_bit_identical(timed: bool) -> None:
    assert one("gmsr", percentiles=timed).same_as(one("gmsr", percentiles=timed))
    assert not one("gmsr", percentiles=timed).same_as(one("gmsr", 4, percentiles=timed))


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    serial = simulate(mixed(), ["gmsr", "jsq"], threads=1, **SHORT).to_dict()
    parallel = simulate(mixed(), ["gmsr", "jsq"], threads=2, **SHORT).to_dict()
    for row in (*serial["policies"], *parallel["policies"]):
        del row["events_per_second"]
    assert serial == parallel


@pytest.mark.parametrize("timed", [True, False])
def test_all_policies_see_the_same_arrivals(timed: bool) -> None:
    runs = [one(name, percentiles=timed) for name in ("gmsr", "random", "power_of_d:d=2")]
    assert all(np.array_equal(runs[0].arrivals, run.arrivals) for run in runs)
    assert not np.array_equal(runs[0].completions, runs[1].completions)


def test_what_came_is_what_left_and_what_is_there() -> None:
    for name in ("gmsr", "random"):
        run = one(name)
        assert run.arrivals.sum() - run.completions.sum() == run.snapshots[-1].sum()


def test_timed_and_untimed_runs_take_the_same_decisions_in_distribution() -> None:
    timed = simulate(mixed(), ["gmsr"], seed=1).policies[0].mean_jobs
    means = simulate(mixed(), ["gmsr"], seed=2, percentiles=False).policies[0].mean_jobs
    assert timed is not None
    assert means is not None
    assert abs(timed.value - means.value) <= 2 * math.hypot(timed.half_width, means.half_width)


def test_an_infeasible_load_names_the_violated_set() -> None:
    world = fleet([station(5.0), station(1.0)], [2.0, 1.5], [[0, 1], [1]])
    with pytest.raises(InfeasibleError) as caught:
        simulate(world, ["gmsr"])
    assert caught.value.frontends == ("f1",)
    assert caught.value.backends == ("b1",)


def test_a_policy_that_overloads_a_backend_is_unstable_not_a_large_mean() -> None:
    world = fleet([HyperbolicCurve(40.0, 12.0), HyperbolicCurve(6.0, 5.0)], [20.0])
    fine, fixed = simulate(world, ["gmsr", "random"], **SHORT).policies
    assert fine.status == "stable"
    assert fixed.status == "unstable"
    assert fixed.mean_jobs is None
    assert fixed.overloaded == ("b1",)


def always_the_last(candidates: Any, view: Any, now: float, rng: Any) -> Any:
    return candidates[candidates.size - 1]


def test_growth_is_found_where_no_share_is_known() -> None:
    world = fleet([station(30.0), station(6.0)], [20.0])
    result = simulate(world, ["tests.simulate.routing.test_compare:always_the_last"], horizon=300.0)
    assert result.policies[0].status == "unstable"
    assert result.policies[0].overloaded == ("b1",)


def test_a_run_too_short_to_settle_is_refused() -> None:
    slow = fleet([HyperbolicCurve(1000.0, 20000.0)], [900.0])  # 180 000 jobs at the optimum
    with pytest.raises(RunTooShortError, match="--horizon"):
        simulate(slow, ["gmsr"], horizon=100.0)


def test_a_run_with_too_few_jobs_is_refused() -> None:
    with pytest.raises(RunTooShortError, match="only"):
        simulate(fleet([station()], [0.5]), ["gmsr"], horizon=30.0, warmup=0.0)


def test_the_fluid_start_needs_no_warm_up() -> None:
    world = fleet([HyperbolicCurve(1000.0, 2000.0)], [800.0])
    result = simulate(world, ["gmsr"], horizon=60.0, warmup=0.0, start="fluid").policies[0]
    assert result.ratio_to_bound is not None
    assert abs(result.ratio_to_bound.value - 1.0) < 0.05


def test_replications_are_added_until_the_precision_is_met() -> None:
    loose = simulate(mixed(), ["gmsr"], **SHORT)
    tight = simulate(mixed(), ["gmsr"], precision=0.01, **SHORT)
    assert tight.replications > loose.replications
    assert tight.policies[0].mean_latency is not None
    assert tight.policies[0].mean_latency.relative_half_width <= 0.01


def test_the_precision_holds_for_the_intervals_reported_after_the_warm_up_was_found() -> None:
    result = simulate(mixed(), ["gmsr", "jsq"], horizon=2000.0, replications=4, precision=0.01)
    for policy in result.policies:
        assert policy.mean_latency is not None
        assert policy.mean_latency.relative_half_width <= 0.01


def test_there_is_no_difference_to_a_first_policy_without_a_mean() -> None:
    world = fleet([HyperbolicCurve(40.0, 12.0), HyperbolicCurve(6.0, 5.0)], [20.0])
    unstable, gmsr, jsq = simulate(world, ["random", "gmsr", "jsq"], **SHORT).policies
    assert unstable.status == "unstable"
    assert gmsr.difference is None
    assert jsq.difference is None


def test_differences_are_paired_and_so_sharper_than_the_means() -> None:
    result = simulate(mixed(), ["gmsr", "gmsr:gradient=difference"], **SHORT)
    latency, difference = result.policies[1].mean_latency, result.policies[1].difference
    assert latency is not None
    assert difference is not None
    assert difference.half_width < latency.half_width


def test_ctrl_c_keeps_what_is_complete() -> None:
    def stop(done: int, total: int) -> None:
        if done >= 6:
            raise KeyboardInterrupt

    result = simulate(
        mixed(), ["gmsr", "jsq"], replications=200, horizon=400.0, warmup=50.0, progress=stop
    )
    assert result.interrupted
    assert 2 <= result.replications < 200


def test_a_sweep_is_a_comparison_per_load_in_order() -> None:
    result = sweep(mixed(), ["gmsr"], loads=[0.7, 0.4], **SHORT)
    assert [round(c.load, 9) for c in result.comparisons] == [0.4, 0.7]
    low, high = (c.policies[0].mean_latency for c in result.comparisons)
    assert low is not None
    assert high is not None
    assert low.value < high.value


def test_a_load_beyond_capacity_leaves_the_others_of_a_sweep_alone() -> None:
    result = sweep(mixed(), ["gmsr"], loads=[1.2, 0.4, 1.5], **SHORT)
    assert [round(c.load, 9) for c in result.comparisons] == [0.4]
    assert [one.load for one in result.infeasible] == [1.2, 1.5]
    document = result.to_dict()["loads"]
    assert [entry["status"] for entry in document] == ["feasible", "infeasible", "infeasible"]
    assert document[1]["bottleneck"]["backends"]
    assert document[1]["supply"] > document[1]["capacity"]
    console = Console(width=120, record=True, file=StringIO())
    console.print(sweep_report(result))
    said = " ".join(console.export_text().split())
    assert "Load 1.2 is infeasible: frontends {" in said
    assert "give a load below 1" in said


def test_a_sweep_of_loads_beyond_capacity_names_the_lowest() -> None:
    with pytest.raises(InfeasibleError, match=r"load 1\.2 is infeasible.*; give loads below 1"):
        sweep(mixed(), ["gmsr"], loads=[1.5, 1.2], **SHORT)


def test_a_curve_without_a_price_is_named_by_its_backend() -> None:
    @dataclass(frozen=True)
    class Flat(Curve):
        type = "flat"
        strictly_concave = False
        supremum = 6.0

        def rate(self, workload: Any) -> Any:
            return 6.0 * np.asarray(workload) / (np.asarray(workload) + 5.0)

        def marginal(self, workload: Any) -> Any:
            return 30.0 / (np.asarray(workload) + 5.0) ** 2

    world = fleet([HyperbolicCurve(40.0, 12.0), Flat()], [20.0])
    with pytest.raises(UsageError, match=r"backend 'b1': a flat curve says .*docs/own\.md"):
        simulate(world, ["gmsr"], **SHORT)


def test_the_bound_of_general_sizes_is_that_of_their_mean() -> None:
    plain = simulate(mixed(), ["gmsr"], **SHORT)
    varied = simulate(
        fleet(
            [HyperbolicCurve(40.0, 12.0), HyperbolicCurve(6.0, 5.0)],
            [12.0, 8.0],
            [[0, 1], [0]],
            sizes=LognormalSizes(1.5),
        ),
        ["gmsr"],
        **SHORT,
    )
    assert varied.lower_bound == pytest.approx(plain.lower_bound)


def bursts() -> Trace:
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0.0, 500.0, 5000))
    times[0] = 0.0
    return Trace("made.csv", times, rng.uniform(10, 90, 5000), rng.exponential(50.0, 5000))


def test_a_trace_is_replayed_to_its_last_job() -> None:
    result = simulate(mixed(), ["gmsr", "jsq"], trace=bursts(), replications=3)
    assert result.source == "trace made.csv"
    assert all(policy.completed == 3 * 5000 for policy in result.policies)


def test_a_trace_brings_its_sizes_normalised_to_the_curves_unit() -> None:
    scene = scenario(mixed(), bursts())
    assert scene.system.work.mean == 1.0
    work = scene.system.work.of(bursts())
    assert work.mean() == pytest.approx(1.0)
    assert scene.system.rates.sum() == pytest.approx(bursts().rate)


def test_a_load_scales_system_and_trace_alike() -> None:
    scene = scenario(mixed(), bursts(), load=0.5)
    assert scene.trace is not None
    assert scene.load == pytest.approx(0.5)
    assert scene.trace.rate == pytest.approx(scene.system.rates.sum())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"replications": 1}, "2 or more"),
        ({"horizon": -1.0}, "horizon"),
        ({"horizon": 10.0, "warmup": 10.0}, "warm-up"),
        ({"precision": 2.0}, "precision"),
        ({"load": 0.0}, "load"),
        ({"seed": -1}, "seed"),
        ({"discipline": "fcfs"}, "servers curves"),
    ],
)
def test_arguments_out_of_range_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        simulate(mixed(), ["gmsr"], **options)


def test_rates_that_change_with_time_are_followed_not_refused() -> None:
    world = fleet([HyperbolicCurve(40.0, 12.0)], [20.0])
    tides = PiecewiseArrivals(((0.0, 5.0), (200.0, 35.0)), 400.0)
    world = replace(world, frontends=(Frontend("f0", tides),))
    result = simulate(world, ["gmsr"], horizon=400.0).policies[0]
    low, high = result.total_over_time[60:120].mean(), result.total_over_time[180:].mean()
    # The means of the two steady states, 5/s and 35/s, by the birth-death law.
    exact = [birth_death_mean(rate, lambda n: 40.0 * n / (n + 12.0), 5000) for rate in (5.0, 35.0)]
    assert low == pytest.approx(exact[0], rel=0.15)
    # At 35/s, 7/8 of capacity, the relaxation time is of the order of the half period.
    assert 5 * low < high < 1.1 * exact[1]


def first_of_all(candidates: Any, view: Any, now: float, rng: Any) -> Any:
    return candidates[0]


def not_an_edge(candidates: Any, view: Any, now: float, rng: Any) -> Any:
    return 99


def test_a_function_is_simulated_as_it_is_by_its_name() -> None:
    # Kernels take any such function by its address: no other kernel is compiled for this.
    given, named = (
        simulate(mixed(), ["jsq", policy], **SHORT).policies[1]
        for policy in (first_of_all, "tests.simulate.routing.test_compare:first_of_all")
    )
    assert given.policy == named.policy == "tests.simulate.routing.test_compare:first_of_all"
    assert given.mean_latency == named.mean_latency


def test_a_policy_that_returns_no_candidate_is_caught() -> None:
    with pytest.raises(PolicyError, match="candidates"):
        simulate(mixed(), ["tests.simulate.routing.test_compare:not_an_edge"], **SHORT)


def test_the_mean_latency_is_that_of_the_number_in_the_system_where_some_backends_are_slow() -> (
    None
):
    """By Little's law: the slowest jobs must have had time to be completed in the measured part."""
    system = load(Path(__file__).parents[3] / "examples" / "mixed_fleet.yaml", kind="routing")
    (found,) = simulate(system, ["jsq"], load=0.8).policies
    assert found.mean_latency is not None
    half_width = found.mean_latency.high - found.mean_latency.value
    assert found.littles_law * found.mean_latency.value < 2.0 * half_width
