"""Models at backends: where requests go, what is loaded and dropped, and what failures do."""

import pytest

from isocline.gateway.core.actions import Action, Cause, Hold, Reject, Send
from isocline.gateway.core.core import Core
from isocline.model.curves import HyperbolicCurve
from isocline.model.serving_settings import HoldingRule
from tests.gateway.core.residencies import (
    CURVE,
    LOAD,
    asks,
    begun,
    calls,
    entry,
    load,
    rejected,
    residency_core,
    resident,
)


def backends_of(actions: list[Action]) -> list[int]:
    assert all(isinstance(action, Send) for action in actions), actions
    return [action.backend for action in actions if isinstance(action, Send)]


def test_a_request_for_a_cold_model_waits_for_one_load_and_then_goes() -> None:
    core = residency_core([2.0, 2.0])
    held = asks(core, "m1")
    assert isinstance(held, Hold)
    backend, call = begun(core)
    assert (call.model, call.loads) == ("m1", True)
    assert core.take_calls(0.1) == []
    assert core.in_flight(backend) == 0
    sent = core.call_ended(backend, call, LOAD)
    assert sent == [Send(held.request, backend, 1)]


@pytest.mark.parametrize("policy", ["round_robin", "random", "jsq"])
def test_a_crowd_for_one_cold_model_causes_one_load_where_no_price_says_otherwise(
    policy: str,
) -> None:
    core = residency_core([2.0] * 4, policy=policy)
    crowd = [asks(core, "m1", 0.001 * i) for i in range(200)]
    assert all(isinstance(action, Hold) for action in crowd)
    backend, call = begun(core, 0.2)
    assert core.take_calls(0.3) == []
    went = core.call_ended(backend, call, LOAD)
    assert [action.request for action in went] == [action.request for action in crowd]
    assert set(backends_of(went)) == {backend}
    assert core.take_calls(LOAD) == []


@pytest.mark.parametrize("policy", ["gmsr", "gmsr_secant", "least_expected_latency"])
def test_a_crowd_causes_one_load_at_each_backend_that_is_no_busier(policy: str) -> None:
    core = residency_core([2.0] * 4, policy=policy)
    crowd = [asks(core, "m1", 0.001 * i) for i in range(400)]
    assert all(isinstance(action, Hold) for action in crowd)
    begun_here = core.take_calls(0.4)
    assert {backend for backend, _ in begun_here} == {0, 1, 2, 3}
    assert core.take_calls(0.5) == []
    went = [it for backend, call in begun_here for it in core.call_ended(backend, call, 0.9)]
    served = backends_of(went)
    assert len(served) == 400
    assert max(map(served.count, range(4))) < 2 * min(map(served.count, range(4)))
    assert core.take_calls(LOAD) == []


def test_requests_go_where_their_model_is_whatever_the_policy() -> None:
    for policy in ("gmsr", "round_robin", "random"):
        core = residency_core([2.0] * 4, policy=policy)
        homes = {model: load(core, model) for model in ("m1", "m2", "m3", "m4")}
        for now in range(5):
            for model, home in homes.items():
                sent = asks(core, model, 10.0 + now)
                assert isinstance(sent, Send)
                assert sent.backend == home
                core.finished(sent.request, 10.5 + now)


def test_other_requests_and_backends_without_memory_need_no_load() -> None:
    core = residency_core([None, 2.0])
    assert isinstance(asks(core, ""), Send)
    assert isinstance(asks(core, "other"), Send)
    first = asks(core, "m1")
    assert isinstance(first, Send)
    assert first.backend == 0
    assert calls(core) == []


def test_the_price_of_a_load_is_weighed_against_that_of_waiting() -> None:
    """Beside a busy holder, an idle backend gets a copy once work times price is less there."""
    core = residency_core([1.0, 1.0], entries=[entry("m*", load=2.0)])
    home = load(core, "m1", took=2.0)
    sent = 0
    while isinstance(asks(core, "m1", 10.0), Send):
        sent += 1
        assert sent < 10_000
    assert calls(core, 10.0) == [(1 - home, "m1", True)]
    cold = 1.0 + 2.0 * CURVE.rate(1.0)
    assert core.in_flight(home) == sent
    assert CURVE.marginal(0.0) / CURVE.marginal(sent - 1.0) <= cold
    assert CURVE.marginal(0.0) / CURVE.marginal(float(sent)) >= cold


def test_who_asked_for_a_copy_waits_for_it_and_goes_there() -> None:
    core = residency_core([1.0, 1.0])
    home = load(core, "m1")
    first = asks(core, "m1", 1.0)
    while isinstance(first, Send):
        assert first.backend == home
        first = asks(core, "m1", 1.0)
    backend, call = begun(core, 1.0)
    assert backend == 1 - home
    (went,) = core.call_ended(backend, call, 1.0 + LOAD)
    assert went == Send(first.request, backend, 1)


def test_a_model_makes_way_for_a_copy_only_where_draining_a_crowd_takes_longer() -> None:
    """Marginal prices, which are steeper, are no reason to drop what others ask for."""
    core = residency_core([1.0, 1.0], entries=[entry("m*", load=2.0)])
    home = load(core, "m1", took=2.0)
    other = load(core, "m2", 5.0, took=2.0)
    assert other == 1 - home
    sent = 0
    while isinstance(asks(core, "m1", 10.0), Send):
        sent += 1
        assert sent < 10_000
    assert calls(core, 10.0) == [(other, "m2", False)]
    cold = (1.0 + 2.0 * CURVE.rate(1.0)) / CURVE.rate(1.0)
    assert sent / CURVE.rate(sent) <= cold <= (sent + 1) / CURVE.rate(sent + 1.0)
    assert CURVE.marginal(0.0) / CURVE.marginal(sent - 1.0) > 1.0 + 2.0 * CURVE.rate(1.0)


def test_free_memory_is_taken_before_a_model_makes_way() -> None:
    for _ in range(5):
        core = residency_core([1.0, 1.0])
        assert {load(core, "m1"), load(core, "m2", 1.0)} == {0, 1}


def test_the_copy_that_is_worth_least_goes() -> None:
    core = residency_core([3.0])
    for model in ("m1", "m2", "m3"):
        load(core, model)
    for i in range(30):  # m1 is asked for most, m2 last
        for model in ("m1", "m1", "m1", "m3", "m3", "m2"):
            sent = asks(core, model, 1.0 + i)
            assert isinstance(sent, Send)
            core.finished(sent.request, 1.1 + i)
    assert isinstance(asks(core, "m4", 40.0), Hold)
    assert calls(core, 40.0) == [(0, "m2", False)]


def test_of_two_models_asked_for_alike_the_one_with_another_copy_goes() -> None:
    core = residency_core([2.0, 1.0], pinned=[[], ["m1"]])
    core.models_told(0, ["m1", "m2"], 0.0, 0.0)
    for i in range(60):
        for model in ("m1", "m2"):
            sent = asks(core, model, float(i))
            assert isinstance(sent, Send)
            core.finished(sent.request, i + 0.1)
    assert isinstance(asks(core, "m3", 70.0), Hold)
    assert calls(core, 70.0) == [(0, "m1", False)]


def test_what_is_pinned_or_in_use_stays() -> None:
    core = residency_core([2.0], pinned=[["m1"]])
    load(core, "m2")
    using = asks(core, "m2", 1.0)
    assert isinstance(using, Send)
    waits = asks(core, "m3", 1.0)
    assert isinstance(waits, Hold)
    assert calls(core, 1.0) == []
    core.finished(using.request, 2.0)
    assert calls(core, 2.0) == [(0, "m2", False)]


def test_unloads_come_before_the_load_that_they_make_room_for() -> None:
    core = residency_core([1.0])
    load(core, "m1")
    held = asks(core, "m2", 1.0)
    backend, unload = begun(core, 1.0)
    assert not unload.loads
    # Nobody gets a model that is leaving.
    assert isinstance(asks(core, "m1", 1.1), Hold)
    core.call_ended(backend, unload, 1.2)
    assert resident(core, 0) == set()
    backend, call = begun(core, 1.2)
    assert (call.model, call.loads) == ("m2", True)
    went = core.call_ended(backend, call, 1.7)
    assert went[0] == Send(held.request, 0, 1)


def test_a_failed_load_sends_the_waiting_elsewhere_and_pauses() -> None:
    core = residency_core([1.0, 1.0], policy="jsq")
    held = [asks(core, "m1") for _ in range(3)]
    first, call = begun(core)
    went = core.call_failed(first, call, 0.2, False)
    assert [type(action) for action in went] == [Hold] * 3
    second, again = begun(core, 0.2)
    assert second != first
    assert again.loads
    went = core.call_ended(second, again, 0.7)
    assert [action.request for action in went] == [action.request for action in held]
    assert set(backends_of(went)) == {second}


def test_a_model_that_nobody_can_load_is_refused_and_asked_for_again_later() -> None:
    core = residency_core([1.0, 1.0])
    asks(core, "m1")
    actions: list[Action] = []
    for _ in range(10):
        for backend, call in core.take_calls(0.0):
            actions += core.call_failed(backend, call, 0.0, False)
    (refused,) = rejected(actions)
    assert refused.status == 503
    assert "m1" in refused.reason
    at_once = asks(core, "m1", 0.1)
    assert isinstance(at_once, Reject)
    assert at_once.retry_after is not None
    assert calls(core, 0.1) == []
    later = 0.1 + at_once.retry_after
    assert isinstance(asks(core, "m1", later), Hold)
    assert calls(core, later) != []


def test_a_load_without_an_answer_is_unloaded_before_anything_else_takes_its_room() -> None:
    core = residency_core([1.0])
    asks(core, "m1")
    backend, call = begun(core)
    core.call_failed(backend, call, 5.0, True)
    asks(core, "m2", 5.0)
    backend, unload = begun(core, 5.0)
    assert (unload.model, unload.loads) == ("m1", False)
    assert calls(core, 5.0) == []
    core.call_ended(backend, unload, 5.1)
    assert calls(core, 5.1) == [(0, "m2", True)]


def test_an_unload_that_is_refused_gives_the_load_up() -> None:
    core = residency_core([1.0, 1.0], pinned=[[], ["m9"]])
    load(core, "m1")
    held = asks(core, "m2", 1.0)
    assert isinstance(held, Hold)
    backend, unload = begun(core, 1.0)
    (gone,) = core.call_failed(backend, unload, 1.1, False)
    assert gone.request == held.request
    assert resident(core, 0) == {"m1"}
    assert isinstance(asks(core, "m1", 1.2), Send)
    assert calls(core, 1.2) == []


def test_a_backend_that_goes_down_has_lost_its_models_and_loads() -> None:
    core = residency_core([1.0, 1.0])
    home = load(core, "m1")
    other = 1 - home
    held = asks(core, "m2", 1.0)
    backend, call = begun(core, 1.0)
    assert backend == other
    (moved,) = core.backend_down(other, 1.1)
    assert moved.request == held.request
    assert core.call_ended(backend, call, 1.5) == []  # comes too late
    assert resident(core, other) == set()
    core.backend_up(other, 2.0)
    assert calls(core, 2.0) == [(home, "m1", False)]


def test_a_model_that_is_gone_is_loaded_again_and_the_request_sent_there() -> None:
    core = residency_core([1.0, 1.0])
    home = load(core, "m1")
    sent = asks(core, "m1", 1.0)
    assert isinstance(sent, Send)
    (told,) = core.model_missing(sent.request, 1.1, again=True)
    assert isinstance(told, Hold)
    assert resident(core, home) == set()
    backend, call = begun(core, 1.1)
    assert backend != home  # where it has not just failed
    (went,) = core.call_ended(backend, call, 1.6)
    assert went == Send(sent.request, backend, 2)
    core.finished(sent.request, 1.7)
    assert core.in_flight(0) == core.in_flight(1) == 0


def test_an_answer_is_passed_on_if_the_request_is_not_kept_or_its_model_not_known() -> None:
    core = residency_core([1.0])
    other, sent = asks(core, "other"), load(core, "m1")
    assert core.model_missing(other.request, 1.0, again=True) == []
    using = asks(core, "m1", 1.0)
    assert core.model_missing(using.request, 1.0, again=False) == []
    assert resident(core, sent) == set()


def test_what_a_backend_tells_counts_unless_it_has_changed_since() -> None:
    core = residency_core([2.0])
    core.models_told(0, ["m1", "m2", "not managed"], 0.0, 0.1)
    assert resident(core, 0) == {"m1", "m2"}
    core.models_told(0, ["m2"], 1.0, 1.1)
    assert resident(core, 0) == {"m2"}
    asks(core, "m3", 2.0)
    backend, call = begun(core, 2.0)
    core.call_ended(backend, call, 2.5)
    core.models_told(0, ["m2"], 2.2, 2.6)  # asked before m3 was there
    assert resident(core, 0) == {"m2", "m3"}
    core.models_told(0, ["m1"], 2.7, 2.8, complete=False)
    assert resident(core, 0) == {"m1", "m2", "m3"}


def test_requests_that_wait_go_when_the_model_is_told_to_be_there() -> None:
    core = residency_core([2.0])
    load(core, "m1")
    asks(core, "m2", 1.0)
    second = asks(core, "m3", 1.0)  # queued behind the load of m2
    assert isinstance(second, Hold)
    (went,) = core.models_told(0, ["m3"], 1.1, 1.1, complete=False)
    assert went.request == second.request
    assert isinstance(went, Send)


def test_load_times_are_learned() -> None:
    core = residency_core([9.0], entries=[entry("m*", load=0.0)])
    for i in range(9):
        load(core, f"m{i}", now=10.0 * i, took=3.0)
    assert core.residency is not None
    assert core.residency.load_time("m1") == pytest.approx(3.0)


def test_a_cancelled_request_waits_no_longer() -> None:
    core = residency_core([1.0])
    first, second = asks(core, "m1"), asks(core, "m1")
    core.cancelled(first.request, 0.1)
    backend, call = begun(core, 0.1)
    (went,) = core.call_ended(backend, call, 0.5)
    assert went.request == second.request


def test_so_many_wait_for_a_load_as_may_wait() -> None:
    core = residency_core([1.0], holding=HoldingRule(most=2))
    actions = [asks(core, "m1") for _ in range(4)]
    assert [type(action) for action in actions] == [Hold, Hold, Reject, Reject]


def test_backends_that_load_by_themselves_get_the_request_at_once() -> None:
    core = residency_core([1.0, 1.0], by_call=False, unloads=False)
    first = asks(core, "m1")
    assert isinstance(first, Send)
    again = asks(core, "m1")
    assert isinstance(again, Send)
    assert again.backend == first.backend
    other = asks(core, "m2")
    assert isinstance(other, Send)
    assert other.backend != first.backend
    for action in (first, again, other):
        core.finished(action.request, 1.0)
    assert calls(core) == []
    third = asks(core, "m3", 2.0)
    assert isinstance(third, Send)
    core.finished(third.request, 2.5)
    assert resident(core, third.backend) == {"m3"}  # the one before was dropped


def test_backends_that_load_nothing_get_no_request_for_what_others_have() -> None:
    core = residency_core([1.0, 1.0], by_call=False, unloads=False)
    core.models_told(0, ["m1"], 0.0, 0.0)
    first = asks(core, "m2")
    assert isinstance(first, Send)
    told = core.model_missing(first.request, 0.1, again=True)
    assert isinstance(told[0], Send)
    assert core.model_missing(first.request, 0.2, again=False) == []
    core.finished(first.request, 0.2, status=404)
    sent = [asks(core, "m1", 1.0) for _ in range(50)]
    assert set(backends_of(sent)) == {0}


def test_a_failed_request_leaves_its_copy() -> None:
    core = residency_core([1.0])
    load(core, "m1")
    sent = asks(core, "m1", 1.0)
    core.failed(sent.request, 1.1, Cause.RESET, sent=True, idempotent=False)
    asks(core, "m2", 1.2)
    assert calls(core, 1.2) == [(0, "m1", False)]


def test_a_model_too_large_for_all_is_refused() -> None:
    core = residency_core([1.0], entries=[entry("m*", size=2.0)])
    refused = asks(core, "m1")
    assert isinstance(refused, Reject)
    assert refused.status == 503


def test_a_reload_keeps_models_and_loads_under_way() -> None:
    before = residency_core([2.0, 2.0])
    home = load(before, "m1")
    using = asks(before, "m1", 1.0)
    held = asks(before, "m2", 1.0)
    backend, call = begun(before, 1.0)
    after = residency_core([2.0, 2.0])
    assert before.residency is not None
    assert after.residency is not None
    after.residency.take_over(before.residency, {0: 1, 1: 0})
    assert resident(after, 1 - home) == {"m1"}
    assert after.take_calls(1.1) == []
    assert after.call_ended(1 - backend, call, 1.5) == []
    (went,) = before.call_ended(backend, call, 1.5)
    assert went.request == held.request
    assert resident(after, 1 - backend) >= {"m2"}
    before.finished(using.request, 1.6)
    assert _unused(after)


def _unused(core: Core) -> bool:
    assert core.residency is not None
    copies = (it for memory in core.residency.memories for it in memory.copies.values())
    return sum(copy.in_use for copy in copies) <= 1


def test_slow_backends_are_no_place_for_a_load_if_fast_ones_are_free() -> None:
    slow, fast = HyperbolicCurve(1.0, 10.0), HyperbolicCurve(100.0, 10.0)
    core = residency_core([4.0, 4.0], curves=[slow, fast])
    assert [load(core, f"m{i}", float(i)) for i in range(3)] == [1, 1, 1]
