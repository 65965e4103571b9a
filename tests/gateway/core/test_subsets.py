"""Requests that only some backends may get, and requests that a data plane has sent on itself."""

import pytest

from isocline.gateway.core.actions import Hold, Reject, Send
from isocline.gateway.core.request import Profile
from isocline.model.serving_settings import EjectionRule, HoldingRule
from tests.gateway.core.cores import FAST, SLOW, SMALL, core, sent


def only(*backends: int) -> Profile:
    return Profile(only=frozenset(backends))


def test_a_request_goes_to_one_of_its_own_backends_whatever_the_policy_prefers() -> None:
    made = core(FAST, SLOW, SLOW)
    goes = [made.arrived(0.0, 0, only(1, 2)) for _ in range(20)]
    assert {action.backend for action in goes if isinstance(action, Send)} == {1, 2}
    assert isinstance(made.arrived(0.0, 0, only(0, 1, 2)), Send)
    assert [made.in_flight(b) for b in range(3)] == [1, 10, 10]


@pytest.mark.parametrize("profile", [only(), only(7)])
def test_without_any_of_its_backends_it_is_refused(profile: Profile) -> None:
    action = core(FAST, SLOW).arrived(0.0, 0, profile)
    assert isinstance(action, Reject)
    assert action.status == 503


def test_a_request_whose_backends_are_down_is_refused_though_others_are_up() -> None:
    made = core(FAST, SLOW)
    made.backend_down(1, 0.0)
    action = made.arrived(0.0, 0, only(1))
    assert isinstance(action, Reject)
    assert action.status == 503
    assert isinstance(made.arrived(0.0, 0, only(0)), Send)


def test_a_request_waits_for_its_own_backends_while_others_have_room() -> None:
    made = core(SMALL, FAST, holding=HoldingRule(seconds=5.0))
    full = [made.arrived(0.0, 0, only(0)) for _ in range(3)]
    assert [type(action) for action in full] == [Send, Send, Hold]
    freed = made.finished(full[0].request, 1.0)
    assert freed == [Send(full[2].request, 0, 1)]
    assert made.arrived(1.0, 0, only(0)) == Hold(full[2].request + 1, 6.0)
    (late,) = made.tick(7.0)
    assert isinstance(late, Reject)


def test_a_subset_holds_where_shares_give_the_turn_to_others() -> None:
    made = core(FAST, FAST)
    made.share_changed(1, 0.01, 0.0)
    goes = [made.arrived(0.0, 0, only(1)) for _ in range(5)]
    assert [action.backend for action in goes if isinstance(action, Send)] == [1] * 5


def test_explanations_are_of_the_subset() -> None:
    made = core(FAST, SLOW, SLOW)
    assert [backend for backend, _, _ in made.explain(0, None, frozenset((0, 2)))] == [0, 2]


def test_a_request_sent_on_is_counted_where_it_is_served() -> None:
    made = core(FAST, SLOW)
    (one,) = sent(made, 1)
    assert one.backend == 0
    made.sent_on(one.request, 1, 0.5)
    assert [made.in_flight(b) for b in range(2)] == [0, 1]
    made.finished(one.request, 1.0)
    assert [made.in_flight(b) for b in range(2)] == [0, 0]


def test_a_backend_that_requests_are_sent_on_from_is_ejected() -> None:
    made = core(FAST, SLOW, ejection=EjectionRule(failures=3))
    for _ in range(3):
        (one,) = sent(made, 1)
        made.sent_on(one.request, 1, 0.0)
    assert [notice.backend for notice in made.take_notices()] == [0]
    (after,) = sent(made, 1)
    assert after.backend == 1


def test_a_request_cannot_be_sent_on_to_a_backend_that_its_frontend_has_not() -> None:
    made = core(FAST, SLOW, neighbours=[[0], [0, 1]])
    (one,) = sent(made, 1)
    with pytest.raises(KeyError):
        made.sent_on(one.request, 1, 0.0)
    assert made.in_flight(0) == 1
