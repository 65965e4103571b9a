"""Frames and events of a run, held to the snapshots that they are made of."""

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from isocline.dispatch.coordinator.run_statistics import RunStatistics
from isocline.dispatch.coordinator.task_ledger import TaskFailure
from isocline.dispatch.live_page.changes import changes_between
from isocline.dispatch.live_page.frames import FrameMaker, busy_shares
from isocline.dispatch.live_page.observer import NodeSnapshot, NodeTask, RunSnapshot
from isocline.dispatch.telemetry.records import AttemptRecord, Outcome
from isocline.pages.live import Frame
from isocline.pages.live.history import encoded

BEGAN = 50.0  # s by the loop's clock, at which records' times begin


def statistics(**counts: Any) -> RunStatistics:
    names = ("waiting", "running", "finished", "resumed", "failed", "cancelled")
    levels = {"local": 0, "rack": 0, "remote": 0}
    given: dict[str, Any] = (
        {"elapsed": 1.0, "attempts": {}, "nodes": 2, "unwritten": 0, "levels": levels}
        | dict.fromkeys(names, 0)
        | counts
    )
    return RunStatistics(**given)


def node(name: str, *tasks: NodeTask, **how: Any) -> NodeSnapshot:
    given: dict[str, Any] = {
        "name": name,
        "rack": None,
        "state": "up",
        "reason": "",
        "tasks": tasks,
        "losses": 0,
        "waiting": 0,
    } | how
    return NodeSnapshot(**given)


def snapshot(now: float, *nodes: NodeSnapshot, **how: Any) -> RunSnapshot:
    given: dict[str, Any] = {
        "now": now,
        "began": BEGAN,
        "seconds": 0.0,
        "over": False,
        "statistics": statistics(),
        "nodes": nodes or (node("a"), node("b")),
        "attempts": (),
        "missed": 0,
        "failures": (),
        "unplaceable": 0,
        "helped": {},
    } | how
    return RunSnapshot(**given)


def attempt(where: str, started: float, ended: float, **how: Any) -> AttemptRecord:
    """Times by the loop's clock."""
    given: dict[str, Any] = {
        "key": "k",
        "node": where,
        "level": "local",
        "why": "",
        "submitted": 0.0,
        "started": started - BEGAN,
        "ended": ended - BEGAN,
        "attempt": 1,
        "outcome": Outcome.FINISHED,
    } | how
    return AttemptRecord(**given)


def frames(*snapshots: RunSnapshot, total: int | None = None) -> list[Frame]:
    maker = FrameMaker("run", "fifo", total)
    made = (maker.frame(it, it.now, True, ["A sentence."]) for it in snapshots)
    return [it for it in made if it is not None]


def whole(frame: Frame) -> dict[str, Any]:
    assert frame.full is not None
    return frame.full


def test_a_long_task_keeps_its_node_busy_in_each_interval() -> None:
    task = NodeTask(1, "long", 2, 100.25, False)
    times = [snapshot(100.0), *(snapshot(t, node("a", task), node("b")) for t in (101.0, 102.0))]
    done = snapshot(103.0, attempts=(attempt("a", 100.25, 102.5, level="remote"),))
    made = frames(*times, done)
    assert [it.kept["busy"][0] for it in made] == [[0, 0, 0.75], [0, 0, 1.0], [0, 0, 0.5]]
    assert all(it.kept["busy"][1] == [0, 0, 0] for it in made)


def test_a_pipelined_task_does_not_run() -> None:
    tasks = (NodeTask(1, "x", 0, 99.0, False), NodeTask(2, "y", 2, math.inf, False))
    made = frames(snapshot(100.0), snapshot(101.0, node("a", *tasks), node("b")))
    assert made[0].kept["busy"][0] == [1.0, 0, 0]
    assert whole(made[0])["nodes"][0]["tasks"] == [["x", 0, 2.0, False], ["y", 2, None, False]]


def test_failed_attempts_are_marked_and_counted_at_their_nodes() -> None:
    ended = (
        attempt("b", 100.1, 100.3, outcome=Outcome.RAISED),
        attempt("b", 100.3, 100.4, outcome=Outcome.LOST),
        attempt("b", 100.4, 100.5),
        attempt("a", 100.4, 100.5, outcome=Outcome.SURPASSED),
        attempt("", 100.4, 100.4, level="", outcome=Outcome.CANCELLED),  # it never started
    )
    before, after = snapshot(100.0), snapshot(101.0, attempts=ended)
    assert busy_shares(before, after)[1] == [0, 2]
    a, b = whole(frames(before, after)[0])["nodes"]
    assert (a["failed"], a["done"], b["failed"], b["done"]) == (0, [0, 0, 0], 2, [1, 0, 0])


def test_tallies_go_on_from_frame_to_frame_and_name_what_they_miss() -> None:
    first = snapshot(100.0, attempts=(attempt("a", 99.0, 99.5),), missed=3)
    later = snapshot(101.0, attempts=(attempt("a", 100.0, 100.5, level="rack"),), missed=2)
    found = whole(frames(first, later)[0])
    assert found["nodes"][0]["done"] == [1, 1, 0]
    assert found["missed"] == 5


def test_helpers_and_beneficiaries_by_the_columns_of_the_frame() -> None:
    helped = {
        ("b", ("a",), "remote"): 3,
        ("b", ("a", "c"), "rack"): 4,
        ("b", ("gone",), "remote"): 9,
    }
    nodes = (node("a"), node("b"), node("c"))
    found = frames(snapshot(1.0, *nodes), snapshot(2.0, *nodes, helped=helped))
    assert sorted(whole(found[0])["helped"]) == [[1, 0, 5.0], [1, 2, 2.0]]


def test_rates_and_time_left() -> None:
    made = frames(
        *(snapshot(float(n), statistics=statistics(finished=5 * n)) for n in range(13)), total=100
    )
    assert {it.kept["rate"] for it in made} == {5.0}
    found = whole(made[-1])
    assert found["left"][0] < found["left"][1] < found["left"][2]
    assert found["left"][1] == pytest.approx((100 - 60) / 5)
    assert whole(made[0])["left"] is None  # too early to say
    assert whole(frames(snapshot(1.0), snapshot(2.0))[0])["left"] is None  # no total


@pytest.mark.parametrize(
    ("counts", "state", "kind", "tone"),
    [
        ({"finished": 2}, "finished", "finished", "ok"),
        ({"finished": 2, "failed": 1}, "failed", "finished", "bad"),
        ({"finished": 2, "cancelled": 1}, "stopped", "stopped", "warn"),
    ],
)
def test_the_end(counts: dict[str, int], state: str, kind: str, tone: str) -> None:
    gone = (node("a", state="down"), node("b"))
    over = snapshot(1.0, *gone, over=True, statistics=statistics(**counts))
    [made] = frames(snapshot(1.0), over)  # by a clock that has not moved since
    assert whole(made)["state"] == state
    *_, last = made.events
    assert (last.kind, last.tone) == (kind, tone)
    assert [it for it in made.events if it.kind == "lost"] == []  # they are stopped, not lost


def test_events_of_nodes_copies_and_failures() -> None:
    before = snapshot(1.0, node("a"), node("b"), node("c", state="silent"))
    copy = NodeTask(7, "slow", 2, 1.5, True)
    after = snapshot(
        2.0,
        node("a", state="down", reason="killed by SIGKILL", losses=1),
        node("b", copy, state="silent"),
        node("c"),
        node("d"),
        failures=(TaskFailure("k<b>", "ValueError: no"),),
    )
    found = changes_between(before, after)
    assert [(it.kind, it.subject) for it in found] == [
        ("lost", "a"),
        ("silent", "b"),
        ("back", "c"),
        ("joined", "d"),
        ("copy", "slow"),
        ("failed", "k<b>"),
    ]
    assert "killed by SIGKILL" in found[0].text
    assert not [it for it in changes_between(after, replace(after, failures=())) if it.subject]


def test_a_node_that_is_back_before_anybody_looks_was_lost_all_the_same() -> None:
    after = snapshot(2.0, node("a", losses=1, reason="killed by SIGKILL"), node("b"))
    [event] = changes_between(snapshot(1.0), after)
    assert (event.kind, event.subject, event.tone) == ("lost", "a", "bad")
    assert "for a moment: killed by SIGKILL" in event.text
    assert not changes_between(after, replace(after, now=3.0))


def test_many_failures_at_once_are_one_event() -> None:
    failures = tuple(TaskFailure(f"k{n}", "ValueError: no") for n in range(100))
    found = changes_between(snapshot(1.0), snapshot(2.0, failures=failures))
    assert Counter(it.kind for it in found) == {"failed": 1}
    assert found[0].subject == "100 tasks"


def test_what_happened_before_the_first_snapshot_is_an_event_of_the_first_frame() -> None:
    copy = NodeTask(7, "slow", 2, 1.5, True)
    first = snapshot(
        1.0,
        node("a", state="down", reason="killed by SIGKILL", losses=1),
        node("b", copy),
        failures=(TaskFailure("k<b>", "ValueError: no"),),
    )
    made = frames(first, replace(first, now=2.0, failures=()), replace(first, now=3.0, failures=()))
    assert [(it.kind, it.subject) for it in made[0].events] == [
        ("began", ""),
        ("lost", "a"),
        ("copy", "slow"),
        ("failed", "k<b>"),
    ]
    assert not made[1].events


def test_a_run_that_is_over_at_the_first_snapshot_says_so() -> None:
    over = snapshot(1.0, node("a", state="down"), over=True, statistics=statistics(finished=2))
    [made] = frames(over, replace(over, now=2.0))
    assert [it.kind for it in made.events] == ["began", "finished"]


def test_frames_are_json_whatever_the_names() -> None:
    name = "</script><img src=x onerror=alert(1)>\u2028\udc80"
    found = frames(snapshot(1.0, node(name)), snapshot(2.0, node(name)))
    assert b"\n" not in encoded(whole(found[0])) + encoded(found[0].layout.to_dict(1))
