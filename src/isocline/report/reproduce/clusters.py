"""The clusters of the near-data figures, and policies compared on them while they are stable."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from isocline.errors import RunTooShortError
from isocline.model.cluster import Cluster, HotSpot, Rates, SampledTasks
from isocline.simulate.scheduling.compare import simulate_cluster
from isocline.simulate.scheduling.results import ClusterComparison
from isocline.simulate.scheduling.run_settings import Level

# Near-data paper, Section 6: sigma and N/M, and what gamma is to alpha.
HOT = HotSpot(servers=0.5, share=0.8)
SLOWDOWN = 2.0
# Section 2.2: R_m ~ Bern(gamma) whenever server m serves another queue than its own. The default of
# `isocline simulate` is `data`, what happens on real machines; up to 7 % apart on two servers.
LEVEL: Level = "queue"
LEVEL_IN_WORDS = (
    "A task is local only to the server in whose queue it waited, as the paper's R_m has it "
    "(level queue; of policies that pick single tasks: where its data is)."
)
LONGER = 4.0  # a second try at a run that was too short


def cluster_of(
    servers: int,
    *,
    hot: bool,
    slowdown: float = SLOWDOWN,
    local: float = 1.0,
    racks: int = 1,
) -> Cluster:
    """M servers, three replicas, even or hot traffic; the rate is set by the load.

    With racks, replicas are placed as HDFS does, and data of the rack comes at the geometric mean
    of the local and the remote rate.
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
    """The first policy beside the others at each load, up to the first that one cannot bear."""
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
    """A comparison; a run that proves too short is made once more, much longer."""
    for length in (1.0, LONGER):
        try:
            return simulate_cluster(
                cluster, policies, load=load, percentiles=False,
                horizon=length * horizon, warmup=length * warmup, level=LEVEL, **options,
            )  # fmt: skip
        except RunTooShortError:
            continue
    return None  # it still grows
