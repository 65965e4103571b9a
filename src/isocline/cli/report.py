"""`isocline report`."""

import os
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from errno import EACCES, EISDIR, ENOTDIR
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isocline.cli import _options, _output
from isocline.cli._imports import uncollected
from isocline.cli._numbers import SECONDS, Number, shares
from isocline.cli._options import group
from isocline.cli._waiting import waiting
from isocline.errors import UsageError
from isocline.replaced_file import replace_text

if TYPE_CHECKING:
    from isocline.report.pages.findings import Effort
    from isocline.report.pages.frame import Origin

SIMULATIONS = "Simulations, of a system file"
_SIMULATIONS = group(SIMULATIONS)


@click.command("report", cls=_options.Verb)
@_options.file_argument
@group(_options.OUTPUT)(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    metavar="PATH",
    help="The page.",
)
@_SIMULATIONS(
    "--policy",
    "policies",
    multiple=True,
    metavar="P",
    help="A policy to simulate; repeat for more. Others are compared with the first.",
)
@_SIMULATIONS(
    "--load",
    metavar="L,...",
    help="Loads to simulate beside that of the file, as shares of the capacity.  "
    "[default: 0.3,0.5,0.7,0.8,0.9,0.95, or 0.5,0.9 with --quick]",
)
@_SIMULATIONS(
    "--replications",
    type=Number("10", least=2, whole=True),
    metavar="R",
    help="Independent runs of each policy.  [default: 10, or 3 with --quick]",
)
@_SIMULATIONS(
    "--seconds",
    type=SECONDS,
    metavar="T",
    help="Time for the simulations: what is finished by then is reported.  "
    "[default: 40, or 10 with --quick]",
)
@_SIMULATIONS("--quick", is_flag=True, help="Fewer loads and replications: an eighth of the work.")
@partial(_options.seed_option, heading=SIMULATIONS)
@_options.json_option
def command(
    file: Path, output: Path, as_json: bool, load: str | None, quick: bool, **given: Any
) -> None:
    """Write a report: one HTML page, for screens and for paper.

    FILE is a system file, or a run: the directory of `isocline run --out`, its run.json, or a
    journal. Of a system whose load cannot be served the page says what is served of it. With
    --json the records behind the page are printed, too.

    \b
    isocline report examples/mixed_fleet.yaml -o report.html
    """  # noqa: D301 - click's mark for "do not rewrap" is the backspace itself
    import isocline.report.plots.theme  # noqa: F401 - says at once what to install for pictures

    chosen = shares(load)
    _output.require_another("--output", output, file)
    _require_writable(output)
    with uncollected():
        from isocline.dispatch.batch.recorded import is_record

    if is_record(file):
        _refuse_simulations(file)
        page, document = _of_run(file, _origin(file, output))
    else:
        from isocline.report.pages.findings import FULL, QUICK

        usual = QUICK if quick else FULL
        page, document = _of_system(file, output, _effort(usual, tuple(chosen), given))
    _write(output, page)
    if as_json:
        _output.show_json(document)
    _output.list_written([output])


def _effort(usual: "Effort", loads: tuple[float, ...], given: dict[str, Any]) -> "Effort":
    from dataclasses import replace

    named = {
        "loads": loads or None,
        "policies": given["policies"] or None,
        "replications": given["replications"],
        "seconds": given["seconds"],
        "seed": given["seed"],
    }
    return replace(usual, **{name: it for name, it in named.items() if it is not None})


def _of_system(file: Path, output: Path, effort: "Effort") -> tuple[str, dict[str, Any]]:
    from isocline.model.fleet import RoutingSystem
    from isocline.model.systemfile import notes
    from isocline.report.pages.findings import cluster_findings, routing_findings
    from isocline.report.pages.near_data import near_data_page
    from isocline.report.pages.routing import routing_page

    system = _output.load_any_with_notes(file)
    said = list(notes(system))
    if isinstance(system, RoutingSystem) and system.patience is not None:
        said.append(
            "Plan and fluid leave out the patience that the file gives jobs; simulations have it."
        )
    origin = _origin(file, output, said)
    with waiting("reporting") as line:

        def progress(what: str) -> None:
            line.reached = what

        if isinstance(system, RoutingSystem):
            found = routing_findings(system, effort, progress)
            progress("drawing")
            return routing_page(found, origin), found.to_dict()
        known = cluster_findings(system, effort, progress)
        progress("drawing")
        return near_data_page(known, origin), known.to_dict()


def _of_run(file: Path, origin: "Origin") -> tuple[str, dict[str, Any]]:
    from isocline.dispatch.batch.recorded import read_run
    from isocline.report.pages.run import run_page

    run = read_run(file)
    return run_page(run, origin), run.result.to_dict()


def _refuse_simulations(file: Path) -> None:
    """Raise UsageError for options of simulations: a run has none."""
    ctx = click.get_current_context()
    for name in ("policies", "load", "replications", "seconds", "quick", "seed"):
        if _options.is_given(ctx, name):
            (option,) = (it for it in ctx.command.params if it.name == name)
            raise _options.refusal(option.opts[0], f"to a run, which {file} is", "leave it out")


def _origin(file: Path, output: Path, said: Sequence[str] = ()) -> "Origin":
    """Where a page comes from, with the command that makes it again."""
    from isocline.report.pages.frame import Origin

    ctx = click.get_current_context()
    words = ["isocline", "report", str(file), "-o", str(output)]
    for option in ctx.command.params:
        if isinstance(option, _options.Option) and option.group == SIMULATIONS:
            value = ctx.params[str(option.name)]
            if value is True:
                words.append(option.opts[0])
            elif _options.is_given(ctx, str(option.name)):
                for one in value if isinstance(value, tuple) else (value,):
                    words += [option.opts[0], f"{one:g}" if isinstance(one, float) else str(one)]
    now = datetime.now(UTC)
    date = f"{now.day} {now:%B %Y, %H:%M} UTC"
    return Origin(str(file), version("isocline"), date, shlex.join(words), said)


def _require_writable(output: Path) -> None:
    """Raise UsageError at once: a minute of work must not end in "permission denied"."""
    there = output if output.exists() else _existing(output.absolute().parent)
    wrong = EISDIR if output.is_dir() else None
    if there != output and not there.is_dir():
        wrong = ENOTDIR
    elif wrong is None and not os.access(there, os.W_OK):
        wrong = EACCES
    if wrong is not None:
        raise UsageError(f"--output {output}: {os.strerror(wrong)}; give a file to write to")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above that exists."""
    return next(it for it in (folder, *folder.parents) if it.exists())


def _write(output: Path, page: str) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        replace_text(output, page)
    except OSError as error:
        raise UsageError(
            f"--output {output}: {error.strerror}; make room, and run again"
        ) from error
