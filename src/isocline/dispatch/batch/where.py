"""Engine of a batch: worker processes of this machine, or a cluster that is there."""

from typing import Any, NamedTuple

from isocline.cores import usable_cores
from isocline.dispatch.batch.batch import ENGINES, Batch
from isocline.dispatch.batch.cluster import cluster
from isocline.dispatch.engines.contract import Engine
from isocline.dispatch.locations import Locations
from isocline.errors import UsageError
from isocline.plural import counted


class Where(NamedTuple):
    """What a `Scheduler` is to be given."""

    engine: str | Engine
    locations: Locations | None
    everywhere: bool
    options: dict[str, Any]


def where(batch: Batch, engine: str | None, address: str | None, workers: int | None) -> Where:
    """The engine for a batch, and where it finds its chunks.

    Raises:
        UsageError: The batch and what is asked for do not go together, or there is no such engine,
            or nobody answers at the address.
        MissingExtraError: The engine's library is not installed.
    """
    if engine is None:  # an address in the file is that of the engine in the file
        engine, address = batch.engine or ENGINES[0], address or batch.address
    if engine not in ENGINES:
        raise UsageError(f"engine: is {engine!r}; give one of {', '.join(ENGINES)}")
    if engine == "processes":
        if address is not None:
            raise UsageError(
                f"--address {address}: is for --engine ray or dask; give one, or leave it out"
            )
        return _processes(batch, workers)
    if workers is not None:
        raise UsageError(f"--workers {workers}: {engine} has its own; leave it out")
    # All nodes read any chunk by the loader; locations say who is nearest.
    return Where(cluster(batch, engine, address), batch.locations, True, {})


def _processes(batch: Batch, workers: int | None) -> Where:
    if batch.nodes is not None and workers is not None:
        raise UsageError(
            f"--workers {workers}: the job names its {counted(len(batch.nodes), 'node')}; leave it "
            "out"
        )
    nodes = batch.nodes or [f"n{number}" for number in range(workers or usable_cores())]
    everybody = list(nodes)
    # Where nothing is said of places, no node is nearer to a chunk than another.
    locations = batch.locations or (lambda _: everybody)
    options = {"nodes": nodes, "loader": batch.loader, "racks": batch.racks}
    return Where("processes", locations, batch.everywhere, options)
