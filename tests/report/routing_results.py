"""Made-up comparisons of routing policies: what reports are made of, without a simulation."""

from typing import Any

import numpy as np

from isocline.simulate.common.estimate import Estimate
from isocline.simulate.routing.results import Comparison, PolicyResult

BACKENDS = ("h100-1", "h100-2", "a10g-1")
FACTORS = {"gmsr": 1.1, "jsq": 2.0, "power_of_d:d=2": 9.0, "random": 12.0}


def estimate(value: float, relative: float = 0.01) -> Estimate:
    return Estimate(value, value * (1 - relative), value * (1 + relative))


def policy_result(name: str, stable: bool, bound: float, times: np.ndarray) -> PolicyResult:
    factor = FACTORS[name]
    workloads = factor * bound * (1 - np.exp(-times / 10))[:, None] * np.array([0.5, 0.4, 0.1])
    if not stable:
        workloads[:, 2] += times
    latency = factor * bound / 100
    figures = [bound * factor, latency, latency / 2, 3 * latency, 4 * latency, factor]
    names = "mean_jobs", "mean_latency", "p50", "p95", "p99", "ratio_to_bound"
    known: dict[str, Any] = {
        n: estimate(v) if stable else None for n, v in zip(names, figures, strict=True)
    }
    first = name == next(iter(FACTORS))
    return PolicyResult(
        policy=name,
        status="stable" if stable else "unstable",
        **known,
        difference=None if first or not stable else estimate(latency - 1.1 * bound / 100, 0.05),
        completed=1234,
        littles_law=1e-4,
        overloaded=() if stable else ("a10g-1",),
        backend_jobs=workloads.mean(axis=0),
        total_over_time=workloads.sum(axis=1),
        workloads_over_time=workloads,
        events=2468,
        events_per_second=2e7,
    )


def make(load: float = 0.7, count: int = 4, unstable: tuple[str, ...] = ()) -> Comparison:
    bound = 10 / (1 - load)
    times = np.linspace(0, 300, 51)[1:]
    names = list(FACTORS)[:count]
    return Comparison(
        system="small fleet",
        source="Poisson",
        backends=BACKENDS,
        load=load,
        lower_bound=bound,
        lower_bound_latency=bound / 100,
        policies=tuple(policy_result(n, n not in unstable, bound, times) for n in names),
        times=times,
        horizon=300.0,
        warmup=60.0,
        warmup_rule="MSER-5",
        replications=8,
        seed=1,
    )
