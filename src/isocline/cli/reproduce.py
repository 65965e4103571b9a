"""`isocline reproduce`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from isocline.cli import _engines, _options, _output

if TYPE_CHECKING:
    from isocline.model.traffic import Trace
    from isocline.report.reproduce import Figures, Reproduction

F = TypeVar("F", bound=Callable[..., Any])


def figure_options(out: str) -> Callable[[F], F]:
    """Add the arguments of `make_figure` to a command that writes to the directory `out`."""

    def with_options(function: F) -> F:
        options: list[Callable[[F], F]] = [
            click.argument("name", required=False),
            _options.option(
                "--out",
                metavar="DIR",
                type=click.Path(path_type=Path),
                default=Path(out),
                show_default=True,
                help="Write NAME.png, .svg and .csv to this directory.",
                needs="NAME",
            ),
            partial(_options.dark_option, needs="NAME"),
            _options.option(
                "--quick",
                is_flag=True,
                help="Seconds instead of minutes; wider intervals.",
                needs="NAME",
            ),
            _options.option(
                "--trace",
                "traces",
                metavar="FILE",
                multiple=True,
                type=click.Path(path_type=Path),
                help="Replay this trace, too, in figures that replay traces; repeatable.",
                needs="NAME",
            ),
            partial(_options.seed_option, needs="NAME"),
            _engines.engine_options(_options.OTHERS, needs="NAME"),
            _options.json_option,
        ]
        for option in reversed(options):
            function = option(function)
        return function

    return with_options


@click.command("reproduce", cls=_options.Verb)
@figure_options("reproduced")
def command(**given: Any) -> None:
    """Reproduce a figure of the papers.

    Prints each of the paper's claims beside what was measured. Without NAME it lists the figures.
    """
    from isocline.report.reproduce import PAPERS

    make_figure(PAPERS, **given)


def make_figure(
    figures: "Figures",
    name: str | None,
    out: Path,
    quick: bool,
    traces: tuple[Path, ...],
    seed: int,
    as_json: bool,
) -> None:
    """Make, print and write one figure; without a name, list all."""
    if name is None:
        _list(figures, out, as_json)
        return
    figures.require(name)  # an unknown name leaves no directory behind
    if traces:
        figures.require_replay(name)
    replayed = _read(traces)
    _options.ready(out)
    with _waiting(name):
        made = figures.make(name, quick=quick, seed=seed, traces=replayed)
    _show(name, made, out, as_json)


def _read(files: tuple[Path, ...]) -> "list[Trace]":
    if not files:
        return []
    from isocline.model.traffic import read_trace

    return [read_trace(file) for file in files]


def _show(name: str, made: "Reproduction", out: Path, as_json: bool) -> None:
    from isocline.report.export.files import write_reproduction
    from isocline.report.reproduce.claims_table import reproduction_report

    files = write_reproduction(name, made, out)
    if as_json:
        document: dict[str, Any] = {"figure": name} | made.to_dict()
        _output.show_json(document | {"files": [str(path) for path in files]})
    else:
        _output.show(reproduction_report(name, made))
    _output.list_written(files)


def _list(figures: "Figures", out: Path, as_json: bool) -> None:
    from isocline.report.reproduce.claims_table import figures_report

    if as_json:
        rows = [{"name": name, "summary": text} for name, text in figures.summaries.items()]
        _output.show_json({"figures": rows})
    else:
        _output.show(figures_report(figures, out))


@contextmanager
def _waiting(name: str) -> Iterator[None]:
    """Spinner on stderr, removed when done; none if stderr is no terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(f"reproducing {name}"):
        yield
