"""Measured distances: by level, robust, never negative, and as the window goes on."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from isocline.gateway.core.actions import Send
from isocline.gateway.core.build import core_of
from isocline.gateway.core.core import Core
from isocline.gateway.core.round_trips import WINDOW, RoundTrips
from isocline.gateway.core.zones import Zones
from isocline.model.serving_settings import ZoneDistances
from isocline.policies.parse import parse
from isocline.randomness.draws import stream
from tests.builders import fleet
from tests.gateway.core.cores import FAST


def after(levels: Sequence[int], trips: Mapping[int, float]) -> tuple[float, ...]:
    found = RoundTrips(levels)
    for backend, seconds in trips.items():
        found.measured(backend, seconds, 1.0)
    return found.distances


@pytest.mark.parametrize(
    ("levels", "trips", "expected"),
    [
        ([0, 1, 2], {}, (0.0, 0.0, 0.0)),
        ([0, 1, 2], {0: 0.001, 1: 0.003, 2: 0.081}, (0.0, 0.002, 0.08)),
        # A level of which nothing is known is as far as the one before.
        ([0, 1, 2], {0: 0.001, 1: 0.003}, (0.0, 0.002, 0.002)),
        ([0, 1, 2], {0: 0.001, 2: 0.081}, (0.0, 0.0, 0.08)),
        # Without a near one the nearest known is where distances begin.
        ([0, 1, 2], {1: 0.003, 2: 0.081}, (0.0, 0.0, 0.078)),
        ([1, 2], {1: 0.081}, (0.0, 0.0, 0.0)),
        # Never negative.
        ([0, 1], {0: 0.005, 1: 0.002}, (0.0, 0.0, 0.0)),
        # One backend that always answers late does not move its level's median.
        ([0, 1, 1, 1], {0: 0.001, 1: 0.003, 2: 0.003, 3: 5.0}, (0.0, 0.002, 0.002)),
        ([0, 0, 0, 1], {0: 0.001, 1: 0.001, 2: 5.0, 3: 0.003}, (0.0, 0.002, 0.002)),
    ],
)
def test_distances_are_of_levels_and_from_the_nearest_on(
    levels: list[int], trips: dict[int, float], expected: tuple[float, ...]
) -> None:
    assert after(levels, trips) == pytest.approx(expected)


@pytest.mark.parametrize("wrong", [-1e-9, math.nan, math.inf])
def test_what_is_no_time_does_not_count(wrong: float) -> None:
    trips = RoundTrips([0, 1])
    assert not trips.measured(1, wrong, 1.0)
    assert trips.least == [None, None]


def test_the_least_is_that_of_the_window() -> None:
    """As a slow twin that keeps all of them has it; times may be equal."""
    draws, trips, seen = np.random.default_rng(4), RoundTrips([0]), list[tuple[float, float]]()
    now = 0.0
    for _ in range(3000):
        now += float(draws.choice([0.0, draws.exponential(5.0), draws.exponential(100.0)]))
        seconds = float(draws.exponential(0.01))
        trips.measured(0, seconds, now)
        seen.append((now, seconds))
        assert trips.least == [min(it for at, it in seen if at >= now - WINDOW)]


def test_busy_answers_change_nothing_and_a_longer_way_does_once_the_window_is_over() -> None:
    trips = RoundTrips([0, 1])
    trips.measured(0, 0.001, 0.0)
    assert trips.measured(1, 0.021, 0.0)
    for now in range(1, int(WINDOW)):
        assert not trips.measured(1, 0.5, float(now))
    assert trips.distances[1] == pytest.approx(0.02)
    assert trips.measured(1, 0.051, WINDOW + 1.0)
    assert trips.distances[1] == pytest.approx(0.05)
    assert trips.measured(1, 0.011, WINDOW + 2.0)  # a shorter one counts at once
    assert trips.distances[1] == pytest.approx(0.01)


def measuring(extra: float = 0.0, backends: int = 2) -> Core:
    system = fleet([FAST] * backends, [1.0])
    zones = Zones(
        ("eu/a",), ("eu/a", *["eu/b"] * (backends - 1)), ZoneDistances(measured=True, zone=extra)
    )
    return core_of(system, parse("gmsr"), rng=stream(1), zones=zones)


@pytest.mark.parametrize("extra", [0.0, 0.1])
@pytest.mark.parametrize("longer", [0.05, 0.4])
def test_requests_stay_until_the_price_exceeds_what_was_measured_and_given(
    extra: float, longer: float
) -> None:
    core = measuring(extra)
    core.round_trip(0, 0.002, 0.0)
    core.round_trip(1, 0.002 + longer, 0.0)
    stayed = 0
    while True:
        scores = {b: score for b, _, score in core.explain(0)}
        action = core.arrived(1.0, 0)
        assert isinstance(action, Send)
        assert scores[action.backend] == min(scores.values())
        if action.backend == 1:
            break
        stayed += 1
    # Price of FAST at N jobs: (12 + N)^2 / 480.
    far = 144 / 480 + extra + longer
    assert (12 + stayed) ** 2 / 480 > far >= (11 + stayed) ** 2 / 480


def test_a_reload_keeps_what_was_measured_of_backends_that_stay() -> None:
    before, after_it = measuring(), measuring(0.1, backends=3)
    before.round_trip(0, 0.002, 0.0)
    before.round_trip(1, 0.032, 0.0)
    assert before.distances is not None
    assert after_it.distances is not None
    after_it.distances.take_over(before.distances, {0: 0, 2: 1})
    assert after_it.distances.trips.least == [0.002, None, 0.032]
    assert after_it.policy_runtime.distances == pytest.approx([0.0, 0.13, 0.13])
    after_it.round_trip(1, 0.012, 1.0)
    assert after_it.policy_runtime.distances == pytest.approx([0.0, 0.12, 0.12])
    assert before.policy_runtime.distances == pytest.approx([0.0, 0.03])


def test_given_distances_do_not_move() -> None:
    system = fleet([FAST] * 2, [1.0])
    zones = Zones(("a",), ("a", "b"), ZoneDistances(zone=0.1))
    core = core_of(system, parse("gmsr"), rng=stream(1), zones=zones)
    assert core.distances is None
    assert core.round_trip(1, 5.0, 1.0) == []
    assert core.policy_runtime.distances == [0.0, 0.1]
