"""Input and output of all verbs: system files in, tables and JSON out."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, final

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

    from isocline.model.cluster import Cluster
    from isocline.model.fleet import RoutingSystem


def load_with_notes(file: Path) -> "RoutingSystem":
    """Load a system of kind routing, as `load_any_with_notes` does.

    Raises:
        UsageError: It is of another kind.
    """
    from isocline.errors import UsageError
    from isocline.model.fleet import RoutingSystem

    system = load_any_with_notes(file)
    if not isinstance(system, RoutingSystem):
        raise UsageError(
            f"{file}: is of kind near-data; this verb needs kind: routing "
            "(plan and simulate take both)"
        )
    return system


def load_any_with_notes(file: Path) -> "RoutingSystem | Cluster":
    """Load a system; notes on what loading did to it go to stderr."""
    from isocline.model.systemfile import load, notes

    system: RoutingSystem | Cluster = load(file)
    for note in notes(system):
        click.echo(f"note: {note}", err=True)
    return system


@contextmanager
def blaming(file: Path) -> Iterator[None]:
    """Name the line of a file in an error that only a plan or a simulation finds in its system.

    Raises:
        SystemFileError: In place of an error of a part of the system.
    """
    from isocline.errors import IsoclineError, SystemFileError

    try:
        yield
    except SystemFileError:
        raise
    except IsoclineError as error:
        from isocline.model.systemfile.document import STDIN, read

        if not error.field or file == STDIN:  # which cannot be read again
            raise
        document = read(file)
        whole, name = (*error.field, "")[:2]
        problem, noun = str(error), str(whole).removesuffix("s")
        for known in (f"{noun} {name!r}: ", f"{noun} {name}: ", f"{whole}: "):
            problem = problem.removeprefix(known)  # as the place says it
        document.fail(document.positions(error.field), problem)


def note_patience(system: "RoutingSystem") -> None:
    """Note on stderr that a result leaves out the patience that the file gives jobs."""
    if system.patience is not None:
        click.echo(
            "note: patience is not taken into account: here all jobs stay until they are served; "
            "`isocline simulate` has jobs that give up",
            err=True,
        )


def note_ways(system: "RoutingSystem", *, counted: bool = True) -> None:
    """Note on stderr that a result leaves out ways, as only a router measures them.

    Where a verb counts no ways at all, not `counted`, it says so of given ones.
    """
    if not counted and system.ways.size:
        click.echo(
            "note: distances of zones are not taken into account: here all backends are as near; "
            "`isocline plan` and `isocline simulate` count them",
            err=True,
        )
    if system.distances is None:
        click.echo(
            "note: serve.distance is measured by a running router; here all backends are as near. "
            "To count ways, give them as distance: {zone: SECONDS, region: SECONDS}: the metric "
            "isocline_backend_distance_seconds has them",
            err=True,
        )


def show(record: "RenderableType") -> None:
    """Print a table on stdout, as wide as the terminal, or 120 columns into a file or pipe."""
    from rich.console import Console

    @final
    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich would exit with 1, which says something else here

    # Names come from files: brackets and colons in them are not markup.
    width = None if sys.stdout.isatty() else 120
    Plain(width=width, markup=False, highlight=False, emoji=False).print(record)


def encodes_all(stream: TextIO) -> bool:
    """Whether a stream can write any character."""
    return stream.encoding.lower().replace("-", "") in ("utf8", "utf16", "utf32")


def require_another(option: str, output: Path | None, file: Path) -> None:
    """Refuse to write to the file that is read; raises UsageError."""
    from isocline.errors import UsageError

    if output is not None and output.exists() and file.exists() and output.samefile(file):
        raise UsageError(f"{option} {output}: this is FILE itself; give another path")


def show_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document on stdout; numbers that are not finite become null."""
    from isocline.json_text import json_text

    text = json_text(document, ascii_only=not encodes_all(sys.stdout))
    # A lone surrogate, as of a file name that is no UTF-8, becomes JSON's own escape for it.
    click.echo(text.encode("utf-8", "backslashreplace").decode())


def list_written(paths: Iterable[Path]) -> None:
    """List on stderr the files that were written."""
    for path in paths:
        tell(f"wrote {path}", "file.written", path=str(path))


def tell(text: str, name: str, *, failed: bool = False, **fields: Any) -> None:
    """Say something on stderr: as it is, or as an event of the JSON log where that was asked for.

    Args:
        text: The sentence; `isocline: ` before it is left out of the log.
        name: Name of the event.
        failed: Whether it is an error.
        fields: Fields of the event.
    """
    from isocline.structured_log import log_event, logs_json

    if not logs_json():
        click.echo(text, err=True)
        return
    import logging

    level = logging.ERROR if failed else logging.INFO
    log_event(text.removeprefix("isocline: "), name, level, **fields)
