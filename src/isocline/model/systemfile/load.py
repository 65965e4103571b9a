"""Loading of system files of either kind, and notes on them."""

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from isocline.arguments import checked as with_arguments
from isocline.arguments import kind_of, require
from isocline.model.curves import Curve, PoolCurve, TableCurve
from isocline.model.fleet import RoutingSystem
from isocline.model.residency import model_of
from isocline.model.systemfile.document import Document, read
from isocline.model.systemfile.plain_system import plain_system
from isocline.plural import first_of

if TYPE_CHECKING:
    from isocline.model.cluster import Cluster


@overload
def load(path: str | os.PathLike[str], kind: Literal["routing"]) -> RoutingSystem: ...
@overload
def load(path: str | os.PathLike[str], kind: Literal["near-data"]) -> "Cluster": ...
@overload
def load(path: str | os.PathLike[str], kind: None = None) -> Any: ...
def load(
    path: str | os.PathLike[str], kind: Literal["routing", "near-data"] | None = None
) -> "RoutingSystem | Cluster":
    """Read a system file: a RoutingSystem of kind routing, a Cluster of kind near-data.

    Args:
        path: A YAML file.
        kind: The kind that it must be of. It also tells a type checker what comes back, which
            otherwise is Any: only the file knows.

    Raises:
        SystemFileError: It cannot be used, or is of the other kind; the message names file, line,
            field, value and remedy.
    """
    require("path", path, kind_of(str | os.PathLike[str]))
    require("kind", kind, kind_of(Literal["routing", "near-data"] | None))
    document = read(Path(path))
    system = built(document)
    found = document.data["kind"]
    if kind not in (None, found):
        document.fail(("kind",), f"is {found!r}; give a file of kind {kind}")
    return system


def built(document: Document) -> "RoutingSystem | Cluster":
    """Build the system that a document describes; raises SystemFileError as `load`."""
    kind = document.data.get("kind")
    if kind is None:
        found = no_system(document.data) or "add kind: routing or kind: near-data"
        document.fail(("kind",), f"is missing; {found}")
    if kind not in ("routing", "near-data"):
        found = no_system(document.data) or "give routing or near-data"
        document.fail(("kind",), f"is {kind!r}; {found}")
    # The schemas are imported here, as pydantic takes long to be ready for them.
    if kind == "near-data":
        from isocline.model.systemfile.near_data import build_cluster  # noqa: PLC0415

        return build_cluster(document)
    if (plain := plain_system(document)) is not None:
        return plain
    from isocline.model.systemfile.build import build  # noqa: PLC0415
    from isocline.model.systemfile.schema import checked  # noqa: PLC0415

    return build(document, checked(document))


# Keys of what vLLM's, GuideLLM's, AIPerf's and genai-perf's benchmarks write.
_MEASURED = {"request_throughput", "output_throughput", "max_concurrency", "benchmarks", "records"}


def no_system(data: dict[str, Any]) -> str:
    """Name a file that describes no system, and the verb that takes it; empty if it is unknown."""
    if data.get("kind") == "learned-curves":
        return (
            "these are learned curves, not a system; isocline curves shows them, and isocline "
            "serve goes on from them with serve: {learn: {file: PATH}} in its system file"
        )
    if data.get("kind") == "fleet":
        return "these are machines to choose from, not a system; isocline fleet takes this file"
    if "command" in data:
        return "this looks like a job, not a system; isocline run takes it"
    if not _MEASURED.isdisjoint(data):
        return (
            "this looks like the result of a benchmark, not a system; isocline curves --from "
            "FILE... makes a curve of such results, and its entry for a system file"
        )
    return ""


@with_arguments()
def notes(system: "RoutingSystem | Cluster") -> list[str]:
    """Return notes on a system for its user, one sentence each; often none."""
    if not isinstance(system, RoutingSystem):
        from isocline.model.systemfile.near_data import cluster_notes  # noqa: PLC0415

        return cluster_notes(system)
    tables = [
        (backend.name, curve)
        for backend in system.backends
        for curve in _parts(backend.curve)
        if isinstance(curve, TableCurve)
    ]
    cut = [(name, what_was_cut(curve)) for name, curve in tables if curve.dropped]
    unmeasured = [(name, said) for name, curve in tables for said in _unmeasured(curve)]
    used = np.bincount(system.graph.sink, minlength=len(system.backends)) > 0
    unused = [
        (backend.name, "no frontend may use it")
        for backend, is_used in zip(system.backends, used, strict=True)
        if not is_used
    ]
    return [*_together([*cut, *unmeasured, *unused]), *_too_large(system)]


def _too_large(system: RoutingSystem) -> Iterable[str]:
    """Notes on models that no backend can hold."""
    sizes = {model.name: model.size for model in system.models}
    pinned = {name: it.size for name in _pinned(system) if (it := model_of(system.models, name))}
    room = [
        math.inf if b.memory is None else b.memory - sum(pinned.get(n, 0.0) for n in b.resident)
        for b in system.backends
    ]
    for name, size in sizes.items():
        if size > max(room, default=math.inf) and name not in pinned:
            yield (
                f"model {name!r}: its size is {size:g}, and no backend has room for more than "
                f"{max(room):g}, so that each request for it costs loads; give a backend more "
                "memory"
            )


def _pinned(system: RoutingSystem) -> set[str]:
    return {name for backend in system.backends for name in backend.resident}


# Names of backends in one note, beyond which they are counted.
_NAMED = 4


def _together(said: list[tuple[str, str]]) -> list[str]:
    """Notes, one for all backends of which the same is said: most fleets are of few kinds."""
    named: dict[str, dict[str, None]] = {}
    for name, note in said:
        named.setdefault(note, {})[name] = None
    return [f"{_backends(list(names))}: {note}" for note, names in named.items()]


def _backends(names: list[str]) -> str:
    return f"backend{'s' if len(names) > 1 else ''} {first_of([repr(it) for it in names], _NAMED)}"


def _parts(curve: Curve) -> Iterable[Curve]:
    return curve.parts if isinstance(curve, PoolCurve) else (curve,)


def what_was_cut(curve: TableCurve) -> str:
    """Describe the points of a table that its curve leaves out."""
    peak = curve.kept[-1][0]
    below = [point for point in curve.dropped if point[0] < peak]
    beyond = [point for point in curve.dropped if point[0] > peak]
    parts = []
    if below:
        kept = f"{_listed(below)} dropped, for the curve runs above to stay concave"
        parts.append(f"{kept}: {_furthest(curve, below)}")
    if beyond:
        parts.append(f"{_listed(beyond)} cut, for the rate no longer grows past N = {peak:g}")
    return "; ".join(parts)


def _furthest(curve: TableCurve, below: list[tuple[float, float]]) -> str:
    """Describe the point that the curve runs furthest above, as a share of its rate."""
    rates = curve.rate([n for n, _ in below]).tolist()
    over = [
        rate / point[1] if point[1] > 0 else math.inf
        for point, rate in zip(below, rates, strict=True)
    ]
    at = over.index(max(over))
    n, measured = below[at]
    share = f", {_percent(over[at] - 1.0)} more" if math.isfinite(over[at]) else ""
    furthest = "furthest " if len(below) > 1 else ""
    return f"{furthest}at N = {n:g}, where it is {rates[at]:.4g} in place of {measured:g}{share}"


def _percent(share: float) -> str:
    return f"{100.0 * share:.2g} %" if share < 1.0 else f"{100.0 * share:.0f} %"


# A rate that grew by more than this from the last point but one is still growing.
_GROWING = 1.05
# A curve that runs more than this above a line between two points rests on its shape alone.
# Points of the usual curves at each fourfold N leave up to 9 %, and before the last one 12 %.
_SHAPED = 0.2
_SAMPLES = 65


def _unmeasured(curve: TableCurve) -> Iterable[str]:
    """Note what a table leaves open, and the assumption made there."""
    workloads = [n for n, _ in curve.points if n > 0]
    first, last = min(workloads), max(workloads)
    if first > 1:
        yield (
            f"nothing was measured below N = {first:g}, so l(1), the speed of a job alone, is "
            f"unknown; {float(curve.rate(1.0)):.3g} is assumed, and mean latencies at few jobs "
            "rest on it: measure N = 1"
        )
    yield from _shaped(curve)
    before = curve.kept[-2][1] if len(curve.kept) > 1 else 0.0
    if last == curve.kept[-1][0] and curve.kept[-1][1] > _GROWING * before:
        yield (
            f"the rate still grew at the last point, N = {last:g}; beyond, it is assumed to stay "
            "at what it is there, so the capacity may be larger: measure higher workloads"
        )


def _shaped(curve: TableCurve) -> Iterable[str]:
    """Note the gap between two points in which the curve runs furthest above a straight line."""
    corners = np.array(curve.kept)
    ends = corners[:, 0]
    at = np.geomspace(ends[:-1], ends[1:], _SAMPLES)  # one column for each gap
    over = curve.rate(at) / np.interp(at, *corners.T) - 1.0
    if not over.size or over.max() <= _SHAPED:
        return
    sample, gap = np.unravel_index(np.argmax(over), over.shape)
    n = at[sample, gap]
    yield (
        f"nothing was measured between N = {ends[gap]:g} and {ends[gap + 1]:g}, and there the "
        f"curve runs up to {_percent(float(over.max()))} above a straight line, to "
        f"{float(curve.rate(n)):.3g} at N = {n:.3g}: measure in between"
    )


def _listed(points: list[tuple[float, float]]) -> str:
    shown = first_of([f"[{n:g}, {rate:g}]" for n, rate in points], 4)
    return f"point{'s' if len(points) > 1 else ''} {shown}"
