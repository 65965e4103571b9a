"""Prices of policies as tables."""

import numpy as np
import pytest

from isocline.errors import PolicyError
from isocline.model.curves import Curve, HyperbolicCurve, KneeCurve
from isocline.planes.envoy.policy_prices import SecantPrices, prices, require_prices
from isocline.policies.parse import parse
from isocline.policies.routing.contract import Setting, View
from isocline.policies.routing.gmsr_secant import PRICE, GmsrSecant
from isocline.randomness.draws import stream
from isocline.simulate.routing.prepare import prepare
from tests.builders import fleet

LIMIT = 60


def setting(*curves: Curve) -> Setting:
    rate = 0.5 * sum(curve.supremum for curve in curves)
    return prepare(fleet(list(curves), [rate], [list(range(len(curves)))])).setting


def test_prices_of_gmsr_are_inverse_marginal_rates() -> None:
    curve = HyperbolicCurve(40.0, 12.0)
    found = prices(parse("gmsr"), setting(curve, HyperbolicCurve(6.0, 5.0), curve), LIMIT)
    jobs = np.arange(LIMIT + 1.0)
    np.testing.assert_allclose(found[0], (jobs + 12.0) ** 2 / (40.0 * 12.0))
    np.testing.assert_allclose(found[1], (jobs + 5.0) ** 2 / (6.0 * 5.0))
    np.testing.assert_array_equal(found[2], found[0])


def test_secant_prices_of_a_backend_at_rest() -> None:
    """From N to n and a half there are |n + 1/2 - N| jobs, served at |l(n + 1/2) - l(N)| more."""
    curve, resting = HyperbolicCurve(40.0, 12.0), 10
    priced = SecantPrices(GmsrSecant(), setting(curve), LIMIT)
    for now in np.arange(0.0, 1000.0, 0.5):
        priced.look(now, [resting])
    found = priced.prices()[0]
    rates = curve.rate(np.arange(LIMIT + 2.0))
    middles = 0.5 * (rates[1:] + rates[:-1])  # between whole jobs curves are taken as straight
    jobs = np.arange(LIMIT + 1.0)
    expected = np.abs(jobs + 0.5 - resting) / np.abs(middles - rates[resting])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_secant_prices_are_those_of_the_policy() -> None:
    """A look, and then the policy itself with the same memory, at whatever workloads."""
    one = setting(HyperbolicCurve(40.0, 12.0), KneeCurve(30.0, 9.0, 4.0), HyperbolicCurve(9.0, 3.0))
    policy = GmsrSecant()
    priced = SecantPrices(policy, one, LIMIT)
    rng, ties = np.random.default_rng(2), stream(1)
    memory, now = policy.memory(one), 0.0
    numbers = np.arange(3, dtype=np.int32)
    table = policy.table(one, np.arange(LIMIT + 2.0))
    for _ in range(300):
        now += 1.0  # longer than the first windows, so that the policy looks at each backend
        jobs = rng.poisson([14, 9, 5]).astype(np.int32)
        priced.look(now, jobs)
        view = View(
            numbers, jobs, numbers, table, policy.parameter(one), memory, np.array([1.0, 1.0])
        )
        chosen = GmsrSecant.choose(numbers, view, now, ties)
        found = priced.prices()[numbers, jobs]
        np.testing.assert_allclose(memory[:, PRICE], found)
        assert chosen == found.argmin()
        jobs[chosen] += 1
        priced.look(now, jobs)


def test_a_changed_curve_is_priced_from_the_next_look() -> None:
    before, after = HyperbolicCurve(40.0, 12.0), HyperbolicCurve(20.0, 12.0)
    priced = SecantPrices(GmsrSecant(), setting(before), LIMIT)
    for now in np.arange(0.0, 1000.0, 0.5):
        priced.look(now, [2])
    was = priced.prices()
    priced.change(setting(after))
    priced.look(1000.0, [2])
    assert (priced.prices() > 1.5 * was).all()


@pytest.mark.parametrize(
    "policy", ["least_work", "least_work:join=true,count=held", "linear_cost:weight=3", "lmetric"]
)
def test_policies_that_count_tokens_are_followed_where_jobs_are_alike(policy: str) -> None:
    """Any backend that one draw of the policy takes has the least price, and all of them come."""
    curves = [HyperbolicCurve(peak, 3.0) for peak in (40.0, 20.0, 20.0)]
    one, parsed, rng = setting(*curves), parse(policy), np.random.default_rng(4)
    found, numbers, ties = prices(parsed, one, LIMIT), np.arange(3, dtype=np.int32), stream(2)
    for _ in range(100):
        jobs = rng.integers(0, 6, 3).astype(np.int32)
        view = View(
            numbers,
            jobs,
            numbers,
            parsed.table(one, np.arange(LIMIT + 1.0)),
            parsed.parameter(one),
            parsed.memory(one),
            parsed.option(),
        )
        chosen = {int(parsed.functions()[0](numbers, view, 0.0, ties)) for _ in range(50)}
        held = found[numbers, jobs]
        assert chosen == set(np.flatnonzero(held == held.min()).tolist())


@pytest.mark.parametrize("policy", ["power_of_d", "least_request", "drain_rate", "round_robin"])
def test_policies_that_are_no_table_are_refused_by_name(policy: str) -> None:
    with pytest.raises(PolicyError, match=f"policy {policy} is no table of prices"):
        require_prices(parse(policy))


def test_policies_that_cannot_be_followed_are_refused() -> None:
    one = setting(HyperbolicCurve(40.0, 12.0))
    with pytest.raises(PolicyError, match="a plane draws ties"):
        require_prices(parse("gmsr:ties=first"))
    with pytest.raises(PolicyError, match="ties=first"):
        SecantPrices(GmsrSecant(ties="first"), one, LIMIT)
