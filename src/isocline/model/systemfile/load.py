"""What most of the package uses."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from isocline.model.cluster import Cluster
from isocline.model.curves import Curve, PoolCurve, TableCurve
from isocline.model.fleet import RoutingSystem
from isocline.model.systemfile.build import build
from isocline.model.systemfile.document import Document, read
from isocline.model.systemfile.near_data import build_cluster, cluster_notes
from isocline.model.systemfile.schema import checked


def load(path: str | os.PathLike[str]) -> RoutingSystem | Cluster:
    """Read a system file: a RoutingSystem of kind routing, a Cluster of kind near-data.

    Raises:
        SystemFileError: It cannot be used; the message names file, line, field, value and remedy.
    """
    document = read(Path(path))
    kind = document.data.get("kind")
    if kind is None:
        document.fail(("kind",), "is missing; add kind: routing or kind: near-data")
    if kind not in ("routing", "near-data"):
        document.fail(("kind",), f"is {kind!r}; give routing or near-data")
    return _routing(document) if kind == "routing" else build_cluster(document)


def _routing(document: Document) -> RoutingSystem:
    return build(document, checked(document))


def notes(system: RoutingSystem | Cluster) -> list[str]:
    """What was done to a system that its user should know, one sentence each; often none."""
    if isinstance(system, Cluster):
        return cluster_notes(system)
    cut = [
        f"backend {backend.name!r}: {_what_was_cut(curve)}"
        for backend in system.backends
        for curve in _parts(backend.curve)
        if isinstance(curve, TableCurve) and curve.dropped
    ]
    used = np.bincount(system.graph.sink, minlength=len(system.backends)) > 0
    unused = [
        f"backend {backend.name!r}: no frontend may use it"
        for backend, is_used in zip(system.backends, used, strict=True)
        if not is_used
    ]
    return cut + unused


def _parts(curve: Curve) -> Iterable[Curve]:
    return curve.parts if isinstance(curve, PoolCurve) else (curve,)


def _what_was_cut(curve: TableCurve) -> str:
    peak = curve.kept[-1][0]
    below = [point for point in curve.dropped if point[0] < peak]
    beyond = [point for point in curve.dropped if point[0] > peak]
    parts = []
    if below:
        parts.append(f"{_listed(below)} dropped, for the curve runs above to stay concave")
    if beyond:
        parts.append(f"{_listed(beyond)} cut, for the rate no longer grows past N = {peak:g}")
    return "; ".join(parts)


def _listed(points: list[tuple[float, float]]) -> str:
    shown = ", ".join(f"[{n:g}, {rate:g}]" for n, rate in points[:4])
    more = f" and {len(points) - 4} more" if len(points) > 4 else ""
    return f"point{'s' if len(points) > 1 else ''} {shown}{more}"
