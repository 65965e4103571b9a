"""The fault suite on two Ray nodes, of which one is removed."""

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Before Ray is imported: on the loopback only, with a token of this run alone.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

from isocline.dispatch.engines.ray import RayEngine  # noqa: E402
from isocline.dispatch.telemetry.records import Outcome  # noqa: E402
from tests.dispatch.engines.fault_contract import FaultContract  # noqa: E402
from tests.dispatch.engines.faults import PATIENT, Stage, square  # noqa: E402
from tests.dispatch.rigs import until  # noqa: E402

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


@pytest.fixture(scope="module")  # of the suite, here on Ray
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


class TestRayFaults(FaultContract):
    pass


def test_a_ray_node_removed_during_a_run_costs_no_result(
    stage: Stage, cluster: Any, tmp_path: Path
) -> None:
    """The last one: there is one node less from here on."""
    removed, begun = tmp_path / "removed", tmp_path / "begun"
    begun.mkdir()

    def outlasts(chunk: str) -> int:
        (begun / str(os.getpid())).touch()
        while not removed.exists():
            time.sleep(0.01)
        return int(chunk) ** 2

    with stage.scheduler(rules=PATIENT, everywhere=True) as live:
        first = [live.submit(square, str(i)) for i in range(100)]
        assert [future.result()[0] for future in first] == [i * i for i in range(100)]
        rest = [live.submit(outlasts, str(i)) for i in range(100, 300)]
        # Of two Ray nodes, all actors are up and in a task: on a busy machine some are late.
        until(lambda: len(list(begun.iterdir())) == 2 * SLOTS)
        cluster.remove_node(cluster.second, allow_graceful=False)
        until(lambda: live.statistics().nodes <= SLOTS)
        removed.touch()
        assert [future.result() for future in rest] == [i * i for i in range(100, 300)]
        assert live.records.outcomes[Outcome.LOST] > 0
        assert live.statistics().nodes == SLOTS
