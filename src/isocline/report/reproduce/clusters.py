"""Clusters of the near-data figures, and comparisons of policies on them while stable."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from isocline.errors import RunTooShortError
from isocline.model.cluster import Cluster, HotSpot, Rates, SampledTasks
from isocline.simulate.scheduling.compare import simulate_cluster
from isocline.simulate.scheduling.results import ClusterComparison
from isocline.simulate.scheduling.run_settings import Level

# Near-data paper, Section 6: sigma and N/M, and the ratio of alpha to gamma.
HOT = HotSpot(servers=0.5, share=0.8)
SLOWDOWN = 2.0
# Section 2.2: R_m ~ Bern(gamma) whenever server m serves another queue than its own. The default of
# `isocline simulate` is `data`, as on real machines; they differ by up to 7 % on two servers.
LEVEL: Level = "queue"
LEVEL_IN_WORDS = (
    "A task is local only to the server in whose queue it waited, as the paper's R_m has it "
    "(level queue; of policies that pick single tasks: where its data is)."
)
LONGER = 4.0  # factor on the length when a run that was too short is repeated


def cluster_of(
    servers: int,
    *,
    hot: bool,
    slowdown: float = SLOWDOWN,
    local: float = 1.0,
    racks: int = 1,
) -> Cluster:
    """Cluster of M servers with three replicas and even or hot traffic; the load sets the rate.

    With racks, replicas are placed as by HDFS, and the rack rate is the geometric mean of the local
    and the remote rate.
    """
    rack = None if racks == 1 else local / np.sqrt(slowdown)
    tasks = SampledTasks(
        3, local * servers / 2.0, HOT if hot else None, "uniform" if racks == 1 else "hdfs"
    )
    rates = Rates(local=local, rack=rack, remote=local / slowdown)
    return Cluster.numbered(servers, rates, tasks, racks=racks)


def while_stable(
    cluster: Cluster,
    policies: Sequence[str],
    loads: Sequence[float],
    *,
    horizon: float,
    warmup: float,
    **options: Any,
) -> list[ClusterComparison]:
    """Compare policies at each load, up to the first load at which one is unstable."""
    found: list[ClusterComparison] = []
    for load in loads:
        one = _patiently(cluster, policies, load, horizon, warmup, options)
        if one is None or any(policy.status == "unstable" for policy in one.policies):
            break
        found.append(one)
    return found


def _patiently(
    cluster: Cluster,
    policies: Sequence[str],
    load: float,
    horizon: float,
    warmup: float,
    options: Mapping[str, Any],
) -> ClusterComparison | None:
    """Compare policies; if the run proves too short, repeat it once, much longer."""
    for length in (1.0, LONGER):
        try:
            return simulate_cluster(
                cluster, policies, load=load, percentiles=False,
                horizon=length * horizon, warmup=length * warmup, level=LEVEL, **options,
            )  # fmt: skip
        except RunTooShortError:
            continue
    return None  # it still grows
