"""Common parts of all verbs: their arguments, where they print, and how."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

    from isocline.model.cluster import Cluster
    from isocline.model.fleet import RoutingSystem

F = TypeVar("F", bound=Callable[..., Any])


def file_argument(function: F) -> F:
    """FILE, a system file."""
    return click.argument("file", type=click.Path(path_type=Path))(function)


def json_option(function: F) -> F:
    """`--json`, as the argument `as_json`."""
    help_text = "Print one JSON document instead of tables."
    return click.option("--json", "as_json", is_flag=True, help=help_text)(function)


def out_option(function: F) -> F:
    """`--out DIR`, as the argument `out`, and `--dark` for its pictures."""
    help_text = "Also write pictures (PNG, SVG) and their data (CSV) to this directory."
    kind = click.Path(path_type=Path)
    option = click.option("--out", metavar="DIR", type=kind, help=help_text, callback=_ready)
    return option(dark_option(function))


def dark_option(function: F) -> F:
    """`--dark`, in force while the verb runs; no argument."""
    help_text = "Draw pictures for dark slides and pages."
    option = click.option(
        "--dark", is_flag=True, expose_value=False, help=help_text, callback=_darken
    )
    return option(function)


def load_and_say(file: Path) -> "RoutingSystem":
    """Load a system of kind routing, as `load_any_and_say` does.

    Raises:
        UsageError: It is of another kind.
    """
    from isocline.errors import UsageError
    from isocline.model.fleet import RoutingSystem

    system = load_any_and_say(file)
    if not isinstance(system, RoutingSystem):
        raise UsageError(
            f"{file}: is of kind near-data; this verb needs kind: routing "
            "(plan and simulate take both)"
        )
    return system


def load_any_and_say(file: Path) -> "RoutingSystem | Cluster":
    """Load a system; what was done to it on the way goes to stderr."""
    from isocline.model.systemfile import load, notes

    system: RoutingSystem | Cluster = load(file)
    for note in notes(system):
        click.echo(f"note: {note}", err=True)
    return system


def say_without_patience(system: "RoutingSystem") -> None:
    """Say on stderr that a result takes jobs to stay, where the file says that they give up."""
    if system.patience is not None:
        click.echo(
            "note: patience is not taken into account: here all jobs stay until they are served; "
            "`isocline simulate` has jobs that give up",
            err=True,
        )


def show(record: "RenderableType") -> None:
    """Print a table on stdout, as wide as the terminal, or 120 columns into a file or pipe."""
    import sys

    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich would exit with 1, which says something else here

    # Names come from files: brackets and colons in them are not markup.
    width = None if sys.stdout.isatty() else 120
    Plain(width=width, markup=False, highlight=False, emoji=False).print(record)


def show_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document on stdout; what is not a finite number becomes null."""
    from isocline.record import finite

    text = json.dumps(finite(document), indent=2, allow_nan=False, ensure_ascii=False)
    # A lone surrogate, as of a file name that is no UTF-8, becomes JSON's own escape for it.
    click.echo(text.encode("utf-8", "backslashreplace").decode())


def say_written(paths: Iterable[Path]) -> None:
    """Tell on stderr which files were written."""
    for path in paths:
        click.echo(f"wrote {path}", err=True)


def _darken(ctx: click.Context, parameter: click.Parameter, dark: bool) -> None:  # noqa: ARG001
    """Pictures are dark where matplotlib's active style is."""
    if dark and not ctx.resilient_parsing:
        matplotlib_or_say("--dark")
        from matplotlib import style

        ctx.with_resource(style.context("dark_background"))


def _ready(ctx: click.Context, parameter: click.Parameter, out: Path | None) -> Path | None:  # noqa: ARG001
    return None if out is None else ready(out)


def ready(out: Path) -> Path:
    """Make the directory at once: a long run must not end in "permission denied".

    Raises:
        MissingExtraError: matplotlib is not installed.
        UsageError: The directory cannot be made.
    """
    from isocline.errors import UsageError

    matplotlib_or_say("--out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror}; give a directory to write to") from error
    return out


def matplotlib_or_say(option: str) -> None:
    """Raise MissingExtraError at once where the pictures of `option` cannot be drawn."""
    from importlib.util import find_spec

    from isocline.errors import MissingExtraError

    if find_spec("matplotlib") is None:
        raise MissingExtraError(
            f"{option} is for pictures, which need matplotlib: pip install 'isocline[plot]', or "
            "leave it out"
        )
