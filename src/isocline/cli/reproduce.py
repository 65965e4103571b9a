"""`isocline reproduce`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isocline.cli import _output
from isocline.cli._numbers import SEED

if TYPE_CHECKING:
    from isocline.report.reproduce import Reproduction


@click.command("reproduce")
@click.argument("name", required=False)
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=Path("reproduced"),
    show_default=True,
    help="Write NAME.png, .svg and .csv to this directory.",
)
@_output.dark_option
@click.option("--quick", is_flag=True, help="Seconds instead of minutes; wider intervals.")
@click.option("--seed", type=SEED, default=0, show_default=True, metavar="S")
@_output.json_option
def command(name: str | None, out: Path, quick: bool, seed: int, as_json: bool) -> None:
    """Make a figure of the papers again.

    Prints each of the paper's claims beside what was measured. Without NAME it lists the figures.
    """
    from isocline.report.reproduce import entry, reproduce

    if name is None:
        _list(as_json)
        return
    entry(name)  # an unknown name leaves no directory behind
    _output.ready(out)
    with _waiting(name):
        made = reproduce(name, quick=quick, seed=seed)
    _show(name, made, out, as_json)


def _show(name: str, made: "Reproduction", out: Path, as_json: bool) -> None:
    from isocline.report.export.files import write_reproduction
    from isocline.report.reproduce.claims_table import reproduction_report

    files = write_reproduction(name, made, out)
    if as_json:
        document: dict[str, Any] = {"figure": name} | made.to_dict()
        _output.show_json(document | {"files": [str(path) for path in files]})
    else:
        _output.show(reproduction_report(name, made))
    _output.say_written(files)


def _list(as_json: bool) -> None:
    from isocline.report.reproduce import FIGURES
    from isocline.report.reproduce.claims_table import figures_report

    if as_json:
        rows = [{"name": name, "summary": entry.summary} for name, entry in FIGURES.items()]
        _output.show_json({"figures": rows})
    else:
        _output.show(figures_report(FIGURES))


@contextmanager
def _waiting(name: str) -> Iterator[None]:
    """A turning mark on stderr, gone when done; nothing where nobody watches."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(f"reproducing {name}"):
        yield
