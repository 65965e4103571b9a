"""A run too long to wait for is refused before it starts, with what would fit."""

import time
from dataclasses import replace
from typing import Any

import pytest

from isocline.errors import UsageError
from isocline.model.cluster import Cluster, Rates, SampledTasks
from isocline.model.curves import HyperbolicCurve
from isocline.model.traffic import LognormalSizes
from isocline.policies.parse import parse
from isocline.simulate.common.event_budget import BUDGET, Budget
from isocline.simulate.common.replication import Run
from isocline.simulate.routing.compare import simulate
from isocline.simulate.routing.delay import Delay
from isocline.simulate.routing.experiment import events_of
from isocline.simulate.routing.prepare import prepare
from isocline.simulate.routing.replicate import replicate
from isocline.simulate.routing.run_settings import RunSettings
from isocline.simulate.scheduling.compare import simulate_cluster
from tests.builders import fleet, mixed

CLUSTER = Cluster.numbered(1000, Rates(local=1.0, remote=0.5), SampledTasks(3, 700.0))


def large(half: float = 1e6) -> Any:
    return fleet([HyperbolicCurve(40.0, half)], [32.0])


@pytest.mark.parametrize(
    "start",
    [
        lambda: simulate(mixed(), load=0.99999999),
        lambda: simulate(large()),
        lambda: simulate(mixed(), horizon=1e12),
        lambda: simulate(mixed(), horizon=1e12, clock="slotted"),
        lambda: simulate(mixed(), ["gmsr_hold"], horizon=1e12),
        lambda: simulate(mixed(), ["gmsr"], horizon=1e12, delay=Delay(travel=1.0)),
        lambda: simulate_cluster(CLUSTER, horizon=1e9),
        lambda: simulate_cluster(CLUSTER, horizon=1e9, clock="slotted", load=1e-4),
    ],
    ids=["load", "half", "horizon", "slotted", "held", "delayed", "cluster", "slotted cluster"],
)
def test_too_many_events_are_refused_at_once(start: Any) -> None:
    began = time.monotonic()
    with pytest.raises(
        UsageError, match=r"about .* events, .* (hours|days|years) of one core.*--budget"
    ):
        start()
    assert time.monotonic() - began < 60.0  # where it ran it would be days


def test_the_remedies_fit() -> None:
    with pytest.raises(UsageError) as caught:
        Budget(1e9, 1e6, 5, 2e10, length_is_given=False).allow(10)
    assert "--horizon 4e+05" in str(caught.value)
    assert "--budget 5e+10" in str(caught.value)
    assert "which the latencies at this load ask for" in str(caught.value)
    Budget(4e8, 4e5, 5, 2e10).allow(10)
    Budget(1e9, 1e6, 5, 5e10).allow(10)


@pytest.mark.parametrize("events", [1.23456e9, 9.99e9, 1e9, 3.0000001e12, 1.7e25])
def test_each_remedy_is_enough_if_it_is_followed(events: float) -> None:
    with pytest.raises(UsageError) as caught:
        Budget(events, 1e6, 5, 2e10).allow(10)
    said = str(caught.value)
    horizon, budget = (
        float(said.partition(f"--{name} ")[2].partition(",")[0]) for name in ("horizon", "budget")
    )
    Budget(events, 1e6, 5, budget).allow(10)
    Budget(events * horizon / 1e6, horizon, 5, 2e10).allow(10)


@pytest.mark.parametrize(
    ("events", "words"),
    [(1e12, "28 hours"), (1e14, "116 days"), (1e16, "32 years"), (1e30, "more than 1,000 years")],
)
def test_the_time_that_a_run_would_take_is_written_as_people_do(events: float, words: str) -> None:
    with pytest.raises(UsageError, match=f", {words} of one core"):
        Budget(events, 1e6, 1).allow(1)


def test_a_precision_beyond_the_budget_is_refused() -> None:
    options: dict[str, Any] = {"horizon": 400.0, "warmup": 100.0, "replications": 2}
    with pytest.raises(UsageError, match="budget"):
        simulate(mixed(), ["gmsr"], precision=1e-4, budget=1e5, **options)


def test_a_budget_is_a_number_of_events() -> None:
    with pytest.raises(UsageError, match="budget"):
        simulate(mixed(), ["gmsr"], budget=0.0)


@pytest.mark.parametrize("kind", ["means", "timed", "listed", "delayed"])
def test_the_prediction_is_near_what_happens(kind: str) -> None:
    sizes: dict[str, Any] = {"sizes": LognormalSizes(1.0)} if kind == "listed" else {}
    prepared = prepare(fleet([HyperbolicCurve(40.0, 12.0)], [24.0], **sizes))
    policy = parse("jsq")
    if kind == "delayed":
        prepared = replace(prepared, delay=Delay(travel=0.1, every=1.0))
    run = RunSettings(1000.0, 0.0, percentiles=kind != "means")
    made = replicate(Run(prepared, policy, run))
    assert made is not None
    assert made.events == pytest.approx(events_of(prepared, run), rel=0.15)
    assert made.events < BUDGET
