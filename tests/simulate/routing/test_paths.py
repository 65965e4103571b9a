"""Paths of scaled systems, and Theorem 1 of the GMSR paper seen in them."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

import isocline
from isocline.errors import PolicyError, UsageError
from isocline.model.curves import HyperbolicCurve
from isocline.policies.parse import parse
from isocline.simulate.common.replication import Run
from isocline.simulate.common.run_settings import Clock
from isocline.simulate.routing.paths import Paths, paths
from isocline.simulate.routing.prepare import prepare
from isocline.simulate.routing.run_settings import RunSettings
from isocline.simulate.routing.slotted_clock import slots
from isocline.simulate.routing.slotted_engine import SlottedEngine
from tests.builders import fleet, mixed
from tests.simulate.routing.naive_slotted import n_model_fluid

N_MODEL = fleet([HyperbolicCurve(1.0, 1.0), HyperbolicCurve(1.0, 2.0)], [0.4, 0.6], [[0], [0, 1]])


@pytest.mark.parametrize("clock", ["slotted", "continuous"])
@pytest.mark.parametrize("start", [(0.0, 0.0), (4.0, 0.5)])
def test_the_distance_to_the_fluid_falls_with_the_root_of_the_scale(
    clock: Clock, start: tuple[float, float]
) -> None:
    # Theorem 1 says that it falls; the martingales of its proof have standard deviations of order
    # c^(-1/2). Slopes of 10 groups of replications give the interval of the exponent.
    scales = np.array([16.0, 64.0, 256.0, 1024.0])
    groups, each = 10, 8
    distances = []
    for scale in scales:
        found = paths(
            N_MODEL,
            scale=scale,
            clock=clock,
            start=start,
            horizon=15.0,
            points=151,
            replications=groups * each,
        )
        fluid = n_model_fluid(start, found.times)
        apart = np.abs(found.workloads - fluid).sum(axis=2).max(axis=1)
        distances.append(apart.reshape(groups, each).mean(axis=1))
    slopes = np.polyfit(np.log(scales), np.log(distances), 1)[0]
    half = stats.t.ppf(0.995, groups - 1) * slopes.std(ddof=1) / groups**0.5  # 99 %
    assert half < 0.1
    assert slopes.mean() - half > -0.65
    assert slopes.mean() + half < -0.35


def test_a_path_starts_where_it_is_told_rounded_to_whole_jobs() -> None:
    found = paths(N_MODEL, scale=10.0, start={"b1": 2.34}, horizon=1.0, points=5)
    assert found.workloads[0, 0].tolist() == [0.0, 2.3]
    assert paths(N_MODEL, start=[1, 2], horizon=1.0).workloads[0, 0].tolist() == [1, 2]
    assert paths(N_MODEL, horizon=1.0).workloads[0, 0].tolist() == [0, 0]


def test_a_path_has_a_point_per_time_in_units_of_the_scale() -> None:
    found = paths(N_MODEL, scale=4.0, horizon=12.0, points=7, replications=3)
    assert found.times.tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert found.workloads.shape == (3, 7, 2)
    assert np.array_equal(found.workloads * 4, np.round(found.workloads * 4))


@pytest.mark.parametrize("policy", ["gmsr", "gmsr_hold", "peak_ewma"])
@pytest.mark.parametrize("clock", ["slotted", "continuous"])
def test_the_same_seed_gives_the_same_paths_on_any_number_of_threads(
    policy: str, clock: Clock
) -> None:
    def found(seed: int, threads: int) -> Paths:
        return paths(
            mixed(), policy, clock=clock, horizon=20.0, replications=3, seed=seed, threads=threads
        )

    assert np.array_equal(found(1, 1).workloads, found(1, 2).workloads)
    assert not np.array_equal(found(1, 1).workloads, found(2, 1).workloads)


def test_looking_on_the_way_is_stopping_on_the_way() -> None:
    cut, times = slots(N_MODEL, 10.0), np.linspace(0.0, 20.0, 37)
    run = RunSettings(20.0, 0.0, slots=cut, scale=10.0)
    stopped, looked = (
        SlottedEngine(Run(prepare(N_MODEL, scale=10.0), parse("gmsr"), run)) for _ in range(2)
    )
    seen = looked.look(times)
    for i, time in enumerate(times):
        stopped.advance(float(time))
        assert np.array_equal(stopped.workload, seen[i])
    assert np.allclose(stopped.gauge, looked.gauge, rtol=1e-12)


def test_slots_are_looked_at_where_they_begin() -> None:
    # Every time of a grid of 0.1 s, at slots of 0.1 s: each step is one slot's arrivals less its
    # departures, of which there is at most one.
    world = fleet([HyperbolicCurve(1.0, 1.0)], [0.5])
    found = paths(world, scale=10.0, horizon=100.0, points=1001)
    steps = np.diff(found.workloads[0, :, 0] * 10)
    assert steps.min() >= -1 - 1e-9
    came = np.mean(steps >= 1)
    # P(Poisson(1/2) >= 1) = 0.39, less what leaves in the same slot.
    assert 0.1 < came < 0.39


def test_paths_know_their_json_frame_and_picture() -> None:
    found = isocline.paths(N_MODEL, "jsq", scale=3.0, horizon=5.0, points=4, replications=2)
    document = found.to_dict()
    assert list(document["workloads"]) == ["b0", "b1"]
    assert np.array(document["workloads"]["b1"]).shape == (2, 4)
    assert (document["policy"], document["scale"]) == ("jsq", 3.0)
    frame = found.to_frame()
    assert list(frame.columns) == ["replication", "time", "b0", "b1"]
    assert len(frame) == 8
    figure = found.plot()
    drawn = [line for line in figure.axes[0].get_lines() if np.size(line.get_xdata()) == 4]
    assert len(drawn) == 4
    assert {text.get_text() for text in figure.axes[0].texts} == {"b0", "b1"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"horizon": 0.0}, "horizon"),
        ({"points": 1}, "points 1: give a whole number, 2 or more"),
        ({"replications": 0}, "replications 0: give a whole number, 1 or more"),
        ({"start": {"b7": 1.0}}, "no backend 'b7'; there are b0, b1"),
        ({"start": [1.0]}, "for each of 2 backends"),
        ({"start": [1.0, -2.0]}, "b1=-2"),
        ({"start": [1.0, float("nan")]}, "b1=nan"),
        ({"clock": "continuous", "slot": 1.0}, "slotted"),
        ({"slot": 50.0}, "--slot 2 or less"),
        ({"scale": -3.0}, "finite number above 0"),
    ],
)
def test_a_mistake_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        paths(N_MODEL, **({"horizon": 5.0} | options))


def test_an_unknown_policy_is_named() -> None:
    with pytest.raises(PolicyError, match="did you mean gmsr"):
        paths(N_MODEL, "gmrs", horizon=1.0)


def test_a_run_can_begin_anywhere() -> None:
    assert RunSettings(1.0, start=(3, 4), slots=slots(N_MODEL)).start == (3, 4)
