"""Frames held to the snapshots that they are made of, and the history to its bounds."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from isocline.gateway.metrics.live_page.frames import FrameMaker
from isocline.gateway.metrics.live_page.layout import Layout
from isocline.gateway.metrics.optimality import Optimality, optimality_between
from isocline.model.curves import HyperbolicCurve
from isocline.pages.live import Event, Frame
from isocline.pages.live.history import History, encoded
from tests.builders import fleet
from tests.gateway.metrics.fleet_snapshots import backend, pair, snapshot
from tests.gateway.metrics.seeing import window_at_optimum

UP = {
    "a": backend("a", in_flight=3, workload=4, marginal_rate=20.0),
    "b": backend("b", up=0, marginal_rate=0.0, limit=8),
}
BEFORE = snapshot(10.0, UP, {("f", "a"): pair([0.1]), ("g", "a"): pair()})
AFTER = snapshot(
    12.0,
    UP,
    {
        ("f", "a"): pair([0.1, 0.2, 0.2, 0.4], failed={"reset": 1}),
        ("g", "a"): pair([1.0, 1.0]),
        ("g", ""): pair([], codes={429: 2}, failed={"queue_full": 2}),
    },
)


def frames(*snapshots: Any, full: bool = True, optimality: Optimality | None = None) -> list[Frame]:
    maker = FrameMaker()
    found = (maker.frame(it, optimality or Optimality(), 1e9 + it.now, full) for it in snapshots)
    return [it for it in found if it is not None]


def whole(*snapshots: Any, optimality: Optimality | None = None) -> dict[str, Any]:
    made = frames(*snapshots, optimality=optimality)[-1].full
    assert made is not None
    return made


def test_rates_are_of_the_interval() -> None:
    frame = whole(BEFORE, AFTER)
    assert frame["seconds"] == 2.0
    assert frame["rate"] == 3.5  # 3 + 2 + 2 in 2 s
    assert frame["failed"] == 1.5
    assert frame["in_flight"] == 3
    assert frame["frontends"]["rate"] == [1.5, 2.0]
    assert frame["backends"]["rate"] == [2.5, 0.0]
    assert frame["flows"] == [[0, 0, 1.5], [1, 0, 1.0]]
    assert frame["router"]["reasons"] == {"reset": 1, "queue_full": 2}


def test_states_prices_and_workloads() -> None:
    frame = whole(BEFORE, AFTER)
    assert frame["backends"]["state"] == ["up", "down"]
    assert frame["price"] == [0.05, None]  # none where one more job adds no rate
    assert frame["jobs"] == [4.0, 0.0]
    assert frame["backends"]["limit"] == [None, 8]


def test_latencies_are_of_the_last_ten_seconds() -> None:
    mean, median, _, p99 = whole(BEFORE, AFTER)["latency"]
    assert mean == pytest.approx((0.2 + 0.2 + 0.4 + 1.0 + 1.0) / 5, rel=0.01)
    assert median == pytest.approx(0.4, rel=0.05)
    assert p99 == pytest.approx(1.0, rel=0.05)
    later = whole(BEFORE, AFTER, replace(AFTER, now=22.0))
    assert later["latency"] == [None] * 4
    assert later["rate"] == 0.0


def test_the_optimum_names_tiers_by_the_columns_of_the_frame() -> None:
    system = fleet(
        [HyperbolicCurve(400.0, 4.0), HyperbolicCurve(100.0, 4.0), HyperbolicCurve(1e-3, 1.0)],
        [200.0, 30.0],
        [[0], [1, 2]],
    )
    start, end = window_at_optimum(system)
    account = optimality_between(start, end)
    assert account.gap is not None
    frame = whole(start, end, optimality=account)
    tiers = frame["optimality"]["tiers"]
    assert [(it["frontends"], it["backends"]) for it in tiers] == [([0], [0]), ([1], [1])]
    for tier in tiers:  # the price that each of its backends has now, as all is as planned
        for b in tier["backends"]:
            curve, jobs = system.curves[b], frame["optimality"]["jobs"][b]
            assert 1.0 / float(curve.marginal(jobs)) == pytest.approx(tier["price"], rel=1e-3)
    assert frame["gap"][0] == pytest.approx(1.0, rel=0.02)
    assert sum(frame["gap"][1:]) == pytest.approx(account.gap.latency, rel=1e-3)


def test_where_nobody_looks_only_the_history_is_made() -> None:
    [frame] = frames(BEFORE, AFTER, full=False)
    assert frame.full is None
    assert frame.kept["rate"] == 3.5
    assert frame.kept["price"] == [0.05, None]


def test_every_frame_is_json_with_finite_numbers() -> None:
    odd = {"a": backend("a", marginal_rate=math.inf, workload=3, service_rate=math.nan)}
    frame = whole(snapshot(1.0, odd), snapshot(2.0, odd))
    assert json.loads(encoded(frame))["backends"]["service_rate"] == [None]


def test_names_go_as_they_are() -> None:
    name = "</script><img src=x onerror=alert(1)>\u2028'\""
    made = frames(snapshot(1.0, {name: backend("x")}), snapshot(2.0, {name: backend("x")}))
    assert made[-1].layout.names == (name,)
    assert b"\n" not in encoded(made[-1].layout.to_dict(1))


def test_a_layout_has_a_version() -> None:
    other = {**UP, "c": backend("c")}
    made = frames(BEFORE, AFTER, snapshot(13.0, other), snapshot(14.0, other), snapshot(15.0, UP))
    assert [it.version for it in made] == [1, 2, 2, 3]
    assert [len(it.kept["price"]) for it in made] == [2, 3, 3, 2]


def test_a_clock_that_stands_still_makes_no_frame() -> None:
    assert not frames(BEFORE, BEFORE)


# The history


def frame(number: int, time: float, version: int = 1, names: tuple[str, ...] = ("a",)) -> Frame:
    kept = {"number": number, "version": version, "time": time, "price": [1.0] * len(names)}
    return Frame(number, version, Layout(backends=names), kept, None, ())


def test_a_history_goes_back_five_minutes() -> None:
    history = History(Layout())
    for n in range(1000):
        history.add(frame(n, 1e9 + n))
    told = json.loads(history.whole())
    assert [it["number"] for it in told["frames"]] == list(range(699, 1000))
    assert told["seconds"] == 300


def test_it_is_bounded_in_bytes_whatever_the_fleet() -> None:
    history = History(Layout())
    names = tuple(f"backend-{n}" for n in range(20_000))
    for n in range(100):
        history.add(frame(n, 1e9 + n, names=names))
    assert 1 << 20 < len(history.whole()) < 10 << 20


def test_it_is_bounded_in_events() -> None:
    history = History(Layout())
    history.add(frame(1, 1e9))
    for n in range(5000):
        history.note(Event("ejected", f"b{n}", "is out", "bad"), 1e9)
    told = json.loads(history.whole())["events"]
    assert len(told) == 200
    assert told[-1]["subject"] == "b4999"
    assert told[-1]["number"] == history.last_event == 5000
    assert [it["number"] for it in json.loads(history.events_after(4998))] == [4999, 5000]


def test_old_layouts_go_with_their_last_frame() -> None:
    history = History(Layout())
    for n in range(600):
        history.add(frame(n, 1e9 + n, version=1 + n // 200, names=(f"of-{n // 200}",)))
    told = json.loads(history.whole())
    assert told["names"] == {"2": ["of-1"], "3": ["of-2"]}
    assert told["layout"]["version"] == 3


def test_one_frame_is_kept_however_large() -> None:
    history = History(Layout())
    history.add(frame(1, 1e9, names=tuple(f"{n}" * 40 for n in range(60_000))))
    assert len(json.loads(history.whole())["frames"]) <= 1
