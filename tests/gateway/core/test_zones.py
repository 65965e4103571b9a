"""Zones: requests stay near until the price of another zone is lower by more than its distance."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.optimize import brentq

from isocline.gateway.core.actions import Send
from isocline.gateway.core.build import core_of
from isocline.gateway.core.core import Core
from isocline.gateway.core.zones import Zones
from isocline.model.curves import HyperbolicCurve
from isocline.model.serving_settings import ZoneDistances
from isocline.model.zones import OTHER_REGION, SAME_REGION, SAME_ZONE, level_of
from isocline.policies.parse import parse
from isocline.policies.routing.contract import Setting
from isocline.randomness.draws import stream
from tests.builders import fleet
from tests.gateway.core.cores import FAST, SLOW

# Policies that look at distances.
PRICED = (
    *("gmsr", "gmsr:d=2", "gmsr_secant", "gmsr_ahead:lag=0.1", "gmsr_hold:level=0"),
    *("least_expected_latency", "dgd_lb"),
)


def zoned(
    policy: str = "gmsr",
    *,
    frontends: Sequence[str | None] = ("a", "b"),
    backends: Sequence[str | None] = ("a", "b"),
    distances: ZoneDistances | None = None,
    curve: HyperbolicCurve = FAST,
) -> Core:
    system = fleet([curve] * len(backends), [1.0] * len(frontends))
    zones = Zones(tuple(frontends), tuple(backends), distances or ZoneDistances(zone=0.1))
    return core_of(system, parse(policy), rng=stream(1), zones=zones)


def backend_of(core: Core, frontend: int, now: float = 0.0) -> int:
    action = core.arrived(now, frontend)
    assert isinstance(action, Send)
    return action.backend


@pytest.mark.parametrize(
    ("one", "other", "level"),
    [
        ("a", "a", SAME_ZONE),
        ("a", "b", SAME_REGION),
        ("eu/a", "eu/a", SAME_ZONE),
        ("eu/a", "eu/b", SAME_REGION),
        ("eu/a", "us/a", OTHER_REGION),
        ("eu/a", "a", OTHER_REGION),
        (None, "a", SAME_ZONE),
        ("eu/a", None, SAME_ZONE),
    ],
)
def test_levels(one: str | None, other: str | None, level: int) -> None:
    assert level_of(one, other) == level_of(other, one) == level


def test_three_levels_have_their_distances() -> None:
    zones = Zones(("eu/a",), ("eu/a", "eu/b", "us/a", None), ZoneDistances(zone=0.1, region=2.0))
    graph = fleet([FAST] * 4, [1.0]).graph
    assert zones.by_edge(graph).tolist() == [0.0, 0.1, 2.0, 0.0]
    flat = Zones(zones.frontends, zones.backends, ZoneDistances(zone=0.1))
    assert flat.by_edge(graph).tolist() == [0.0, 0.1, 0.1, 0.0]
    assert Zones(zones.frontends, zones.backends, ZoneDistances()).by_edge(graph).size == 0


@pytest.mark.parametrize("policy", PRICED)
def test_where_all_is_as_near_decisions_are_as_without_zones(policy: str) -> None:
    system = fleet([FAST, SLOW, FAST, SLOW], [1.0, 1.0])
    found = []
    for distance in (np.zeros(0), np.zeros(system.graph.edges)):
        setting = Setting(
            system.graph, system.curves, np.arange(4, dtype=np.int32), distance=distance
        )
        core, draws = Core(setting, parse(policy), stream(5)), np.random.default_rng(2)
        decisions, flying, now = [], list[int](), 0.0
        for _ in range(400):
            now += float(draws.exponential(0.02))
            if flying and draws.random() < 0.45:
                core.finished(flying.pop(int(draws.integers(len(flying)))), now)
            else:
                action = core.arrived(now, int(draws.integers(2)))
                assert isinstance(action, Send)
                decisions.append(action.backend)
                flying.append(action.request)
        found.append(decisions)
    assert found[0] == found[1]
    assert len(set(found[0])) > 1


@pytest.mark.parametrize("distance", [0.05, 0.1, 0.5])
def test_a_request_crosses_once_the_price_is_lower_by_more_than_the_distance(
    distance: float,
) -> None:
    core = zoned(distances=ZoneDistances(zone=distance))
    stayed = 0
    while backend_of(core, 0) == 0:
        stayed += 1
    # Price of FAST at N jobs: (12 + N)^2 / 480.
    assert (12 + stayed) ** 2 / 480 > 144 / 480 + distance >= (11 + stayed) ** 2 / 480


@pytest.mark.parametrize("policy", ["gmsr", "least_expected_latency"])
def test_each_goes_where_price_and_distance_are_least(policy: str) -> None:
    core = zoned(
        policy,
        frontends=("eu/a", "us/a"),
        backends=("eu/a", "eu/b", "us/a"),
        distances=ZoneDistances(zone=0.07, region=0.4),
    )
    for number in range(120):
        frontend = int(number % 5 == 0)
        scores = {backend: score for backend, _, score in core.explain(frontend)}
        chosen = backend_of(core, frontend)
        assert scores[chosen] == min(scores.values())
        assert len(scores) == 3


@pytest.mark.parametrize("policy", [name for name in PRICED if ":d=" not in name])
def test_zones_that_are_alike_exchange_nothing(policy: str) -> None:
    """Both have the same load, and enough of their own; a distance longer than any price."""
    core = zoned(policy, backends=("a", "a", "b", "b"), distances=ZoneDistances(zone=1e3))
    flying: list[list[int]] = [[], []]
    for number in range(300):
        now, frontend = 0.01 * number, number % 2
        action = core.arrived(now, frontend)
        assert isinstance(action, Send)
        # A descent leaves each backend some probability, until its gradient has shown.
        assert action.backend // 2 == frontend or (policy == "dgd_lb" and number < 60)
        flying[frontend].append(action.request)
        if len(flying[frontend]) > 12:
            core.finished(flying[frontend].pop(0), now)


def test_live_decisions_rest_where_jobs_and_travels_are_fewest() -> None:
    """The optimum of jobs present and on their way: 1 / l' plus the distance is equal."""
    peak, half, distance, rates = 800.0, 240.0, 0.2, (600.0, 100.0)
    curve = HyperbolicCurve(peak, half)
    core = zoned(distances=ZoneDistances(zone=distance), curve=curve)

    def price(jobs: float) -> float:
        return (half + jobs) ** 2 / (peak * half)

    def surplus(jobs: float) -> float:
        """What both serve beyond what arrives, with `jobs` in the crowded zone."""
        other = max(np.sqrt(peak * half * (price(jobs) - distance)) - half, 0.0)
        served = [peak * n / (half + n) for n in (jobs, other)]
        return float(sum(served) - sum(rates))

    crowded = brentq(surplus, 1.0, 20.0 * half)
    other = np.sqrt(peak * half * (price(crowded) - distance)) - half
    draws, flying, now = np.random.default_rng(3), [list[int](), list[int]()], 0.0
    held, seconds = np.zeros(2), 0.0
    while now < 14.0:
        present = [len(requests) for requests in flying]
        weights = np.array([*rates, *(peak * n / (half + n) for n in present)])
        passed = float(draws.exponential(1.0 / weights.sum()))
        now += passed
        if now > 4.0:
            held += passed * np.array(present)
            seconds += passed
        event = int(draws.choice(4, p=weights / weights.sum()))
        if event >= 2:
            core.finished(flying[event - 2].pop(0), now)
        else:
            action = core.arrived(now, event)
            assert isinstance(action, Send)
            flying[action.backend].append(action.request)
    assert held / seconds == pytest.approx([crowded, other], rel=0.12)


def test_a_whole_zone_goes_and_comes_back() -> None:
    core = zoned(backends=("a", "a", "b"), distances=ZoneDistances(zone=5.0))
    assert backend_of(core, 0) in (0, 1)
    for backend in (0, 1):
        core.backend_down(backend, 1.0)
    assert {backend_of(core, 0, 2.0) for _ in range(5)} == {2}
    core.backend_up(1, 3.0)
    assert backend_of(core, 0, 3.0) == 1
