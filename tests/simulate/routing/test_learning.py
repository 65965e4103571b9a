"""Policies on learned curves: what is learned, and that no backend starves."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from isocline.errors import UsageError
from isocline.learn import Learning
from isocline.model.curves import HyperbolicCurve
from isocline.model.traffic import DeterministicSizes
from isocline.policies.parse import parse
from isocline.simulate.common.kernels import counters
from isocline.simulate.common.replication import Run
from isocline.simulate.routing.compare import simulate
from isocline.simulate.routing.learned_policy import LearnedPolicy
from isocline.simulate.routing.learning_engine import LearningEngine
from isocline.simulate.routing.prepare import prepare
from isocline.simulate.routing.replicate import replicate
from isocline.simulate.routing.run_settings import RunSettings
from tests.builders import fleet, mixed, station

GMSR = LearnedPolicy(parse("gmsr"), Learning())


def test_the_learning_kernel_is_the_tracking_kernel_but_for_the_table() -> None:
    # jsq looks at no curve: learning changes no decision, and so nothing at all.
    run, prepared = RunSettings(200.0, 20.0), prepare(mixed())
    plain = replicate(Run(prepared, parse("jsq"), run, 3))
    learned = replicate(Run(prepared, LearnedPolicy(parse("jsq"), Learning()), run, 3))
    assert plain is not None
    assert learned is not None
    for name in ("arrivals", "completions", "timed", "snapshots"):
        assert np.array_equal(getattr(plain, name), getattr(learned, name))
    for ours, theirs in zip(plain.latencies, learned.latencies, strict=True):
        assert np.array_equal(ours[1], theirs[1])
    # A kernel that stops for a fit adds its sums in other portions, and so rounds otherwise.
    assert np.allclose(plain.jobs, learned.jobs, rtol=1e-12)


def test_at_the_start_all_backends_look_alike() -> None:
    prepared = prepare(mixed())
    engine = LearningEngine(Run(prepared, GMSR, RunSettings(100.0)))
    known = prepared.scores(parse("gmsr"), engine.size)
    assert np.array_equal(engine.view.table[0], engine.view.table[1])
    assert not np.allclose(known[0], known[1], rtol=0.5)


def test_what_is_observed_is_what_happened() -> None:
    prepared = prepare(mixed())
    engine = LearningEngine(Run(prepared, GMSR, RunSettings(100.0)))
    area = 0.0
    for end in (50.0, 100.0):
        engine.advance(end)
        area = float(engine.gauge[counters.JOB_SECONDS])
    seen = engine.learner.observed.occupied
    assert seen.finished.sum() == engine.count[counters.COMPLETIONS]
    levels = np.arange(seen.seconds.shape[1])
    # All but the time since the last event of each backend, of about a second.
    assert float((seen.seconds @ levels).sum()) == pytest.approx(area, rel=0.02)
    assert np.all(seen.since > 90.0)


def test_a_backend_wrongly_thought_slow_is_tried_again() -> None:
    # One of two like machines was seen to take a hundred times as long, by 20 jobs of bad luck.
    engine = LearningEngine(
        Run(prepare(fleet([HyperbolicCurve(10.0, 5.0)] * 2, [8.0])), GMSR, RunSettings(2000.0))
    )
    seen = engine.learner.observed
    seen.occupied.done[1, 1:5] += 5.0
    seen.occupied.seconds[1, 1:5] += 5.0 / (0.01 * engine.system.rate[1, 1:5])
    seen.fresh[1] = seen.quota[1]
    engine.learner.update(0.0, [0, 0])
    true = engine.prepared.curves[1]
    assert engine.learner.curve(1).rate(3.0) < 0.03 * true.rate(3.0)  # it is believed
    engine.advance(1000.0)
    early = seen.occupied.finished.copy()
    engine.advance(2000.0)
    late = seen.occupied.finished - early
    assert late[1] > 0.8 * late[0]  # and no longer is


def test_other_policies_learn_too_and_those_that_look_at_no_curve_do_not() -> None:
    names = ["least_expected_latency", "weighted_least_connections", "jsq", "random"]
    result = simulate(mixed(), names, learn=Learning(), horizon=300.0, warmup=50.0, replications=2)
    assert [p.policy for p in result.policies] == [
        *("least_expected_latency", "least_expected_latency learned"),
        *("weighted_least_connections", "weighted_least_connections learned"),
        *("jsq", "random"),
    ]


def test_results_depend_on_the_seed_alone() -> None:
    def run(threads: int) -> list[float]:
        result = simulate(
            mixed(), ["gmsr"], learn=Learning(half_life=50.0), horizon=60.0, warmup=20.0,
            replications=3, threads=threads,
        )  # fmt: skip
        return [p.mean_latency.value for p in result.policies if p.mean_latency]

    assert run(1) == run(2)


@pytest.mark.parametrize(
    ("policies", "options", "words"),
    [
        (["jsq"], {}, "none of jsq looks at service curves"),
        (
            ["gmsr"],
            {"clock": "slotted"},
            "learned curves cannot be simulated with the slotted clock",
        ),
        (["gmsr_hold"], {}, "with gmsr_hold, which holds jobs"),
        (["gmsr_ahead"], {}, "depends on several curves at once"),
    ],
)
def test_what_learning_cannot_do_is_said(
    policies: list[str], options: dict[str, Any], words: str
) -> None:
    system = fleet([HyperbolicCurve(1.0, 2.0)] * 2, [0.5])
    with pytest.raises(UsageError, match=words):
        simulate(system, policies, learn=Learning(), horizon=99.0, **options)


def test_sizes_that_are_not_exponential_are_refused() -> None:
    system = replace(mixed(), sizes=DeterministicSizes())
    with pytest.raises(UsageError, match="not exponential; leave one of the two out"):
        simulate(system, ["gmsr"], learn=Learning(), horizon=50.0)


def test_a_station_of_parallel_servers_can_be_learned() -> None:
    # Not strictly concave, and so beyond the curves that are fitted: it is approached all the same.
    loaded = fleet([station(1.0, 4), station(0.3, 8)], [3.0])
    engine = LearningEngine(Run(prepare(loaded), GMSR, RunSettings(3000.0)))
    engine.advance(3000.0)
    for backend, workload in ((0, 2.0), (0, 3.0), (1, 3.0)):
        true = loaded.curves[backend].rate(workload)
        assert engine.learner.curve(backend).rate(workload) == pytest.approx(true, rel=0.12)
