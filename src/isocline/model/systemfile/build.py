"""Builder of a `RoutingSystem` from checked entries: names, patterns, and the model's checks."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import cast

from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import BLOCK_SIZE, Backend, Frontend, RoutingSystem, Work
from isocline.model.graph import CompatibilityGraph
from isocline.model.replay import with_trace
from isocline.model.residency import Model, require_residency
from isocline.model.systemfile import names
from isocline.model.systemfile.backend_schema import BackendEntry
from isocline.model.systemfile.document import Document
from isocline.model.systemfile.problems import choice
from isocline.model.systemfile.schema import FrontendEntry, ModelEntry, RoutingFile
from isocline.model.traffic import ExponentialSizes, Patience, PoissonArrivals

# Stand-ins for values that are not given; `isocline serve`, which allows them, does not use them.
UNKNOWN_CURVE = HyperbolicCurve(1.0, 32.0)  # jobs/s
UNKNOWN_ARRIVALS = PoissonArrivals(1.0)  # jobs/s


def build(document: Document, file: RoutingFile) -> RoutingSystem:
    """Build the system that a file describes.

    Raises:
        SystemFileError: Duplicate names, a pattern without match, a curve, sizes or arrivals that
            the model refuses, a trace that cannot be read, a backend without a curve, a frontend
            without arrivals, backends that are discovered.
    """
    if file.discover:
        document.fail(
            ("discover",),
            "its backends are only found while isocline serve runs; isocline discover "
            f"{document.path} prints the system with those that there are now, or with "
            "--assume N with N of each template: give that file",
        )
    without = [f.rate is None and f.arrivals is None for f in file.frontends]
    # A trace says how often requests come; where all frontends leave it to the trace, they share
    # alike what it does not send to one of them.
    by_trace = file.trace is not None and all(without)
    for f, missing in enumerate(without):
        if missing and not by_trace:
            document.fail(
                ("frontends", f),
                "neither of rate and arrivals is given; give one, as rate: 12.0",
            )
    for b, backend in enumerate(file.backends):
        if backend.curve is None:
            document.fail(
                ("backends", b, "curve"),
                "is missing; add it, as curve: {type: hyperbolic, peak: 40.0, half: 12.0} "
                "(isocline serve learns it from traffic, and isocline curves FILE shows what it "
                "learned)",
            )
    system = assemble(document, file)
    if system.models:
        with document.blaming_named():
            _ = system.model_shares  # of models whose number is known
    if file.trace is None:
        return system
    with document.blaming("trace"):
        trace = file.trace.read(document.path.parent)
        return replace(with_trace(system, trace), trace=trace)


def assemble(document: Document, file: RoutingFile) -> RoutingSystem:
    """Build the system with stand-ins for curves and arrivals that are not given.

    Where backends are discovered, a frontend may have none, and a pattern match none.

    Raises:
        SystemFileError: As `build`, but for what is not given.
    """
    backends = names.numbered(document, "backends", file.backends)
    names.numbered(document, "frontends", file.frontends)
    matches = cache(partial(names.matches, backends))  # frontends tend to share patterns
    neighbours = [
        _neighbours(document, f, entry, backends, matches, may_come=bool(file.discover))
        for f, entry in enumerate(file.frontends)
    ]
    with document.blaming("sizes"):
        sizes = file.sizes.make() if file.sizes else ExponentialSizes()
    caches, gives_up = file.prefix_cache, file.patience
    patience = Patience(gives_up.make(), gives_up.mean, gives_up.until) if gives_up else None
    frontends = tuple(_frontend(document, f, entry) for f, entry in enumerate(file.frontends))
    models = tuple(_model(document, m, entry) for m, entry in enumerate(file.models))
    held = tuple(
        _backend(document, b, entry, caches.tokens if caches else None)
        for b, entry in enumerate(file.backends)
    )
    with document.blaming_named():
        require_residency(models, held)
    with document.blaming("frontends"):  # all else is checked by now
        return RoutingSystem(
            frontends=frontends,
            backends=held,
            graph=CompatibilityGraph.from_neighbours(
                len(backends), neighbours, isolated=bool(file.discover)
            ),
            work=file.work.make() if file.work else Work(),
            sizes=sizes,
            name=file.name or document.name,
            patience=patience,
            block_size=caches.block_size if caches else BLOCK_SIZE,
            models=models,
            distances=_distances(file),
        )


def _distances(file: RoutingFile) -> tuple[float, float] | None:
    """Distances of another zone and region, s; None where a router measures the ways.

    Those in the file are then the price of money alone.
    """
    given = file.serve and file.serve.distance
    if not given:
        return 0.0, 0.0
    return None if given.measured else (given.zone, given.to_region)


def _neighbours(
    document: Document,
    f: int,
    entry: FrontendEntry,
    backends: dict[str, int],
    matches: Callable[[str], list[int]],
    *,
    may_come: bool,
) -> list[int]:
    """Return the numbers of the backends that a frontend names, each once.

    With `may_come` a pattern may match none so far.
    """
    # Names, as the entries of large files have them, are found at once.
    named = [backends.get(pattern) for pattern in entry.backends]
    if None not in named:
        return list(dict.fromkeys(cast("list[int]", named)))
    found: dict[int, None] = {}
    for i, pattern in enumerate(entry.backends):
        numbers = matches(pattern)
        if not numbers and not may_come:
            problem = f"{pattern!r} matches no backend; {choice(pattern, backends)}"
            document.fail(("frontends", f, "backends", i), problem)
        found.update(dict.fromkeys(numbers))
    return list(found)


def _backend(document: Document, b: int, entry: BackendEntry, cached: int | None) -> Backend:
    """Build a backend; `cached` are the tokens in its prefix cache where its entry has none."""
    if entry.prefix_cache is not None:
        cached = entry.prefix_cache.tokens
    with document.blaming("backends", b, "curve"):
        curve = entry.curve.make() if entry.curve else UNKNOWN_CURVE
        return Backend(
            entry.name,
            curve,
            entry.url,
            cached,
            entry.memory,
            tuple(entry.resident),
            entry.zone,
        )


def _model(document: Document, m: int, entry: ModelEntry) -> Model:
    with document.blaming("models", m):
        return entry.make()


def _frontend(document: Document, f: int, entry: FrontendEntry) -> Frontend:
    with document.blaming("frontends", f, "arrivals"):
        arrivals = entry.make(document.path.parent) or UNKNOWN_ARRIVALS
        return Frontend(
            entry.name,
            arrivals,
            entry.match.model,
            entry.prefix,
            tuple(entry.models.items()),
            entry.zone,
        )
