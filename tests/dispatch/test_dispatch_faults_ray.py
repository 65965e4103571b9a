"""The fault suite on two Ray nodes, of which one is removed."""

import os
import secrets
from collections.abc import Iterator
from concurrent.futures import as_completed
from typing import Any

import pytest

# Before Ray is imported: on the loopback only, with a token of this run alone.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

from isocline.dispatch.engines.ray import RayEngine  # noqa: E402
from isocline.dispatch.records import Outcome  # noqa: E402
from tests.dispatch.faults import PATIENT, Stage, square  # noqa: E402
from tests.dispatch.test_dispatch_faults import *  # noqa: E402, F403

SLOTS = 2
SMALL = {"num_cpus": SLOTS, "object_store_memory": 80 << 20}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={**SMALL, "include_dashboard": False}
    )
    try:
        cluster.second = cluster.add_node(**SMALL)
        ray.init(cluster.address, log_to_driver=False, logging_level="error")
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="module")
def stage(cluster: Any) -> Stage:
    def names() -> list[str]:
        nodes = sorted(node["NodeID"][:12] for node in ray.nodes() if node["Alive"])
        return [f"{node}/{slot}" for slot in range(SLOTS) for node in nodes]

    return Stage(
        lambda loader: RayEngine(loader=loader, slots=SLOTS),
        names,
        "from isocline.dispatch.engines.ray import RayEngine\n"
        f"engine = RayEngine({cluster.address!r}, loader=str, slots={SLOTS})",
    )


def test_a_ray_node_removed_during_a_run_costs_no_result(stage: Stage, cluster: Any) -> None:
    """The last one: there is one node less from here on."""
    tasks, gone = 300, cluster.second
    with stage.scheduler(rules=PATIENT, everywhere=True) as live:
        futures = [live.submit(square, str(i), key=str(i)) for i in range(tasks)]
        for done, _ in enumerate(as_completed(futures), 1):
            if done == tasks // 3:
                cluster.remove_node(gone, allow_graceful=False)
        assert [future.result()[0] for future in futures] == [i * i for i in range(tasks)]
        assert live.records.outcomes[Outcome.LOST] > 0
        assert live.statistics().nodes == SLOTS
