"""`isocline discover`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from isocline.cli import _options, _output
from isocline.cli._numbers import COUNT

if TYPE_CHECKING:
    from isocline.model.endpoint import Found
    from isocline.model.systemfile.schema import RoutingFile


@click.command("discover", cls=_options.Verb)
@_options.file_argument
@_options.option(
    "--assume",
    type=COUNT,
    metavar="N",
    help="Ask no source: take N backends of each template, as for a plan of another size.",
)
@_options.json_option
def command(file: Path, assume: int | None, as_json: bool) -> None:
    """Print a system file with the backends that there are now.

    Each source is asked once; one that does not answer ends it. The YAML on stdout is what plan,
    simulate, fluid and curves take, also as `-` from a pipe. Backends without a curve get the one
    that was learned of them, where `serve.learn.file` has it; plan needs one for each.

    \b
    isocline discover fleet.yaml > now.yaml
    isocline discover fleet.yaml --assume 20 | isocline plan -
    """  # noqa: D301 - click's mark for "do not rewrap" is the backspace itself
    from isocline.errors import UsageError
    from isocline.model.systemfile.filled import filled, samples, snapshot
    from isocline.model.systemfile.schema import checked
    from isocline.model.systemfile.serving import read_served

    document = read_served(file)
    entries = checked(document)
    if not entries.discover:
        raise UsageError(f"{file}: discovers nothing; plan and simulate take it as it is")
    found = _found(entries, file) if assume is None else samples(entries, assume)
    whole, notes = filled(document, entries, found)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    if not whole.data.get("backends"):
        click.echo("note: no backend was found, and none stands in the file", err=True)
    data = snapshot(whole, _learned(entries, file))
    if as_json:
        _output.show_json(data)
    else:
        from isocline.model.systemfile.document import text_of

        click.echo(text_of(data), nl=False)


def _found(entries: "RoutingFile", file: Path) -> "Found":
    """Ask all sources; raises SourceError for the first that does not answer."""
    from isocline.gateway.discovery.discovery import look_once
    from isocline.gateway.discovery.source import SourceError

    found, problems = look_once(entries.discover, file.parent)
    for name, problem in problems.items():
        raise SourceError(f"discover {name!r}: {problem}")
    return found


def _learned(entries: "RoutingFile", file: Path) -> dict[str, list[list[float]]]:
    """Points of the learned curves, jobs/s, by backend; none where rates are in another unit."""
    learn = entries.serve.learn if entries.serve else None
    if learn is None or learn.file is None:
        return {}
    from isocline.gateway.serve.learned_curves import read_learned

    learned = read_learned(file.parent / learn.file)
    if learned is None or learned.unit != "requests":
        return {}
    return {it.name: [list(point) for point in it.points] for it in learned.backends if it.points}
