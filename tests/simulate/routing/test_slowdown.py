"""Backends that become slower: every engine obeys, and who is told what."""

import numpy as np
import pytest

from isocline.errors import UsageError
from isocline.model.curves import HyperbolicCurve
from isocline.model.traffic import ExponentialSizes, LognormalSizes
from isocline.policies.parse import parse
from isocline.simulate.common.replication import Run
from isocline.simulate.routing.compare import simulate
from isocline.simulate.routing.prepare import prepare
from isocline.simulate.routing.replicate import replicate
from isocline.simulate.routing.run_settings import RunSettings
from isocline.simulate.routing.slowdown import Slowdown
from tests.builders import fleet, mixed
from tests.naive import birth_death_mean

CURVE = HyperbolicCurve(10.0, 4.0)


@pytest.mark.parametrize("percentiles", [True, False], ids=["timed", "means"])
@pytest.mark.parametrize("sizes", [ExponentialSizes(), LognormalSizes(1.0)], ids=str)
def test_after_a_slowdown_a_backend_follows_the_slower_birth_death_law(
    sizes: object, percentiles: bool
) -> None:
    # Processor sharing is insensitive to the sizes, so that the same law holds for all of them.
    slow = Slowdown("b0", 2.0, 5.0)
    result = simulate(
        fleet([CURVE], [3.0], sizes=sizes), ["random"], slowdowns=[slow], warmup=200.0,
        horizon=20_000.0, percentiles=percentiles,
    )  # fmt: skip
    exact = birth_death_mean(3.0, lambda n: float(CURVE.rate(n)) / 2.0, 2000)
    jobs = result.policies[0].mean_jobs
    assert jobs is not None
    assert jobs.relative_half_width < 0.05
    # Twice the half-width of 10 replications: 99.9 %.
    assert abs(jobs.value - exact) < 2 * jobs.half_width


def test_a_slowdown_that_ends_leaves_nothing_behind() -> None:
    ended = (Slowdown("b0", 3.0, 5.0), Slowdown("b0", 1.0, 10.0))
    world = fleet([CURVE], [3.0])
    result = simulate(world, ["random"], slowdowns=ended, warmup=100.0, horizon=10_000.0)
    jobs = result.policies[0].mean_jobs
    assert jobs is not None
    exact = birth_death_mean(3.0, lambda n: float(CURVE.rate(n)), 2000)
    assert abs(jobs.value - exact) < 2 * jobs.half_width


def test_being_told_matters_to_those_that_look_at_curves_alone() -> None:
    prepared = prepare(mixed()).one_row_each()
    for policy, same in (("jsq", True), ("gmsr", False)):
        told, untold = (
            replicate(
                Run(
                    prepared,
                    parse(policy),
                    RunSettings(100.0, 9.0, slowdowns=(Slowdown("b1", 2.0, 50.0, t),)),
                )
            )
            for t in (True, False)
        )
        assert told is not None
        assert untold is not None
        assert told.same_as(untold) == same
        half = told.jobs.size // 2 - 10
        assert np.array_equal(told.jobs[:half], untold.jobs[:half])  # until then all is the same


def test_a_slowdown_by_1_changes_nothing() -> None:
    prepared = prepare(mixed())
    plain = replicate(Run(prepared, parse("gmsr"), RunSettings(100.0, 9.0)))
    slowed = (Slowdown("b1", 1.0, 100.0 - 1e-9),)
    same = replicate(
        Run(prepared.one_row_each(), parse("gmsr"), RunSettings(100.0, 9.0, slowdowns=slowed))
    )
    assert plain is not None
    assert same is not None
    assert np.array_equal(plain.jobs[:-1], same.jobs[:-1])


def test_the_small_print_says_who_became_slower() -> None:
    slow = Slowdown.parse("b1=2@50")
    result = simulate(mixed(), ["gmsr"], slowdowns=[slow], horizon=200.0, replications=2)
    assert "b1 2 times as slow from 50 s, untold" in result.source
    assert result.warmup == 0.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("b1", "give NAME=FACTOR@TIME"),
        ("b1=2", "give NAME=FACTOR@TIME"),
        ("b1=2@x", "give NAME=FACTOR@TIME"),
        ("b1=2@5,loudly", "give NAME=FACTOR@TIME"),
        ("b1=0.5@5", "factor 0.5: give a finite number, 1 or more"),
        ("b1=2@-5", "time -5.0: give a finite number above 0"),
        ("b1=nan@5", "factor nan"),
    ],
)
def test_a_slowdown_written_wrongly_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Slowdown.parse(text)


def test_a_slowdown_that_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="no backend has this name; did you mean b1"):
        simulate(mixed(), ["gmsr"], slowdowns=[Slowdown("bb1", 2.0, 5.0)], horizon=50.0)
    with pytest.raises(UsageError, match="the run ends at 50 s"):
        simulate(mixed(), ["gmsr"], slowdowns=[Slowdown("b1", 2.0, 60.0)], horizon=50.0)
    slow = fleet([HyperbolicCurve(1.0, 2.0)], [0.5])
    with pytest.raises(UsageError, match="slotted"):
        simulate(
            slow, ["gmsr"], clock="slotted", slowdowns=[Slowdown("b0", 2.0, 6.0)], horizon=50.0
        )
