"""GMSR that looks ahead: its table, its rest point, and what it is without a lag."""

import numpy as np
import pytest
from scipy.optimize import brentq

from isocline.errors import PolicyError
from isocline.model.curves import Curve, HyperbolicCurve, KneeCurve, TableCurve
from isocline.model.graph import CompatibilityGraph
from isocline.policies.parse import parse
from isocline.policies.routing.contract import RoutingPolicy, Setting, View
from isocline.policies.routing.gmsr import Gmsr
from isocline.policies.routing.gmsr_ahead import STEP, GmsrAhead, price, refresh
from isocline.policies.routing.gmsr_secant import GmsrSecant
from isocline.randomness.draws import stream

CURVES: tuple[Curve, ...] = (
    HyperbolicCurve(40.0, 12.0),
    KneeCurve(20.0, 8.0, 3.0),
    TableCurve(((2.0, 3.0), (6.0, 6.0))),
)
GRAPH = CompatibilityGraph.from_neighbours(3, [[0, 1, 2], [0, 2]])
ROW = np.arange(3, dtype=np.int32)
SETTING = Setting(GRAPH, CURVES, ROW)


def view(policy: RoutingPolicy, setting: Setting = SETTING) -> View:
    return View(
        GRAPH.sink.copy(),
        np.zeros(3, np.int32),
        ROW,
        np.ascontiguousarray(policy.table(setting, np.arange(64.0))),
        policy.parameter(setting),
        policy.memory(setting),
        policy.option(),
    )


def test_the_table_is_the_price_after_one_implicit_step() -> None:
    step = 2.0
    table = GmsrAhead(lag=step, ahead=1.0).table(SETTING, np.arange(40.0))
    for row, curve in enumerate(CURVES[:2]):
        for jobs in (1.0, 7.0, 30.0, 60.0):
            after = brentq(lambda n: n + step * float(curve.rate(n)) - jobs, 0.0, jobs)  # noqa: B023
            # The inverse is linear between eighths of a job.
            assert table[row, int(jobs)] == pytest.approx(
                1 / float(curve.marginal(after)), rel=0.01
            )
    rates = table[len(CURVES) :]
    np.testing.assert_allclose(rates[0], CURVES[0].rate(np.arange(table.shape[1])))
    assert np.all(np.isfinite(table))  # past the end of a measured curve, too


def test_without_a_lag_it_chooses_as_gmsr_does() -> None:
    plain, ahead = Gmsr("derivative", "first"), GmsrAhead(ties="first")
    seen, looked = view(plain), view(ahead)
    rng = np.random.default_rng(3)
    candidates = np.arange(3, dtype=np.int32)
    for now in range(200):
        seen.workload[:] = looked.workload[:] = rng.integers(0, 6, 3)  # below the table's end
        one = plain.functions()[0](candidates, seen, float(now), stream(0))
        assert ahead.functions()[0](candidates, looked, float(now), stream(0)) == one


def test_without_a_lag_and_by_the_secant_it_is_gmsr_secant() -> None:
    plain, ahead = GmsrSecant("first"), GmsrAhead(ties="first", price="secant")
    seen, looked = view(plain), view(ahead)
    rng = np.random.default_rng(3)
    candidates = np.arange(3, dtype=np.int32)
    jobs, now = np.zeros(3, np.int64), 0.0
    for _ in range(500):
        now += rng.exponential(0.05)
        # A walk, now and then far up: what was learned differs from what is.
        jobs = np.clip(jobs + rng.integers(-2, 3, 3), 0, 50)
        if rng.random() < 0.01:
            jobs = rng.integers(0, 50, 3)
        seen.workload[:] = looked.workload[:] = jobs
        one = plain.functions()[0](candidates, seen, now, stream(0))
        assert ahead.functions()[0](candidates, looked, now, stream(0)) == one


def test_the_lag_is_the_simulations_unless_it_is_given() -> None:
    late = Setting(GRAPH, CURVES, ROW, lag=0.5)
    spans = GmsrAhead(ahead=4.0, smoothing=3.0).parameter(late)[0, STEP:]
    assert spans.tolist() == [2.0, 6.0]
    assert GmsrAhead(lag=1.0, ahead=4.0).parameter(late)[0, STEP] == 4.0


@pytest.mark.parametrize("lag", [0.2, 1.0, 20.0])
@pytest.mark.parametrize("rate", [1.5, 15.0])
def test_at_rest_it_sees_the_price_of_the_report_whatever_the_lag(lag: float, rate: float) -> None:
    # Its own share of the backend's jobs, small or large, does not matter either.
    policy = GmsrAhead(lag=lag)
    world = view(policy)
    world.workload[:] = 9
    choose, rng = policy.functions()[0], stream(1)
    alone = np.zeros(1, np.int32)
    times = np.arange(0.0, 200.0 * lag * policy.ahead, 1.0 / rate)
    for now in times:
        choose(alone, world, now, rng)
    now = times[-1] + 0.5 / rate  # between two jobs, where U is about its mean
    exact = 1.0 / float(CURVES[0].marginal(9.0))
    assert price(world, 0, refresh(world, 0, now), now) == pytest.approx(exact, rel=0.1)


def test_its_own_jobs_count_before_any_report_shows_them() -> None:
    policy = GmsrAhead(lag=0.1, ties="first")
    world = view(policy)
    candidates, rng = np.arange(3, dtype=np.int32), stream(0)
    chosen = {policy.functions()[0](candidates, world, 0.01 * i, rng) for i in range(100)}
    assert chosen == {0, 1, 2}  # plain GMSR would send all to the first


def test_ties_are_broken_at_random() -> None:
    policy = GmsrAhead()
    setting = Setting(GRAPH, CURVES[:1], np.zeros(3, np.int32))
    world = view(policy, setting)._replace(row=np.zeros(3, np.int32))
    rng = stream(2)
    counts = np.bincount(
        [policy.functions()[0](np.arange(3, dtype=np.int32), world, 0.0, rng) for _ in range(3000)]
    )
    assert np.all(np.abs(counts - 1000) < 4.5 * np.sqrt(3000 * 2 / 9))


@pytest.mark.parametrize(
    "text", ["lag=-1", "ahead=0", "smoothing=0", "lag=inf", "ties=last", "price=mean"]
)
def test_options_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(PolicyError, match=text.partition("=")[0]):
        parse(f"gmsr_ahead:{text}").option()
