"""Order of the requests that wait: priorities, and shares of tenants."""

import math
from itertools import cycle, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.errors import UsageError
from isocline.gateway.core.actions import Hold, Reject, Send
from isocline.gateway.core.build import core_of
from isocline.gateway.core.core import Core
from isocline.gateway.core.request import Profile
from isocline.gateway.core.request_cost import ClassWork, Mix, TokenWork, Usage
from isocline.learn import Learner
from isocline.model.curves import HyperbolicCurve
from isocline.model.serving_settings import HoldingRule, Rules, SharingRule
from isocline.policies.parse import parse
from tests.builders import fleet
from tests.gateway.core.cores import SMALL, core

BY_HEADER = SharingRule(tenant="x-tenant")
LONG = HoldingRule(seconds=1e9, most=100_000)


def shared(weights: dict[str, float] | None = None, **rules: Any) -> Core:
    """One backend, which holds two requests at most."""
    sharing = SharingRule("x-tenant", weights or {}, "x-priority")
    given: dict[str, Any] = {"sharing": sharing, "holding": LONG} | rules
    return core(SMALL, **given)


def served_in_order(made: Core, running: list[int], count: int, now: float = 10.0) -> list[int]:
    """Requests that are sent as those at the backend finish, one after the other."""
    order: list[int] = []
    while len(order) < count:
        (action,) = made.finished(running.pop(0), now)
        assert isinstance(action, Send)
        order.append(action.request)
        running.append(action.request)
    return order


def test_of_those_that_wait_the_highest_priority_goes_first() -> None:
    made = shared()
    priorities = [0, 0, -5, 0, 3, 3, 1000]
    actions = [made.arrived(float(i), 0, Profile(p)) for i, p in enumerate(priorities)]
    running = [it.request for it in actions[:2]]
    assert served_in_order(made, running, 5) == [7, 5, 6, 4, 3]


@given(
    weights=st.lists(st.floats(0.1, 10.0), min_size=2, max_size=4),
    counts=st.lists(st.integers(1, 40), min_size=4, max_size=4),
)
def test_services_of_tenants_that_wait_follow_their_weights(
    weights: list[float], counts: list[int]
) -> None:
    """The bound of start-time fair queueing: one request of each apart, over its weight."""
    named = {f"t{i}": weight for i, weight in enumerate(weights)}
    made = shared(named)
    running = [made.arrived(0.0, 0, Profile(tenant="other")).request for _ in range(2)]
    of: dict[int, str] = {}
    # However unevenly they come, all wait until one of them has none left.
    for name, more in zip(named, counts, strict=False):
        for _ in range(more + 10):
            of[made.arrived(1.0, 0, Profile(tenant=name)).request] = name
    served = dict.fromkeys(named, 0)
    left = {name: list(of.values()).count(name) for name in named}
    while all(left[name] for name in named):
        (number,) = served_in_order(made, running, 1)
        served[of[number]] += 1
        left[of[number]] -= 1
        for (a, weight), (b, other) in product(named.items(), repeat=2):
            apart = served[a] / weight - served[b] / other
            assert abs(apart) <= (1 / weight + 1 / other) * (1 + 1e-9)


def test_a_flood_costs_the_others_no_more_than_its_weight() -> None:
    made = shared()
    running = [made.arrived(0.0, 0, Profile(tenant="flood")).request for _ in range(1000)][:2]
    own = [made.arrived(1.0, 0, Profile(tenant="quiet")).request for _ in range(5)]
    order = served_in_order(made, running, 12)
    assert [number in own for number in order].count(True) == 5
    assert order.index(own[-1]) <= 10


def test_a_tenant_that_was_away_has_saved_nothing() -> None:
    made = shared()
    running = [made.arrived(0.0, 0, Profile(tenant="a")).request for _ in range(40)][:2]
    served_in_order(made, running, 18)
    late = [made.arrived(20.0, 0, Profile(tenant="b")).request for _ in range(10)]
    order = served_in_order(made, running, 10)
    assert 4 <= sum(number in late for number in order) <= 6


def test_without_tenants_first_come_is_first_served() -> None:
    made = core(SMALL, sharing=SharingRule(priority="x-priority"), holding=LONG)
    names = cycle(["a", "a", "b"])
    actions = [made.arrived(float(i), 0, Profile(tenant=next(names))) for i in range(9)]
    running = [it.request for it in actions[:2]]
    assert served_in_order(made, running, 7) == [3, 4, 5, 6, 7, 8, 9]


def test_where_the_queue_is_full_the_flood_gives_way() -> None:
    made = shared(holding=HoldingRule(seconds=9.0, most=3))
    for _ in range(5):
        made.arrived(0.0, 0, Profile(tenant="flood"))
    quiet = made.arrived(1.0, 0, Profile(tenant="quiet"))
    assert isinstance(quiet, Hold)
    assert quiet.displaced is not None
    assert (quiet.displaced.request, quiet.displaced.status) == (5, 503)
    assert made.held(0) == 3
    again = made.arrived(2.0, 0, Profile(tenant="flood"))
    assert isinstance(again, Reject)
    assert again.request == 7


def test_where_the_queue_is_full_the_lowest_priority_gives_way() -> None:
    made = shared(holding=HoldingRule(seconds=9.0, most=2))
    for priority in (0, 0, 1, 0):
        made.arrived(0.0, 0, Profile(priority))
    urgent = made.arrived(1.0, 0, Profile(1))
    assert isinstance(urgent, Hold)
    assert urgent.displaced is not None
    assert urgent.displaced.request == 4
    refused = made.arrived(2.0, 0)
    assert isinstance(refused, Reject)
    assert refused.request == 6
    none = shared(holding=HoldingRule(seconds=9.0, most=0))
    assert [type(none.arrived(0.0, 0, Profile(tenant=name))) for name in "abc"] == [
        Send,
        Send,
        Reject,
    ]


def test_long_requests_count_for_more_once_they_are_known() -> None:
    """Tokens are what the share is of: of 10 times as many each, a tenth of the requests."""
    # A learned curve is not cut, so the policy holds here.
    system = fleet((HyperbolicCurve(40.0, 12.0),), [0.1])
    measure = TokenWork(Mix([ClassWork(1e6, 100.0)], None), 0.0, 1.0)
    made = core_of(
        system,
        parse("gmsr_hold:level=1e9"),
        rules=Rules(holding=LONG, sharing=BY_HEADER),
        learner=Learner(1),
        measure=measure,
    )
    running = [made.arrived(0.0, 0, Profile(tenant="long")).request]
    tokens = {running[0]: 1000}
    for _ in range(300):
        for name, length in (("long", 1000), ("short", 100)):
            tokens[made.arrived(1.0, 0, Profile(tenant=name)).request] = length
    done = {100: 0, 1000: 0}
    for i in range(150):
        number = running.pop()
        done[tokens[number]] += tokens[number]
        (action,) = made.finished(number, 2.0 + i, usage=Usage(None, tokens[number]))
        assert isinstance(action, Send)
        running.append(action.request)
    assert done[1000] == pytest.approx(done[100], rel=0.25)


def test_a_name_counts_before_the_patterns_that_it_meets() -> None:
    made = shared({"*": 1.0, "team-a": 3.0})
    running = [made.arrived(0.0, 0, Profile(tenant="other")).request for _ in range(2)]
    own = [made.arrived(1.0, 0, Profile(tenant="team-a")).request for _ in range(60)]
    for _ in range(60):
        made.arrived(1.0, 0, Profile(tenant="team-b"))
    order = served_in_order(made, running, 40)
    assert sum(number in own for number in order) == pytest.approx(30, abs=2)


def test_many_names_are_not_remembered_for_ever() -> None:
    made = shared(holding=HoldingRule(seconds=9.0, most=10))
    for i in range(20_000):
        made.arrived(0.001 * i, 0, Profile(tenant=f"name {i}"))
    assert made.held(0) == 10
    running = [1, 2]
    assert len(served_in_order(made, running, 10)) == 10


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "give tenant, priority or both"),
        ({"tenant": "a b"}, "no name of a header"),
        ({"priority": ""}, "no name of a header"),
        ({"tenant": "Authorization"}, "holds a secret; give tenant: key"),
        ({"tenant": "X-Api-Key"}, "holds a secret; give tenant: key"),
        ({"priority": "p", "weights": {"a": 1.0}}, "weights without tenant"),
        ({"tenant": "t", "weights": {"a": 0.0}}, "above 0"),
        ({"tenant": "t", "weights": {"a": math.inf}}, "above 0"),
    ],
)
def test_rules_that_say_nothing_are_refused(given: dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        SharingRule(**given)  # type: ignore[arg-type]
