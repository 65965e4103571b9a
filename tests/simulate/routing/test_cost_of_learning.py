"""What learning costs, over long runs: beside known curves, and after a silent slowdown.

Intervals are Student-t at 95 % over paired replications, with fixed seeds.
"""

from pathlib import Path

import numpy as np
import pytest

import isocline
from isocline.learn import Learning
from isocline.model.curves import KneeCurve
from isocline.model.fleet import RoutingSystem
from isocline.policies.parse import parse
from isocline.simulate.common.replication import Run
from isocline.simulate.routing.compare import simulate
from isocline.simulate.routing.learned_policy import LearnedPolicy
from isocline.simulate.routing.learning_engine import LearningEngine
from isocline.simulate.routing.prepare import prepare
from isocline.simulate.routing.run_settings import RunSettings
from isocline.simulate.routing.scenario import scenario
from isocline.simulate.routing.slowdown import Slowdown
from tests.builders import fleet
from tests.simulate.routing.options import RunLength

EXAMPLES = Path(__file__).parents[3] / "examples"
GMSR = LearnedPolicy(parse("gmsr"), Learning())


def small_and_large() -> RoutingSystem:
    small, large = KneeCurve(120.0, 4.0, 4.0), KneeCurve(200.0, 32.0, 4.0)
    return fleet([small, small, large, large], [300.0])


def at(system: RoutingSystem, load: float) -> tuple[RoutingSystem, float]:
    """The system at a load, and when its least used backend should have 200 completions, s."""
    loaded = scenario(system, load=load).system
    return loaded, 200.0 / min(b.rate for b in isocline.plan(loaded).backends)


@pytest.mark.parametrize(
    ("system", "load", "replications"),
    [
        ("mixed fleet", 0.7, 4),
        ("small and large", 0.6, 8),
        ("small and large", 0.8, 8),
    ],
)
def test_after_200_completions_per_backend_learning_costs_less_than_ten_percent(
    system: str, load: float, replications: int
) -> None:
    whole = isocline.load(EXAMPLES / "mixed_fleet.yaml") if system == "mixed fleet" else None
    loaded, since = at(whole or small_and_large(), load)
    result = simulate(
        loaded, ["gmsr"], learn=Learning(), warmup=since, horizon=3 * since, seed=1,
        replications=replications,
    )  # fmt: skip
    knows, learns = result.policies
    assert learns.policy == "gmsr learned"
    assert learns.difference is not None
    assert knows.mean_latency is not None
    assert learns.difference.high < 0.10 * knows.mean_latency.value
    engine = LearningEngine(Run(prepare(loaded), GMSR, RunSettings(2 * since, seed=1)))
    engine.advance(since)
    # Chance, and what a backend had too few of while it was not yet known.
    assert engine.learner.observed.occupied.finished.min() > 100
    engine.advance(2 * since)
    assert engine.learner.observed.occupied.finished.min() > 250


def test_a_silent_slowdown_is_learned_and_costs_what_being_told_would() -> None:
    loaded = scenario(small_and_large(), load=0.6).system
    means = {}
    for told in (True, False):
        slow = Slowdown("b2", 2.0, 20.0, told)
        run: RunLength = {"warmup": 25.0, "horizon": 35.0, "replications": 8, "seed": 2}
        learn = None if told else Learning()
        result = simulate(loaded, ["gmsr"], slowdowns=[slow], learn=learn, **run)
        for policy in result.policies:
            assert policy.mean_latency is not None
            means[policy.policy, told] = policy.mean_latency
    oracle = means["gmsr", True]
    assert means["gmsr learned", False].value < 1.05 * oracle.value
    assert means["gmsr", False].low > 1.05 * oracle.high  # by the old curve it is worse
    engine = LearningEngine(
        Run(prepare(loaded), GMSR, RunSettings(40.0, slowdowns=(Slowdown("b2", 2.0, 20.0),)))
    )
    engine.advance(40.0)
    (change,) = engine.learner.changes
    assert change.backend == 2
    assert 20.0 < change.time < 23.0
    assert change.speed == pytest.approx(0.5, abs=0.2)
    true = loaded.curves[2].scaled(0.5)
    for jobs in np.array([0.8, 1.0, 1.2]) * engine.view.workload[2]:  # where it has been lately
        assert engine.learner.curve(2).rate(jobs) == pytest.approx(true.rate(jobs), rel=0.1)
