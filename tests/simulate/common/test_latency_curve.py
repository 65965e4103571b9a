"""Quantiles of all latencies of a policy, beside those of a sample that is known."""

from dataclasses import dataclass

import numpy as np
import pytest

import isocline
from isocline.simulate.common.kernels.latency_histogram import BUCKETS, emptied, record
from isocline.simulate.common.percentiles import latency_curve
from isocline.simulate.common.run_settings import BATCH


@dataclass
class Timed:
    """A replication whose latencies are these, a batch of blocks each."""

    batches: list[np.ndarray]

    @property
    def timed(self) -> np.ndarray:
        return np.array([len(batch) for batch in self.batches])

    @property
    def latencies(self) -> tuple[tuple[int, np.ndarray], ...]:
        found = []
        for batch in self.batches:
            histogram = np.zeros(BUCKETS, np.int32)
            for latency in batch:
                record(histogram, latency)
            found.append(emptied(histogram))
        return tuple(found)


def test_it_has_the_quantiles_of_all_replications_after_the_warm_up() -> None:
    rng = np.random.default_rng(5)
    early, late, other = (rng.lognormal(0.0, 1.5, 30_000) for _ in range(3))
    reps = [Timed([early, late]), Timed([early, other])]
    curve = latency_curve(reps, BATCH)
    shares, latencies = np.array(curve).T
    exact = np.quantile(np.concatenate((late, other)), shares)
    assert latencies[5:18] == pytest.approx(exact[5:18], rel=0.01)  # further on few are left
    assert (np.diff(latencies) > 0).all()
    assert 0.5 in shares
    assert shares[-1] <= 1 - 1 / 60_000


def test_slots_are_whole_numbers() -> None:
    slots = np.repeat([1.0, 2.0, 7.0], [500, 400, 100])
    latencies = {latency for _, latency in latency_curve([Timed([slots])], 0, whole=True)}
    assert latencies == {1.0, 2.0, 7.0}


def test_without_latencies_there_is_none() -> None:
    assert latency_curve([Timed([np.empty(0)])], 0) == ()


def test_a_policy_has_one_that_agrees_with_its_percentiles() -> None:
    system = isocline.load("examples/n_model.yaml")
    timed = isocline.simulate(system, ["gmsr"], replications=4, horizon=20_000.0)
    policy = timed.policies[0]
    curve = dict(policy.latency_curve)
    assert policy.p50 is not None
    assert policy.p95 is not None
    assert curve[0.5] == pytest.approx(policy.p50.value, rel=0.02)
    (at,) = (share for share in curve if abs(share - 0.95) < 1e-9)
    assert curve[at] == pytest.approx(policy.p95.value, rel=0.02)
    means = isocline.simulate(system, ["gmsr"], replications=2, horizon=20_000.0, percentiles=False)
    assert means.policies[0].latency_curve == ()
