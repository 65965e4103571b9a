"""System files as `isocline serve` reads them."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import final

from isocline.model.fleet import RoutingSystem
from isocline.model.systemfile.build import assemble
from isocline.model.systemfile.document import Document, read
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
    """

    document: Document
    entries: RoutingFile
    system: RoutingSystem

    @property
    def serve(self) -> ServeEntry:
        """The key `serve`."""
        return self.entries.serve or ServeEntry()

    @property
    def knows_curves(self) -> bool:
        """Whether each backend has a curve."""
        return all(backend.curve is not None for backend in self.entries.backends)

    @property
    def knows_rates(self) -> bool:
        """Whether each frontend has its arrivals."""
        return all(f.rate is not None or f.arrivals for f in self.entries.frontends)


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


def load_served(path: str | os.PathLike[str]) -> Served:
    """Read a system file of kind routing whose backends have a url each.

    Raises:
        SystemFileError: It cannot be used; the message names file, line, field, value and remedy.
    """
    document = read(Path(path), where_empty=_WANTED)
    kind = document.data.get("kind")
    if kind != "routing":
        document.fail(("kind",), _not_served(document))
    entries = checked(document)
    for b, backend in enumerate(entries.backends):
        if backend.url is None:
            document.fail(
                ("backends", b, "url"), 'is missing; to serve, add url: "http://HOST:PORT"'
            )
    return Served(document, entries, assemble(document, entries))
