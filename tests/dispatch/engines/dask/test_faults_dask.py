"""The fault suite on Dask."""

from collections.abc import Iterator

import pytest

pytest.importorskip("distributed")

import dask
from distributed import Client, LocalCluster

from isocline.dispatch.engines.dask import DaskEngine
from tests.dispatch.engines.faults import Stage
from tests.dispatch.engines.processes.test_faults import *  # noqa: F403

WORKERS = 3


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    settings = {
        "distributed.scheduler.active-memory-manager.start": False,
        # So long after each loss a LocalCluster looks whether a worker of that name is there, and
        # gives it up if not, even if it is only being started again after a later loss.
        "distributed.deploy.lost-worker-timeout": "1 hour",
        "distributed.worker.multiprocessing-method": "forkserver",  # up again at once
    }
    # Workers are killed on purpose: Dask need not say so.
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=WORKERS,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as cluster,
        Client(cluster) as client,
    ):

        def names() -> list[str]:
            client.wait_for_workers(WORKERS)
            return sorted(client.scheduler_info(n_workers=-1)["workers"])

        yield Stage(
            lambda loader: DaskEngine(client, loader=loader),
            names,
            "from isocline.dispatch.engines.dask import DaskEngine\n"
            f"engine = DaskEngine({cluster.scheduler_address!r}, loader=str)",
        )
