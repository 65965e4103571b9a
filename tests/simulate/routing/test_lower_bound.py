"""The bound beside every mean: which one it is, and that no policy undercuts it."""

from io import StringIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from rich.console import Console

from isocline.model.curves import HyperbolicCurve, KneeCurve, ServersCurve
from isocline.model.traffic import DeterministicSizes, Mix, Trace
from isocline.report.plots.latency import latency_plot
from isocline.report.tables.comparison import comparison_report, sweep_report
from isocline.simulate.routing.compare import simulate, sweep
from isocline.simulate.routing.slowdown import Slowdown
from isocline.theory.routing.hindsight.bound import hindsight_bound
from tests.builders import fleet, mixed

POLICIES = ["gmsr", "least_expected_latency", "jsq"]


def bursts(seed: int = 1, jobs: int = 600) -> npt.NDArray[np.float64]:
    """Times in bursts of 30 jobs."""
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(0.02, jobs)
    gaps[::30] += rng.exponential(3.0, gaps[::30].size)
    return np.asarray(np.cumsum(gaps) - gaps[0])


def trace(times: npt.NDArray[np.float64], **others: Any) -> Trace:
    """Times alone, unless there is more."""
    nothing = np.zeros(times.size)
    return Trace("made.csv", times, nothing, nothing, **({"sized": False} | others))


def test_a_trace_has_the_bound_that_knows_the_future() -> None:
    run: dict[str, Any] = {"trace": trace(bursts()), "load": 0.7, "replications": 20}
    found = simulate(mixed(), POLICIES, **run)
    assert found.lower_bound_kind == "hindsight"
    assert found.finished_by is None
    assert found.lower_bound_reached is not None
    assert 1.0 <= found.lower_bound_reached / found.lower_bound_latency <= 1.02
    for policy in found.policies:
        assert policy.mean_latency is not None
        assert policy.mean_latency.high >= found.lower_bound_latency
    # The bound of the mean rate says little of bursts: see how far below it is.
    rate_alone = simulate(mixed(), ["gmsr"], **run, slowdowns=[Slowdown("b0", 1.0 + 1e-9, 1e-3)])
    assert rate_alone.lower_bound_kind == "mean rate"
    assert found.lower_bound > 1.5 * rate_alone.lower_bound
    document = found.to_dict()
    assert document["lower_bound_kind"] == "hindsight"
    assert document["lower_bound"] == found.lower_bound
    assert document["lower_bound_reached"] == found.lower_bound_reached


def test_frontends_of_labels_are_those_of_the_bound() -> None:
    times = bursts(2)
    at = np.random.default_rng(3).integers(0, 2, times.size).astype(np.int32)
    made = trace(times, mix=Mix(("f1", "f0"), at, "frontend"))
    found = simulate(mixed(), ["gmsr"], trace=made, replications=2)
    direct = hindsight_bound(mixed(), times, 1 - at)
    assert found.lower_bound_latency == pytest.approx(direct.latency)
    assert found.lower_bound == pytest.approx(direct.lower / made.length)


def test_it_is_of_the_jobs_that_come_before_the_horizon_and_of_their_work() -> None:
    times = bursts(4)
    work = np.where(times < 20.0, 3.0, 1.0)
    made = trace(times, work=work, sized=True)
    found = simulate(mixed(), ["gmsr"], trace=made, horizon=20.0, replications=2)
    size = 3.0 / work.mean()
    slower = fleet(
        [HyperbolicCurve(40.0 / size, 12.0), HyperbolicCurve(6.0 / size, 5.0)],
        [12.0, 8.0],
        [[0, 1], [0]],
    )
    direct = hindsight_bound(slower, times[times < 20.0])
    assert found.lower_bound_kind == "hindsight of mean sizes"
    assert found.lower_bound_latency == pytest.approx(direct.latency)


def test_the_bound_of_a_fluid_that_a_policy_refutes_is_not_printed() -> None:
    """Of a batch most of which are tiny, most have left long before a memoryless job would."""
    times = np.repeat(np.arange(30) * 100.0, 40)
    sizes = np.tile(np.r_[np.full(38, 0.01), 20.0, 19.0], 30)
    made = trace(times, work=sizes, sized=True)
    found = simulate(fleet([ServersCurve(1.0)], [1.0]), ["gmsr"], trace=made, replications=2)
    (policy,) = found.policies
    assert policy.mean_latency is not None
    fluid = hindsight_bound(fleet([ServersCurve(1.0)], [1.0]), times)
    assert fluid.latency > policy.mean_latency.value
    assert found.lower_bound_kind == "mean rate"
    assert found.lower_bound_latency <= policy.mean_latency.value


@pytest.mark.parametrize(
    "options",
    [{"warmup": 5.0}, {"slowdowns": [Slowdown("b0", 2.0, 3.0)]}],
    ids=["warm-up", "slowdown"],
)
def test_where_it_is_not_known_the_bound_is_of_the_mean_rate(options: dict[str, Any]) -> None:
    found = simulate(mixed(), ["gmsr"], trace=trace(bursts()), replications=2, **options)
    assert found.lower_bound_kind == "mean rate"
    assert found.lower_bound_reached is None


def test_a_fleet_too_large_for_it_has_the_bound_of_the_mean_rate() -> None:
    world = fleet([HyperbolicCurve(4.0, 3.0 + 0.01 * b) for b in range(300)], [2.0])
    found = simulate(world, ["jsq"], trace=trace(bursts()), replications=2)
    assert found.lower_bound_kind == "mean rate"


def test_steady_arrivals_and_none_have_their_kinds() -> None:
    run: dict[str, Any] = {"horizon": 400.0, "warmup": 100.0, "replications": 2}
    assert simulate(mixed(), ["gmsr"], **run).lower_bound_kind == "mean rate"
    given_up = simulate(mixed(), ["gmsr"], patience="exponential:mean=2", **run)
    assert given_up.to_dict()["lower_bound_kind"] is None


def test_tables_and_pictures_say_which_it_is() -> None:
    found = sweep(mixed(), ["gmsr", "jsq"], loads=[0.4, 0.7], trace=trace(bursts()), replications=2)
    printed = []
    for report in (comparison_report(found.comparisons[0]), sweep_report(found)):
        console = Console(width=200, record=True, file=StringIO())
        console.print(report)
        printed.append(console.export_text())
    for text in printed:
        assert "Bound: the least knowing the future, to within" in text
    assert "hindsight bound" in printed[1]
    (axes,) = latency_plot(found).axes
    assert "hindsight bound" in {text.get_text() for text in axes.texts}
    sizes = simulate(
        fleet([KneeCurve(3.0, 2.0, 2.0)], [1.0], sizes=DeterministicSizes()),
        ["gmsr"],
        trace=trace(bursts()),
        load=0.5,
        replications=2,
    )
    assert sizes.lower_bound_kind == "hindsight of mean sizes"
