"""One window for every run with a change in it: from time 0 until the last job has left."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from isocline.errors import RunTooShortError
from isocline.learn import Learning
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import RoutingSystem
from isocline.model.traffic import (
    DeterministicSizes,
    ExponentialSizes,
    PiecewiseArrivals,
    Sizes,
)
from isocline.report.tables.comparison import warnings
from isocline.simulate.routing.compare import simulate
from isocline.simulate.routing.failure import Failure
from isocline.simulate.routing.overload import spans_in_words
from isocline.simulate.routing.results import Comparison
from isocline.simulate.routing.slowdown import Slowdown
from tests.builders import fleet

PAIR = fleet([HyperbolicCurve(10.0, 3.0), HyperbolicCurve(10.0, 3.0)], [12.0])
# Each leaves more jobs at the horizon than have been served since.
SLOW = {"slowdowns": [Slowdown("b0", 20.0, 30.0), Slowdown("b1", 20.0, 30.0)]}
FAILED = {"failures": [Failure("b0", 30.0)]}
BUSY = fleet([HyperbolicCurve(10.0, 3.0), HyperbolicCurve(10.0, 3.0)], [25.0])
THEN = {"changes": [(30.0, BUSY)]}


def run(system: RoutingSystem = PAIR, *policies: str, **options: Any) -> Comparison:
    given = {"horizon": 60.0, "replications": 2, **options}
    return simulate(system, policies or ("gmsr", "jsq"), **given)


@pytest.mark.parametrize(
    "options",
    [
        SLOW,
        FAILED,
        THEN,
        SLOW | {"scale": 3.0},
        SLOW | {"percentiles": False},
        SLOW | {"learn": Learning()},
        SLOW | FAILED | {"changes": [(45.0, PAIR)], "scale": 2.0},
    ],
    ids=["slowdown", "failure", "then", "scale", "means-only", "learn", "all"],
)
def test_littles_law_closes_whatever_changes(options: dict[str, Any]) -> None:
    found = run(**options)
    assert found.beyond_capacity  # so that jobs pile up
    for policy in found.policies:
        assert policy.littles_law < 1e-9, policy.policy
        assert policy.finished is not None
        assert policy.finished > 65.0
        assert policy.mean_jobs is not None
        assert policy.mean_latency is not None
        product = policy.arrival_rate * policy.mean_latency.value
        assert policy.mean_jobs.value == pytest.approx(product, rel=0.03)  # of unlike replications


@pytest.mark.parametrize("sizes", [ExponentialSizes(), DeterministicSizes()], ids=str)
@pytest.mark.parametrize(("factor", "most"), [(1.2, 2.0), (20.0, np.inf)])
def test_no_policy_goes_below_the_bound_through_a_slowdown(
    factor: float, most: float, sizes: Sizes
) -> None:
    slow = [Slowdown("b0", factor, 30.0, told=True)]
    found = run(replace(PAIR, sizes=sizes), "gmsr", "jsq", "random", slowdowns=slow)
    assert found.finished_by is not None
    ratios = [p.ratio_to_bound.value for p in found.policies if p.ratio_to_bound]
    assert len(ratios) == 3
    assert 1.0 <= min(ratios) < most


def test_jobs_of_exponential_sizes_that_are_followed_take_as_long_as_those_of_a_list() -> None:
    # The two engines draw from the same laws; `--patience` beyond all latencies lists the jobs.
    options: dict[str, Any] = {"horizon": 50.0, "replications": 60, **SLOW}
    tracked, listed = (
        simulate(PAIR, ["jsq"], patience=patience, **options).policies[0]
        for patience in ("none", "deterministic:mean=1e9")
    )
    for one, other in (
        (tracked.mean_latency, listed.mean_latency),
        (tracked.mean_jobs, listed.mean_jobs),
    ):
        assert one is not None
        assert other is not None
        assert abs(one.value - other.value) < 2.0 * (one.half_width + other.half_width)
    assert tracked.finished == pytest.approx(listed.finished, rel=0.1)


def test_waiting_for_a_backend_that_is_very_slow_takes_few_events() -> None:
    found = run(slowdowns=[Slowdown("b0", 1e9, 30.0)], horizon=60.0)
    for policy in found.policies:
        assert policy.finished is not None
        assert policy.finished > 1e6
        assert policy.events < 20_000


def test_a_run_without_a_change_goes_on_for_ever() -> None:
    assert run(horizon=2000.0).policies[0].finished is None
    tides = PiecewiseArrivals(((0.0, 1.0), (20.0, 12.0)), 40.0)
    changing = replace(PAIR, frontends=(replace(PAIR.frontends[0], arrivals=tides),))
    assert run(changing).policies[0].finished is not None


@pytest.mark.parametrize(
    ("options", "spans"),
    [
        ({"slowdowns": [Slowdown("b0", 20.0, 30.0)]}, [(30.0, np.inf)]),
        ({"slowdowns": [Slowdown("b0", 20.0, 30.0), Slowdown("b0", 1.0, 40.0)]}, [(30.0, 40.0)]),
        ({"slowdowns": [Slowdown("b0", 1.5, 30.0)]}, []),
        (FAILED, [(30.0, np.inf)]),
        ({"changes": [(30.0, BUSY), (40.0, BUSY), (50.0, PAIR)]}, [(30.0, 50.0)]),
        # The slowdown outlasts the change that ends the overload of the first.
        (SLOW | {"changes": [(20.0, BUSY), (40.0, PAIR)]}, [(20.0, np.inf)]),
        (FAILED | {"changes": [(40.0, PAIR)]}, [(30.0, 40.0)]),
    ],
    ids=["slowdown", "ended", "harmless", "failure", "then", "both", "back"],
)
def test_an_overload_is_named_whatever_brings_it(
    options: dict[str, Any], spans: list[tuple[float, float]]
) -> None:
    found = run(PAIR, "jsq", **options)
    assert found.beyond_capacity == tuple(spans)
    named = f"beyond capacity {spans_in_words(spans)}"
    assert (named in found.source) == bool(spans)
    assert found.source.count("beyond capacity") == bool(spans)
    assert found.to_dict()["beyond_capacity"] == [list(span) for span in spans]


@pytest.mark.parametrize(
    "options",
    [{}, {"patience": "exponential:mean=9"}, SLOW, FAILED, {"arrivals": "gamma:cv=2"}],
    ids=["chain", "patience", "slowdown", "failure", "list"],
)
def test_means_only_gives_no_percentiles_whichever_engine_runs(options: dict[str, Any]) -> None:
    given = {"horizon": 2000.0, "warmup": 0.0} | options
    found = run(PAIR, "jsq", percentiles=False, **given)
    (policy,) = found.policies
    assert (policy.p50, policy.p95, policy.p99) == (None, None, None)
    assert policy.mean_latency is not None
    assert not any("percentiles" in line for line in warnings(found))
    timed = run(PAIR, "jsq", **given).policies[0]
    assert timed.p99 is not None


def test_jobs_of_which_hardly_any_is_completed_need_no_longer_run() -> None:
    with pytest.raises(RunTooShortError) as error:
        run(PAIR, "jsq", patience="deterministic:mean=0.001", horizon=2000.0)
    assert "hardly any jobs are completed under jsq" in str(error.value)
    assert "give a lower --load, or more patience" in str(error.value)
    assert "--horizon" not in str(error.value)
