"""Events that two snapshots in a row tell of."""

from dataclasses import replace
from typing import Any

import pytest

from isocline.gateway.metrics.live_page.changes import changes_between, state_of
from isocline.gateway.metrics.snapshot import LearnedCurve, LiveBackend, Snapshot
from isocline.pages.live import Event
from tests.gateway.metrics.fleet_snapshots import backend, snapshot

UP = backend("a")
DOWN = backend("a", up=0)
EJECTED = backend("a", ejected=1)
DRAINING = backend("a", draining=1)


def between(
    was: LiveBackend, now: LiveBackend, then: Any = None, after: Any = None
) -> list[tuple[str, str]]:
    """(kind, tone) of the events of one backend, whose counts are as given."""
    before = snapshot(1.0, {"a": was}, counts={"a": then or {}})
    return [
        (it.kind, it.tone)
        for it in changes_between(before, snapshot(2.0, {"a": now}, counts={"a": after or {}}))
    ]


@pytest.mark.parametrize(
    ("was", "now", "events"),
    [
        (UP, UP, []),
        (UP, backend("a", full=1), []),  # which it may be a hundred times a second
        (UP, DOWN, [("down", "bad")]),
        (DOWN, UP, [("up", "ok")]),
        (EJECTED, DOWN, [("down", "bad")]),
        (UP, EJECTED, [("ejected", "bad")]),
        (EJECTED, UP, [("returned", "ok")]),
        (UP, backend("a", draining=1, in_flight=2), [("draining", "warn")]),
        (UP, DRAINING, [("draining", "warn"), ("drained", "ok")]),
        (backend("a", draining=1, in_flight=2), DRAINING, [("drained", "ok")]),
        (DRAINING, DRAINING, []),
        (EJECTED, EJECTED, []),
        (DOWN, DOWN, []),
        (DRAINING, UP, [("returned", "ok")]),
        (UP, replace(UP, url="http://elsewhere"), [("moved", "idle")]),
        (UP, replace(UP, given={"type": "linear"}), [("curve", "idle")]),
    ],
)
def test_a_change_of_state_is_one_event(
    was: LiveBackend, now: LiveBackend, events: list[tuple[str, str]]
) -> None:
    assert between(was, now) == events


def test_an_ejection_between_two_looks_is_not_missed() -> None:
    assert between(UP, UP, {"ejections": 1}, {"ejections": 2}) == [("ejected", "warn")]
    assert between(EJECTED, EJECTED, {"ejections": 1}, {"ejections": 2}) == [("ejected", "bad")]


def test_an_ejection_names_what_failed() -> None:
    before = snapshot(1.0, {"a": UP}, counts={"a": {"failures": {"connect": 5, "reset": 9}}})
    after = snapshot(2.0, {"a": EJECTED}, counts={"a": {"failures": {"connect": 12, "reset": 10}}})
    [event] = changes_between(before, after)
    assert event.text.endswith("7 attempts failed just now (connect)")


def test_a_curve_that_is_learned_anew() -> None:
    learned = LearnedCurve(9.0, None, {1.0: (1.0, 1.0)}, speed=0.5)
    now = backend("a", given=None, learned=learned)
    assert between(now, now, {"curve_changes": 1}, {"curve_changes": 2}) == [("curve", "warn")]
    before = snapshot(1.0, {"a": now})
    [event] = changes_between(before, snapshot(2.0, {"a": now}, counts={"a": {"curve_changes": 1}}))
    assert "at 0.5 of the speed" in event.text


def test_backends_that_come_and_go() -> None:
    before, after = snapshot(1.0, {"a": UP}), snapshot(2.0, {"b": backend("b")})
    gone = {name: replace(it, live=None) for name, it in before.backends.items()}
    after = replace(after, backends={**gone, **after.backends})
    found = {(it.kind, it.subject) for it in changes_between(before, after)}
    assert found == {("removed", "a"), ("added", "b")}


@pytest.mark.parametrize(
    ("more", "events"),
    [
        ({"policy": "jsq"}, [("policy", "idle")]),
        ({"ended": 1, "workers": 1}, [("worker", "bad")]),  # the other one has not started yet
        ({"ended": 1, "workers": 2}, [("worker", "bad"), ("worker", "ok")]),
        ({"workers": 3}, [("worker", "ok")]),
        ({"draining": 1}, [("draining", "warn")]),
    ],
)
def test_events_of_the_router(more: dict[str, Any], events: list[tuple[str, str]]) -> None:
    before = snapshot(1.0, {"a": UP}, workers=2)
    after = replace(before, now=2.0, **more)
    assert [(it.kind, it.tone) for it in changes_between(before, after)] == events
    assert all(it.subject == "" for it in changes_between(before, after))


def fleet_of(count: int, **more: Any) -> Snapshot:
    return snapshot(1.0, {f"b{n}": backend(f"b{n}", **more) for n in range(count)})


def test_what_happens_to_many_at_once_is_one_event() -> None:
    few = changes_between(fleet_of(8), fleet_of(8, up=0))
    assert [it.subject for it in few] == [f"b{n}" for n in range(8)]
    [many] = changes_between(fleet_of(500), fleet_of(500, up=0))
    assert many == Event("down", "500 backends", "b0, b1, b2 and 497 more, all at once", "bad")


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ({"up": 2}, "up"),
        ({"up": 1}, "down"),
        ({"up": 2, "ejected": 1}, "up"),
        ({"up": 2, "ejected": 2, "draining": 2, "full": 2}, "ejected"),
        ({"up": 2, "draining": 2, "full": 2}, "draining"),
        ({"up": 2, "full": 2}, "full"),
    ],
)
def test_a_state_is_that_of_most_workers(state: dict[str, int], word: str) -> None:
    assert state_of(backend("a", workers=2, **state)) == word
