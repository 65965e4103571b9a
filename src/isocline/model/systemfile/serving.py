"""System files as `isocline serve` reads them."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import final

from isocline.model.endpoint import Found
from isocline.model.fleet import RoutingSystem
from isocline.model.systemfile.build import assemble
from isocline.model.systemfile.document import Document, read
from isocline.model.systemfile.filled import filled
from isocline.model.systemfile.load import no_system
from isocline.model.systemfile.schema import RoutingFile, checked
from isocline.model.systemfile.serving_schema import ServeEntry


@final
@dataclass(frozen=True)
class Served:
    """System to serve.

    Attributes:
        document: The file; its `blaming` adds the line to errors of other layers.
        entries: Checked entries of the file; backends and frontends are numbered as in `system`.
        system: Model, with stand-ins where a curve or arrivals are not given.
        notes: Endpoints that were found and are no backends, and why.
    """

    document: Document
    entries: RoutingFile
    system: RoutingSystem
    notes: tuple[str, ...] = ()

    @cached_property
    def serve(self) -> ServeEntry:
        """The key `serve`."""
        return self.entries.serve or ServeEntry()

    @property
    def knows_curves(self) -> bool:
        """Whether each backend has a curve."""
        return all(backend.curve is not None for backend in self.entries.backends)

    @property
    def unplanned(self) -> str:
        """Rate or curve that is missing for a plan, and the remedy; empty if none is."""
        for backend in self.entries.backends:
            if backend.curve is None:
                return f"backend {backend.name!r} has no curve; give each backend one"
        for frontend in self.entries.frontends:
            if frontend.rate is None and frontend.arrivals is None:
                return f"frontend {frontend.name!r} has no rate; give each frontend one"
        return ""


_WANTED = (
    "isocline serve takes a system with a url for each backend (isocline plan and simulate take "
    "systems without, isocline run takes jobs); begin with: kind: routing"
)


def _not_served(document: Document) -> str:
    """Problem of a file whose kind cannot be served, and the verb that takes it."""
    kind = document.data.get("kind")
    found = "is missing" if kind is None else f"is {kind!r}; only kind: routing can be served"
    if kind == "near-data":
        return f"{found}; isocline plan and simulate take this file"
    return f"{found}; {no_system(document.data) or 'give kind: routing'}"


def load_served(path: str | os.PathLike[str], found: Found | None = None) -> Served:
    """Read a system file of kind routing whose backends have a url each, see `served`.

    Raises:
        SystemFileError: It cannot be used; the message names file, line, field, value and remedy.
    """
    return served(read_served(path), found)


def read_served(path: str | os.PathLike[str]) -> Document:
    """Read a file of kind routing.

    Raises:
        SystemFileError: It cannot be read, or is of another kind.
    """
    document = read(Path(path), where_empty=_WANTED)
    kind = document.data.get("kind")
    if kind != "routing":
        document.fail(("kind",), _not_served(document))
    return document


def served(document: Document, found: Found | None = None) -> Served:
    """Return what a document serves; where it discovers backends, those of `found` are added.

    Raises:
        SystemFileError: It cannot be used.
    """
    entries = checked(document)
    notes: tuple[str, ...] = ()
    if entries.discover:
        document, notes = filled(document, entries, found or {})
        entries = checked(document)
    for b, backend in enumerate(entries.backends):
        if backend.url is None:
            document.fail(
                ("backends", b, "url"), 'is missing; to serve, add url: "http://HOST:PORT"'
            )
    return Served(document, entries, assemble(document, entries), notes)
