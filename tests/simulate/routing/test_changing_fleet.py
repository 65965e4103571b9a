"""A fleet that changes during a run, against the transient law of its chain."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm

from isocline.errors import UsageError
from isocline.model.curves import Curve, HyperbolicCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem, Work
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import (
    DeterministicSizes,
    GammaArrivals,
    PoissonArrivals,
    Sizes,
    Trace,
    read_trace,
)
from isocline.report.tables.comparison import warnings
from isocline.simulate.routing.compare import simulate
from isocline.simulate.routing.delay import Delay
from isocline.simulate.routing.results import Comparison
from isocline.simulate.routing.slowdown import Slowdown
from tests.builders import station

FAST, SLOW = HyperbolicCurve(20.0, 4.0), HyperbolicCurve(6.0, 2.0)


def system(
    rate: float, backends: dict[str, Curve], frontends: tuple[str, ...] = ("f",)
) -> RoutingSystem:
    return RoutingSystem(
        tuple(Frontend(name, PoissonArrivals(rate)) for name in frontends),
        tuple(Backend(name, curve) for name, curve in backends.items()),
        CompatibilityGraph.from_neighbours(len(backends), [range(len(backends))] * len(frontends)),
        name=f"{len(backends)} backends",
    )


def mean_path(
    periods: list[tuple[float, float, Curve]], times: np.ndarray, largest: int = 120
) -> np.ndarray:
    """E[N(t)] of one backend that begins empty; periods are (begin, arrival rate, curve)."""
    law = np.zeros(largest + 1)
    law[0] = 1.0
    now, means, left = 0.0, [], list(periods)
    for time in times:
        while len(left) > 1 and left[1][0] <= time:
            law = law @ step(*left[0][1:], largest, round(left[1][0] - now, 9))
            now = left.pop(0) and left[0][0]
        law = law @ step(*left[0][1:], largest, round(time - now, 9))
        now = time
        means.append(law @ np.arange(largest + 1))
    assert law[-1] < 1e-9
    return np.array(means)


@cache  # blocks are equally long
def step(arrivals: float, curve: Curve, largest: int, seconds: float) -> np.ndarray:
    return np.asarray(expm(generator(arrivals, curve, largest) * seconds))


def generator(arrivals: float, curve: Curve, largest: int) -> np.ndarray:
    served = np.array(curve.rate(np.arange(largest + 1.0)))
    up = np.full(largest, arrivals)
    made = np.diag(up, 1) + np.diag(served[1:], -1)
    return np.asarray(made - np.diag(made.sum(axis=1)))


def run(
    first: RoutingSystem, changes: list[tuple[float, RoutingSystem]], **options: Any
) -> Comparison:
    given = {"horizon": 24.0, "replications": 200, "percentiles": False} | options
    return simulate(first, ["random"], changes=changes, **given)


def follows(found: Comparison, expected: np.ndarray) -> bool:
    """Whether the mean over blocks is that of the path at their ends and beginnings."""
    middle = 0.5 * (expected + np.concatenate(([0.0], expected[:-1])))
    # And the path itself, in 12 pieces: each is the mean of 200 runs over 2 s.
    seen = found.policies[0].total_over_time.reshape(12, -1).mean(axis=1)
    assert seen == pytest.approx(middle.reshape(12, -1).mean(axis=1), rel=0.12, abs=0.1)
    assert found.policies[0].littles_law < 1e-9
    return bool(seen.mean() == pytest.approx(middle.mean(), rel=0.05))


def test_a_backend_that_goes_serves_what_it_has_left_and_one_that_comes_begins_empty() -> None:
    before = system(12.0, {"a": FAST, "b": FAST})
    after = system(12.0, {"b": FAST, "c": FAST})
    found = run(before, [(8.0, after)])
    path = (
        mean_path([(0.0, 6.0, FAST), (8.0, 0.0, FAST)], found.times)
        + mean_path([(0.0, 6.0, FAST)], found.times)
        + mean_path([(0.0, 0.0, FAST), (8.0, 6.0, FAST)], found.times)
    )
    assert found.backends == ("a", "b", "c")
    assert follows(found, path)
    assert "2 backends from 8 s" in found.source


def test_rates_and_curves_change_and_change_back() -> None:
    calm, busy = system(6.0, {"a": FAST}), system(18.0, {"a": FAST})
    slow = system(4.0, {"a": SLOW})
    found = run(calm, [(4.0, busy), (10.0, slow), (16.0, calm)])
    path = mean_path(
        [(0.0, 6.0, FAST), (4.0, 18.0, FAST), (10.0, 4.0, SLOW), (16.0, 6.0, FAST)], found.times
    )
    assert follows(found, path)


@pytest.mark.parametrize("told", [True, False])
def test_a_slowdown_outlasts_a_change_of_the_curve(told: bool) -> None:
    before, after = system(2.5, {"a": FAST}), system(2.5, {"a": SLOW})
    slowdowns = [Slowdown("a", 1.5, 6.0, told), Slowdown("a", 1.0, 18.0, told)]
    found = run(before, [(12.0, after)], slowdowns=slowdowns)
    path = mean_path(
        [
            (0.0, 2.5, FAST),
            (6.0, 2.5, FAST.scaled(1 / 1.5)),
            (12.0, 2.5, SLOW.scaled(1 / 1.5)),
            (18.0, 2.5, SLOW),
        ],
        found.times,
    )
    assert follows(found, path)


def test_policies_are_told_curves_without_the_slowdowns_that_they_are_not_told() -> None:
    pair = system(9.0, {"a": FAST, "b": FAST})
    now = system(9.0, {"a": SLOW.scaled(2.0), "b": FAST})
    options: dict[str, Any] = {"changes": [(10.0, now)], "horizon": 100.0, "replications": 20}
    jobs = []
    for told in (True, False):
        slow = [Slowdown("a", 4.0, 5.0, told)]
        found = simulate(pair, ["gmsr"], slowdowns=slow, **options)
        jobs.append(found.policies[0].workloads_over_time[-100:, 0].mean())
    # Told, it sends less to the slow one.
    assert jobs[0] < 0.8 * jobs[1]


def test_all_systems_are_scaled_alike() -> None:
    calm, busy = system(6.0, {"a": FAST}), system(11.0, {"a": FAST})
    found = run(calm, [(8.0, busy)], scale=3.0)
    large = FAST.enlarged(3.0)
    path = mean_path([(0.0, 18.0, large), (8.0, 33.0, large)], found.times)
    assert found.scale == 3.0
    assert follows(found, path / 3.0)


def test_an_overload_that_passes_has_numbers_and_is_called_one() -> None:
    calm, flood = system(6.0, {"a": FAST}), system(28.0, {"a": FAST})
    found = run(calm, [(5.0, flood), (9.0, calm)])
    path = mean_path([(0.0, 6.0, FAST), (5.0, 28.0, FAST), (9.0, 6.0, FAST)], found.times)
    assert follows(found, path)
    assert "beyond capacity from 5 s" in found.source
    assert found.policies[0].status == "stable"


def test_a_fleet_that_changes_has_no_bound_anywhere(tmp_path: Path) -> None:
    from isocline.report.export.files import write_comparison
    from isocline.report.tables.comparison import comparison_report

    calm, busy = system(6.0, {"a": FAST}), system(18.0, {"a": FAST})
    found = run(calm, [(4.0, busy)], replications=3)
    assert np.isnan(found.lower_bound)
    assert found.policies[0].ratio_to_bound is None
    from rich.console import Console

    console = Console(width=140, record=True)
    console.print(comparison_report(found))
    assert "No bound: the fleet changes" in " ".join(console.export_text().split())
    assert {path.name for path in write_comparison(found, tmp_path)} >= {"policies.png"}


@pytest.mark.parametrize(
    "policy", ["gmsr", "static_optimal", "jsq", "peak_ewma", "least_expected_latency"]
)
def test_policies_know_the_curves_and_the_edges_of_their_time(policy: str) -> None:
    # After 10 s "slow" is gone and "fast" is slow; nobody may send to a backend that is not there.
    before = system(4.0, {"fast": FAST, "slow": SLOW}, ("f", "g"))
    after = system(2.0, {"fast": SLOW, "new": FAST}, ("f",))
    found = simulate(before, [policy], changes=[(10.0, after)], horizon=200.0, replications=4)
    jobs = dict(zip(found.backends, found.policies[0].workloads_over_time[-100:].T, strict=True))
    assert jobs["slow"].max() == 0
    if policy in ("gmsr", "static_optimal", "least_expected_latency"):
        assert jobs["new"].mean() > jobs["fast"].mean()


def test_a_trace_is_replayed_through_all_periods() -> None:
    times = np.arange(0.0, 40.0, 0.01)
    who = np.where(np.arange(times.size) % 4, "f", "g")
    columns = {"time": "t", "frontend": "who"}
    trace = read_trace({"t": times, "who": who}, columns=columns)
    before = system(1.0, {"a": HyperbolicCurve(400.0, 20.0)}, ("f", "g"))
    after = system(1.0, {"b": HyperbolicCurve(500.0, 20.0)}, ("g", "f"))
    found = simulate(before, ["jsq"], trace=trace, changes=[(20.0, after)], replications=2)
    assert found.policies[0].completed == 2 * times.size
    seen = found.policies[0].workloads_over_time
    middle = seen.shape[0] // 2
    assert seen[: middle - 2, 1].max() == 0 < seen[middle + 2 :, 1].max()
    assert seen[-1, 0] == 0
    faster = simulate(
        before, ["jsq"], trace=trace, changes=[(5.0, after)], time_scale=2.0, replications=2
    )
    assert faster.horizon == pytest.approx(20.0, rel=1e-3)
    assert faster.policies[0].completed == 2 * times.size


def test_a_trace_without_frontends_is_refused_where_there_is_a_choice() -> None:
    trace = read_trace({"t": np.arange(500.0)}, columns={"time": "t"})
    one, two = system(3.0, {"a": FAST}), system(3.0, {"a": FAST}, ("f", "g"))
    assert (
        simulate(one, ["jsq"], trace=trace, changes=[(9.0, one)], replications=2)
        .policies[0]
        .completed
    )
    with pytest.raises(UsageError, match="needs to know where each request comes in"):
        simulate(two, ["jsq"], trace=trace, changes=[(9.0, two)])


def gaps(seconds: float) -> Trace:
    return read_trace({"t": np.arange(500) * seconds}, columns={"time": "t"})


def tokens() -> Trace:
    ones = np.ones(500)
    columns = {"time": "t", "prompt": "in", "output": "out"}
    return read_trace({"t": np.arange(500.0), "in": ones, "out": ones}, columns=columns)


class OwnSizes(Sizes):
    """A class without equality, as one's own may be."""

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return 2.0 * rng.random(count)


def test_equal_jobs_of_all_systems_need_not_be_the_same_objects() -> None:
    first, later = (
        replace(system(3.0, {"a": FAST}), sizes=OwnSizes(), trace=gaps(1.0)) for _ in range(2)
    )
    found = simulate(first, ["jsq"], changes=[(250.0, later)], replications=2)
    assert found.policies[0].completed == 2 * 500


BAD: dict[str, tuple[Callable[[RoutingSystem], dict[str, Any]], str]] = {
    "times": (
        lambda s: {"changes": [(5.0, s), (5.0, s)]},
        "change at 5 s: it must come after the change at 5 s; give a later time",
    ),
    "sizes": (
        lambda s: {"changes": [(5.0, replace(s, sizes=DeterministicSizes()))]},
        "has other sizes than .* give all files the same `sizes`",
    ),
    "trace": (
        lambda s: {"changes": [(5.0, replace(s, trace=gaps(2.0)))]},
        "has another trace than .* --trace or --arrivals for all",
    ),
    "weights": (
        lambda s: {"changes": [(5.0, replace(s, work=Work(prefill=1.0)))], "trace": tokens()},
        "by another `work` than .* same ratio of prefill to decode",
    ),
    "late": (
        lambda s: {"changes": [(50.0, s)], "horizon": 40.0},
        "change at 50 s: the horizon is 40 s; give an earlier time, or a longer horizon",
    ),
    "negative": (lambda s: {"changes": [(-1.0, s)]}, "give a time above 0"),
    "layers": (lambda s: {"changes": [(5.0, s)], "layers": "jsq"}, "with layers"),
    "delay": (lambda s: {"changes": [(5.0, s)], "delay": Delay(travel=1.0)}, "with delay"),
    "clock": (lambda s: {"changes": [(5.0, s)], "clock": "slotted"}, "the slotted clock"),
}


@pytest.mark.parametrize(("options", "problem"), BAD.values(), ids=BAD.keys())
def test_what_does_not_go_together_is_refused(
    options: Callable[[RoutingSystem], dict[str, Any]], problem: str
) -> None:
    world = system(3.0, {"a": FAST})
    with pytest.raises(UsageError, match=problem):
        simulate(world, ["jsq"], **options(world))


def test_stations_served_in_order_may_change_too() -> None:
    before, after = system(8.0, {"a": station(16.0)}), system(8.0, {"a": station(32.0)})
    found = run(before, [(12.0, after)], discipline="fcfs")
    path = mean_path([(0.0, 8.0, station(16.0)), (12.0, 8.0, station(32.0))], found.times)
    assert follows(found, path)


def test_the_number_of_servers_of_a_station_may_not_change_where_they_serve_in_order() -> None:
    before, after = system(0.5, {"a": station()}), system(0.5, {"a": station(1.0, 2)})
    with pytest.raises(UsageError, match="'a' has 1 servers, and 2 from 12 s"):
        run(before, [(12.0, after)], discipline="fcfs")


def test_a_fleet_without_changes_is_the_same_as_before() -> None:
    world = replace(system(3.0, {"a": FAST}), name="w")
    assert not np.isnan(
        simulate(world, ["jsq"], changes=(), replications=2, horizon=200.0).lower_bound
    )


def test_a_law_of_arrivals_holds_for_all_systems() -> None:
    calm, busy = system(6.0, {"a": FAST}), system(12.0, {"a": FAST})
    options: dict[str, Any] = {"horizon": 40.0, "replications": 2}
    found = simulate(calm, ["jsq"], arrivals="gamma:cv=3", changes=[(1.0, busy)], **options)
    first, later = (
        replace(one, frontends=(Frontend("f", GammaArrivals(rate, 3.0)),))
        for one, rate in ((calm, 6.0), (busy, 12.0))
    )
    written = simulate(first, ["jsq"], changes=[(1.0, later)], **options)
    assert found.source == written.source
    assert "Poisson" not in found.source
    assert found.policies[0].mean_jobs == written.policies[0].mean_jobs


def shared(rate: float) -> RoutingSystem:
    """Half of the jobs each would be too much for `slow` from 6 jobs/s on."""
    return system(rate, {"fast": FAST, "slow": SLOW})


@pytest.mark.parametrize(
    ("rates", "named"),
    [((16.0, 16.0), ("slow",)), ((8.0, 16.0), ("slow",)), ((16.0, 8.0), ()), ((8.0, 8.0), ())],
    ids=["always", "at last", "at first", "never"],
)
def test_a_policy_whose_shares_overload_a_backend_for_good_is_named(
    rates: tuple[float, float], named: tuple[str, ...]
) -> None:
    found = simulate(
        shared(rates[0]), ["gmsr", "random"], changes=[(30.0, shared(rates[1]))], replications=2
    )
    well, even = found.policies
    assert (well.status, well.overloaded) == ("stable", ())
    assert even.mean_latency is not None  # the run ends, so that there are figures
    assert (even.status, even.overloaded) == ("overloaded" if named else "stable", named)


@pytest.mark.parametrize(("ends", "named"), [(False, ("slow",)), (True, ())])
def test_so_is_one_that_a_slowdown_overloads_for_good(ends: bool, named: tuple[str, ...]) -> None:
    slower = [Slowdown("slow", 2.0, 20.0)] + [Slowdown("slow", 1.0, 40.0)] * ends
    found = simulate(shared(8.0), ["random"], slowdowns=slower, horizon=60.0, replications=2)
    assert found.policies[0].overloaded == named
    assert found.policies[0].mean_latency is not None
    report = "\n".join(warnings(found))
    assert ("random overloads slow: its figures are of a run of this length" in report) != ends
