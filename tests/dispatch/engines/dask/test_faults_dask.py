"""The fault suite on Dask."""

from collections.abc import Iterator

import pytest

pytest.importorskip("distributed")

from isocline.dispatch.engines.dask import DaskEngine
from tests.dispatch.engines.dask.clusters import killable_cluster
from tests.dispatch.engines.fault_contract import FaultContract
from tests.dispatch.engines.faults import Stage


@pytest.fixture(scope="module")  # of the suite, here on Dask
def stage() -> Iterator[Stage]:
    with killable_cluster(3) as killable:
        yield Stage(
            lambda loader: DaskEngine(killable.client, loader=loader),
            killable.workers,
            "from isocline.dispatch.engines.dask import DaskEngine\n"
            f"engine = DaskEngine({killable.cluster.scheduler_address!r}, loader=str)",
        )


class TestDaskFaults(FaultContract):
    pass
