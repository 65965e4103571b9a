"""Where a batch runs: worker processes of this machine, or a cluster that is there."""

import os
from typing import Any, NamedTuple

from isocline.dispatch.batch.batch import Batch
from isocline.dispatch.engines.contract import Engine
from isocline.dispatch.locations import Locations
from isocline.errors import UsageError


class Where(NamedTuple):
    """What a `Scheduler` is to be given."""

    engine: str | Engine
    locations: Locations | None
    everywhere: bool
    options: dict[str, Any]


def where(batch: Batch, engine: str, address: str | None, workers: int | None) -> Where:
    """The engine for a batch, and where it finds its chunks.

    Raises:
        UsageError: The batch and what is asked for do not go together.
        MissingExtraError: The engine's library is not installed.
    """
    if engine == "processes":
        if address is not None:
            raise UsageError(f"--address {address}: is for --engine ray or dask; leave it out")
        return _processes(batch, workers)
    if workers is not None:
        raise UsageError(f"--workers {workers}: {engine} has its own; leave it out")
    if isinstance(batch.nodes, dict):
        raise UsageError(
            f"--engine {engine}: the job's nodes are directories of this machine; give locations "
            "by the names of the cluster's nodes, or none"
        )
    # All nodes read any chunk by the loader; locations say who is nearest.
    return Where(_cluster(batch, engine, address), batch.locations, True, {})


def _cluster(batch: Batch, engine: str, address: str | None) -> Engine:
    if engine == "ray":
        from isocline.dispatch.engines.ray import RayEngine  # noqa: PLC0415 - if it is wanted

        return RayEngine(address, loader=batch.loader)
    from isocline.dispatch.engines.dask import DaskEngine  # noqa: PLC0415

    return DaskEngine(address, loader=batch.loader)


def _processes(batch: Batch, workers: int | None) -> Where:
    if batch.nodes is not None and workers is not None:
        raise UsageError(
            f"--workers {workers}: the job names its {len(batch.nodes)} nodes; leave it out"
        )
    nodes = batch.nodes or [f"n{number}" for number in range(workers or os.cpu_count() or 1)]
    everybody = list(nodes)
    # Where nothing is said of places, no node is nearer to a chunk than another.
    locations = batch.locations or (lambda _: everybody)
    options = {"nodes": nodes, "loader": batch.loader, "racks": batch.racks}
    return Where("processes", locations, batch.everywhere, options)
