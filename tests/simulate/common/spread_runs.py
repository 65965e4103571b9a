"""Simulations of every kind, for tests of where their replications run."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from isocline.model.cluster import Cluster, Rates, SampledTasks
from isocline.model.cluster.blocks import BlockTrace
from isocline.model.traffic import Trace
from isocline.simulate.common.executor import Progress, silent
from isocline.simulate.routing.compare import simulate
from isocline.simulate.scheduling.compare import simulate_cluster
from tests.builders import mixed

SHORT: dict[str, Any] = {"horizon": 400.0, "warmup": 50.0, "replications": 3}
POLICIES, ON_CLUSTER = ["gmsr", "jsq"], ["local_first", "late_binding"]
Result = Any


def routing(progress: Progress = silent, **options: Any) -> Result:
    return simulate(mixed(), POLICIES, load=0.5, progress=progress, **{**SHORT, **options})


def _requests() -> Trace:
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.exponential(0.1, 400))
    times -= times[0]

    return Trace("made up", times, np.zeros(400), rng.exponential(1.0, 400))


def cluster() -> Cluster:
    return Cluster.numbered(4, Rates(local=1.0, remote=0.5), SampledTasks(2, 1.0))


def _jobs() -> BlockTrace:
    rng = np.random.default_rng(2)
    times = np.cumsum(rng.exponential(1.0, 60))
    blocks, path = rng.integers(1, 9, 60), rng.integers(0, 8, 60).astype(np.int32)
    return BlockTrace.from_jobs("made up", times - times[0], blocks, path, float(times[-1]))


KINDS: Mapping[str, Callable[[], Result]] = {
    "routing": routing,
    "routing, a trace": lambda: routing(trace=_requests(), horizon=None, warmup=None),
    "routing, until precise": lambda: routing(precision=0.05),
    "near-data": lambda: simulate_cluster(cluster(), ON_CLUSTER, load=0.6, **SHORT),
    "near-data, a trace": lambda: simulate_cluster(cluster(), ON_CLUSTER, trace=_jobs()),
    "near-data, until precise": lambda: simulate_cluster(
        cluster(), ON_CLUSTER, load=0.6, precision=0.03, **SHORT
    ),
}


def figures(result: Result) -> Any:
    """All that a result says, to the last bit, but for the speed at which it came."""
    return _without_speed(result.to_dict())


def _without_speed(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = (item for item in value.items() if item[0] != "events_per_second")
        return {key: _without_speed(one) for key, one in kept}
    return [_without_speed(one) for one in value] if isinstance(value, list) else value
