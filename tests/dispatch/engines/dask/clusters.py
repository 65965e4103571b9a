"""Dask clusters on this machine whose worker processes tests may kill."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import dask
from distributed import Client, LocalCluster

from tests.dispatch.rigs import SOON

_SETTINGS = {
    # Or Dask drops copies as it sees fit.
    "distributed.scheduler.active-memory-manager.start": False,
    # So long after each loss a LocalCluster looks whether a worker of that name is there, and if
    # not closes its nanny for good, even one that is restarting it: on a busy machine that takes
    # longer than the default of 15 s, and the look may come during the restart after a later loss.
    "distributed.deploy.lost-worker-timeout": "1 hour",
    "distributed.worker.multiprocessing-method": "forkserver",  # up again at once
}


class Killable(NamedTuple):
    """A cluster whose nannies restart the workers that are killed, and a client of it."""

    cluster: LocalCluster
    client: Client
    size: int

    def workers(self) -> list[str]:
        """Wait until the cluster is complete; returns the workers' addresses, sorted."""
        end = time.monotonic() + SOON
        while len(known := self._known()) < self.size or not all(map(listens, known)):
            assert time.monotonic() < end, f"known to Dask's scheduler: {known}"
            time.sleep(0.02)
        return sorted(known)

    def _known(self) -> set[str]:
        """Workers that Dask's scheduler would give work to."""
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        return {address for address, it in workers.items() if it["status"] == "running"}


def listens(address: str) -> bool:
    """Whether a worker is there, by its port; its nanny may have that of the one before."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), SOON).close()
    except OSError:
        return False
    return True


@contextmanager
def killable_cluster(workers: int) -> Iterator[Killable]:
    """Start a cluster of so many workers with one thread each."""
    with (
        dask.config.set(_SETTINGS),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,  # workers are killed on purpose: Dask need not say so
        ) as cluster,
        Client(cluster) as client,
    ):
        yield Killable(cluster, client, workers)
