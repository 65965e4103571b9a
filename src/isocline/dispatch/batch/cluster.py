"""The engine of a batch on Ray or Dask."""

import re
import socket

from isocline.dispatch.batch.batch import Batch
from isocline.dispatch.engines.contract import Engine
from isocline.errors import UsageError

_ADDRESS = re.compile(r"(?:[a-z]+://)?\[?(?P<host>[^/\[\]]+)\]?:(?P<port>\d{1,5})/?")
_WORDS = frozenset({"auto", "local"})  # that Ray takes for an address
_STARTED = {"ray": "ray start --head", "dask": "dask scheduler and its workers"}
_PATIENCE = 5.0  # s; Ray would try for minutes


def cluster(batch: Batch, engine: str, address: str | None) -> Engine:
    """Ray's or Dask's at this address, or by default what they find, or start on this machine.

    Raises:
        UsageError: The batch needs the directories of this machine, or racks that Ray has by other
            means, or nobody answers at the address.
        MissingExtraError: The library is not installed.
    """
    if isinstance(batch.nodes, dict):
        raise UsageError(
            f"--engine {engine}: the job's nodes are directories of this machine; give locations "
            "by the names of the cluster's nodes, or none"
        )
    if engine == "ray":
        return _ray(batch, address)
    from isocline.dispatch.engines.dask import DaskEngine  # noqa: PLC0415 - if it is wanted

    if address is not None:
        _require_answer(engine, address)
    return DaskEngine(address, loader=batch.loader, racks=batch.racks)


def _ray(batch: Batch, address: str | None) -> Engine:
    if batch.racks:
        raise UsageError(
            "racks: Ray knows those of its nodes; start each with its own, as: ray start "
            "--labels rack=r1, and leave them out here"
        )
    from isocline.dispatch.engines.ray import RayEngine  # noqa: PLC0415

    if address is not None and address not in _WORDS:
        _require_answer("ray", address)
    return RayEngine(address, loader=batch.loader)


def _require_answer(engine: str, address: str) -> None:
    """Raises UsageError if nobody is there."""
    parts = _ADDRESS.fullmatch(address)
    if parts is None or int(parts["port"]) >= 1 << 16:
        raise UsageError(f"--address {address}: is none; give host and port, as 10.0.0.1:8786")
    try:
        socket.create_connection((parts["host"], int(parts["port"])), _PATIENCE).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(
            f"--address {address}: nobody answers there ({reason}); start {_STARTED[engine]}, or "
            "leave the address out"
        ) from error
