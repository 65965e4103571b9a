"""Engine of a batch: worker processes of this machine, or a Ray or Dask cluster."""

import re
import socket
from dataclasses import replace
from typing import Any, NamedTuple

from isocline.cores import require_processes, usable_cores
from isocline.dispatch.batch.host_directories import HostDirectories
from isocline.dispatch.batch.spec import ENGINES, Batch
from isocline.dispatch.engines.base import Engine
from isocline.dispatch.submission.chunk_locations import Locations
from isocline.errors import UsageError
from isocline.plural import counted

_ADDRESS = re.compile(r"(?:[a-z]+://)?\[?(?P<host>[^/\[\]]+)\]?:(?P<port>\d{1,5})/?")
_WORDS = frozenset({"auto", "local"})  # words that Ray accepts as an address
_STARTED = {"ray": "Ray there (ray start --head)", "dask": "a Dask scheduler and its workers there"}
_PATIENCE = 5.0  # s; Ray would try for minutes
# A Dask scheduler speaks first, but for these protocols. Its client would wait for ever, whatever
# the timeout, for one that does not.
_GREETING = 15.0  # s
_CLIENT_FIRST = "tls:", "ws:", "wss:", "ucx:"


def cluster(batch: Batch, engine: str, address: str | None) -> Engine:
    """Engine on a Ray or Dask cluster at an address, by default one found or started here.

    Raises:
        UsageError: The batch gives racks, which Ray knows by itself, or nothing answers at the
            address.
        MissingExtraError: The engine's library is not installed.
    """
    if isinstance(batch.nodes, dict):
        roots = {host: root.absolute() for host, root in batch.nodes.items()}
        batch = replace(batch, loader=HostDirectories(roots, batch.loader))
    if engine == "ray" and batch.racks:
        raise UsageError(
            "racks: Ray knows the racks of its nodes; start each node with its rack, as: ray start "
            "--labels rack=r1, and leave racks out here"
        )
    if engine == "ray":
        resources = sorted(batch.resources or ())
        return cluster_engine(engine, address, loader=batch.loader, resources=resources)
    return cluster_engine(engine, address, loader=batch.loader, racks=batch.racks)


def cluster_engine(engine: str, address: str | None, **options: Any) -> Engine:
    """Ray or Dask engine with these options, on a cluster that answers.

    Raises:
        UsageError: Nothing answers at the address.
        MissingExtraError: The engine's library is not installed.
    """
    if engine == "ray":
        from isocline.dispatch.engines.ray import RayEngine  # noqa: PLC0415 - if it is wanted

        if address is not None and address not in _WORDS:
            _require_answer(engine, address)
        return RayEngine(address, **options)
    from isocline.dispatch.engines.dask import DaskEngine  # noqa: PLC0415

    if address is not None:
        _require_answer(engine, address)
    return DaskEngine(address, **options)


def _require_answer(engine: str, address: str) -> None:
    """Raise UsageError if nothing answers at the address."""
    parts = _ADDRESS.fullmatch(address)
    if parts is None or int(parts["port"]) >= 1 << 16:
        raise UsageError(
            f"--address {address}: is not an address; give HOST:PORT, as 10.0.0.1:8786"
        )
    try:
        with socket.create_connection((parts["host"], int(parts["port"])), _PATIENCE) as link:
            if engine == "dask" and not address.startswith(_CLIENT_FIRST):
                link.settimeout(_GREETING)
                if not link.recv(1):
                    raise ConnectionError("it closes the connection")
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(
            f"--address {address}: nothing answers there ({reason}); start {_STARTED[engine]}, or "
            "leave the address out"
        ) from error


class BatchEngine(NamedTuple):
    """Engine and locations for a `Scheduler`."""

    engine: str | Engine
    locations: Locations | None
    everywhere: bool
    options: dict[str, Any]


def where(
    batch: Batch, engine: str | None, address: str | None, workers: int | None
) -> BatchEngine:
    """Return the engine for a batch, with the locations of its chunks.

    Raises:
        UsageError: The batch and the options contradict each other, the engine is unknown, or
            nothing answers at the address.
        MissingExtraError: The engine's library is not installed.
    """
    if engine is None:  # an address in the file belongs to the engine in the file
        engine, address = batch.engine or ENGINES[0], address or batch.address
    if engine not in ENGINES:
        raise UsageError(f"engine: is {engine!r}; give one of {', '.join(ENGINES)}")
    if engine == "processes":
        if address is not None:
            raise UsageError(
                f"--address {address}: only for --engine ray or dask; give one, or leave it out"
            )
        return _processes(batch, workers)
    if workers is not None:
        raise UsageError(f"--workers {workers}: {engine} has its own workers; leave it out")
    for name, given in (("slots", batch.slots > 1), ("node_resources", batch.node_resources)):
        if given:
            raise UsageError(f"{name}: {engine} has its own; leave it out")
    # The loader can read every chunk at every node; locations tell which node is nearest. Names of
    # nodes with directories are those of hosts.
    return BatchEngine(cluster(batch, engine, address), batch.locations, True, {})


def _processes(batch: Batch, workers: int | None) -> BatchEngine:
    if batch.nodes is not None and workers is not None:
        raise UsageError(
            f"--workers {workers}: the job names its {counted(len(batch.nodes), 'node')}; leave it "
            "out"
        )
    require_processes("--workers", workers or 1)
    nodes = batch.nodes or [f"n{number}" for number in range(workers or usable_cores())]
    everybody = list(nodes)
    # Without locations, all nodes are equally near to all chunks.
    locations = batch.locations or (lambda _: everybody)
    options: dict[str, Any] = {"nodes": nodes, "loader": batch.loader, "racks": batch.racks}
    options |= {"slots": batch.slots, "resources": batch.node_resources}
    return BatchEngine("processes", locations, batch.everywhere, options)
