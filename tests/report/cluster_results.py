"""Made-up comparisons on clusters: what reports are made of, without a simulation."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from isocline.simulate.common.estimate import Estimate
from isocline.simulate.scheduling.results import ClusterComparison, JobLatency, SchedulingResult

SERVERS = ("a1", "a2", "b1", "b2")
FACTORS = {"local_first": 1.0, "jsq_maxweight": 1.8, "late_binding": 0.9, "random_local": 9.0}
READING = "queue lengths: tasks in service included; threshold local / remote rate"


def estimate(value: float, relative: float = 0.01) -> Estimate:
    return Estimate(value, value * (1 - relative), value * (1 + relative))


def result(name: str, stable: bool, bound: float, jobs: bool, blocks: int) -> SchedulingResult:
    latency = bound * FACTORS[name]
    values = {
        "mean_tasks": 3 * latency,
        "mean_latency": latency,
        "p50": 0.7 * latency,
        "p95": 3 * latency,
        "p99": 4.6 * latency,
        "ratio_to_bound": FACTORS[name],
        "difference": latency - bound,
        "ratio": FACTORS[name],
        "local_share": 0.7,
        "rack_share": 0.1,
        "remote_share": 0.2,
        "idle_share": 0.25,
        "perpendicular": 3.0,
        "perpendicular_square": 10.0,
        "beneficiary_tasks": 2.5 * latency,
        "helper_tasks": 0.5 * latency,
    }
    known: dict[str, Any] = {
        key: estimate(value) if stable else None for key, value in values.items()
    }
    if name == "local_first":
        known |= {"difference": None, "ratio": None}
    mean, p50, p95, p99 = (estimate(latency * factor) for factor in (5.0, 2.0, 20.0, 40.0))
    return SchedulingResult(
        policy=name,
        status="stable" if stable else "unstable",
        **known,
        reading="" if name == "random_local" else READING,
        jobs=JobLatency(mean, p50, p95, p99, completed=1399) if jobs and stable else None,
        completed=4321,
        littles_law=1e-4,
        overloaded=() if stable else SERVERS[:2],
        idle_by_server=np.array([0.1, 0.2, 0.3, 0.4]),
        total_over_time=np.linspace(1.0, 3 * latency, blocks),
        events=8642,
        events_per_second=2e7,
    )


def make(
    load: float = 0.7,
    policies: Sequence[str] = tuple(FACTORS),
    unstable: Sequence[str] = (),
    jobs: bool = False,
    **others: Any,
) -> ClusterComparison:
    bound = 1.0 / (1.0 - min(load, 0.9))
    fields: dict[str, Any] = {
        "system": "small cluster",
        "source": "Poisson arrivals, 4 types; local 1, remote 0.5 tasks/s, exponential service",
        "servers": SERVERS,
        "load": load,
        "rate": 3.0,
        "lower_bound": 3.0 * bound,
        "lower_bound_latency": bound,
        "bound_in_words": "mean service time where the data is",
        "policies": tuple(result(p, p not in unstable, bound, jobs, 50) for p in policies),
        "times": np.linspace(0.0, 300.0, 51)[1:],
        "clock": "continuous",
        "level": "data",
        "trace": jobs,
        "horizon": 300.0,
        "warmup": 60.0,
        "warmup_rule": "MSER-5",
        "replications": 8,
        "seed": 1,
    }
    return ClusterComparison(**fields | others)
