"""Learned capacity: intervals hold the truth, and what was not seen is marked."""

import json

from isocline.gateway.core.build import core_of
from isocline.gateway.core.candidates import NO_LIMIT
from isocline.gateway.core.core import Core
from isocline.gateway.core.request_cost import ClassWork, measure_of
from isocline.gateway.metrics import Snapshot
from isocline.gateway.metrics.curve_intervals import ends_of
from isocline.gateway.metrics.optimality import Optimality, notes, optimality_between
from isocline.gateway.metrics.snapshot import merged
from isocline.gateway.metrics.summary import statistics
from isocline.learn import Learner
from isocline.model.curves import KneeCurve
from isocline.model.fleet import Work
from isocline.policies.parse import parse
from tests.builders import fleet
from tests.gateway.metrics.seeing import statistics_of
from tests.gateway.sharing import Shared, poisson

# Tokens/s: as three emulated servers, of which the small one is easily filled.
BIG, LITTLE = KneeCurve(2850.0, 16.0, 3.0), KneeCurve(300.0, 4.0, 3.0)
CURVES = [BIG, BIG, LITTLE]
MEAN = 59.5  # tokens of a request: 20 to 99
RATE = 6000.0 / 3.1 / MEAN  # requests/s, at which the true capacity scale is 3.1


def routed(
    seed: int,
    curves: list[KneeCurve] = CURVES,
    *,
    requests: int = 626,
    rate: float = RATE,
    down: int | None = None,
) -> tuple[Core, Snapshot, Snapshot]:
    count, system = len(curves), fleet(curves, [rate])
    measure = measure_of("tokens", [ClassWork(0.0, 1.0)], count, Work())
    core = core_of(system, parse("gmsr"), learner=Learner(count, unit=100.0), measure=measure)
    if down is not None:
        core.backend_down(down, 0.0)
    seen = statistics_of(system)
    start = seen.snapshot(core, 0.0)
    world = Shared(core, curves, seen)
    world.run(poisson(rate, requests, 1, (20, 100), seed))
    return core, start, seen.snapshot(core, world.now)


def true_scale(start: Snapshot, end: Snapshot, curves: list[KneeCurve] = CURVES) -> float:
    """Of the curves as they are, at the rates that were measured."""
    served = sum(pair.served for row in end.pairs.values() for pair in row.values())
    rate = served / (end.now - start.now)
    return sum(curve.supremum for curve in curves) / MEAN / rate


def holds(low: float, high: float | None, truth: float) -> bool:
    return low <= truth and (high is None or truth <= high)


def test_intervals_of_capacity_hold_the_truth_after_a_few_hundred_requests() -> None:
    held, scales, runs = [], [], 10
    for seed in range(runs):
        _, start, end = routed(seed)
        for name, curve in zip(("b0", "b1", "b2"), CURVES, strict=True):
            live = end.backends[name].live
            assert live is not None
            ends = ends_of(live)
            assert ends is not None
            held.append(holds(ends.capacity_low, ends.capacity_high, curve.supremum / MEAN))
        found = optimality_between(start, end)
        assert found.capacity_interval is not None
        scales.append(holds(*found.capacity_interval, true_scale(start, end)))
    # Of 30 intervals that hold the truth in 95 % each, fewer than 25 do with probability 0.3 %.
    assert sum(held) >= 25
    assert sum(scales) >= 8


def test_near_capacity_it_is_known_from_both_sides() -> None:
    pair = [BIG, BIG]
    _, start, end = routed(0, pair, requests=6_000, rate=2.75 * RATE)
    found = optimality_between(start, end)
    assert found.capacity_scale is not None
    assert found.capacity_interval is not None
    low, high = found.capacity_interval
    assert high is not None
    assert low <= true_scale(start, end, pair) <= high < 2.0 * low
    assert low <= found.capacity_scale <= high
    [said] = notes(found)
    assert said == f"capacity_scale is learned: it is between {low:.3g} and {high:.3g}"


def test_what_was_not_seen_is_said() -> None:
    _, start, end = routed(1)
    found = optimality_between(start, end)
    assert found.capacity_scale is None
    assert found.capacity_interval is not None
    assert 1.0 < found.capacity_interval.low <= true_scale(start, end)
    [said, *_] = notes(found)
    assert said.startswith(
        f"capacity_scale is not known: it is at least {found.capacity_interval.low:.3g}"
    )
    told = json.loads(json.dumps(statistics(end, found), allow_nan=False))
    optimality = told["optimality"]
    assert optimality["notes"] == notes(found)
    assert optimality["capacity_scale_low"] == found.capacity_interval.low
    assert (optimality["capacity_scale"], optimality["capacity_scale_high"]) == (None, None)
    curve = told["backends"][0]["curve"]
    assert curve["capacity_low"] <= BIG.supremum / MEAN
    assert (curve["capacity"], curve["capacity_high"]) == (None, None)
    assert 1 <= curve["seen_jobs"] <= 39


def test_a_backend_never_used_has_no_capacity_to_speak_of() -> None:
    _, start, end = routed(1, down=0)
    found = optimality_between(start, end)
    live = end.backends["b0"].live
    assert live is not None
    ends = ends_of(live)
    assert ends is not None
    assert (ends.seen, ends.capacity_low, ends.capacity_high) == (0, 0.0, None)
    assert found.capacity_interval is not None
    assert found.capacity_interval.high is None
    assert found.unseen == ("b0",)
    assert "the optimum gives b0 more jobs than were seen there" in notes(found)[1]


def test_given_curves_have_no_interval() -> None:
    assert notes(Optimality(capacity_scale=3.0)) == []


def test_a_backend_that_was_not_seen_to_fall_has_no_limit() -> None:
    core, _, end = routed(2)
    assert core.availability.limits.most == [NO_LIMIT] * 3
    assert [seen.live.limit for seen in end.backends.values() if seen.live] == [None] * 3


def test_workers_together_know_more() -> None:
    """Counts add up; intervals are made of the sum."""
    _, _, end = routed(3)
    live = end.backends["b0"].live
    assert live is not None
    assert live.learned is not None
    alone = ends_of(live)
    both = merged([end, end]).backends["b0"].live
    assert both is not None
    together = ends_of(both)
    assert alone is not None
    assert together is not None
    assert together.capacity_low > alone.capacity_low
    assert together.seen >= alone.seen
