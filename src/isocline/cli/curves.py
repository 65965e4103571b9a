"""`isocline curves`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isocline.cli import _options, _output
from isocline.cli._group import WRONG
from isocline.errors import UsageError

if TYPE_CHECKING:
    from isocline.measurements.runs import CurveRuns, Unit

_SHOWN = 3  # of what is left out


@click.command("curves", cls=_options.Verb)
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@_options.option(
    "--from",
    "measured",
    is_flag=True,
    help="Make curves of benchmark results: FILE... are those of vLLM, SGLang, GuideLLM, "
    "AIPerf, InferenceX, Prometheus, CSV or tables of Markdown, or directories of them.",
)
@_options.option(
    "--unit",
    type=click.Choice(["jobs", "tokens"]),
    help="Unit of measured curves: requests/s, or output tokens/s.  [default: jobs where the "
    "results have them]",
    needs="--from",
)
@_options.option(
    "--curve",
    "wanted",
    multiple=True,
    metavar="NAME",
    help="Only this one of several measured curves; may be given several times.",
    needs="--from",
)
@_options.json_option
@_options.out_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    files: tuple[Path, ...],
    measured: bool,
    unit: "Unit | None",
    wanted: tuple[str, ...],
    as_json: bool,
    out: Path | None,
) -> None:
    """Show service curves, or make one of measurements.

    FILE is a system file, or one of learned curves, as `isocline serve` keeps. With --from, the
    FILEs are results of benchmarks at several concurrencies, together one curve for each model and
    machine; it is printed with its entry for a system file. A file of a directory that cannot be
    read is named, the others are read, and the exit status is 2. Tables of Markdown and files of a
    directory that are no results are named, and left out.

    Points that were cut from measured tables are named on stderr, and crossed out in the picture.
    Learned and measured curves come with 95 % intervals; beyond the workloads that were seen
    learned ones are extrapolated, and the table and the picture say so.
    """
    if measured:
        ctx.exit(0 if _measured(files, unit, wanted, as_json, out) else WRONG)
    if len(files) > 1:
        raise UsageError(
            f"{len(files)} files: give one system file, or --from for the results of benchmarks"
        )
    _system(files[0], as_json, out)


def _system(file: Path, as_json: bool, out: Path | None) -> None:
    import numpy as np

    from isocline.gateway.serve.learned_curves import learned_file

    learned = learned_file(file)
    system = learned.as_system() if learned else _output.load_with_notes(file)
    from isocline.report.tables.curves import curves_document, curves_report

    frontends = learned.frontends if learned else []
    known = {one.name: one.known for one in learned.backends} if learned else None
    with np.errstate(all="ignore"):  # of numbers near the ends of doubles the table shows inf
        if as_json:
            _output.show_json(curves_document(system, frontends, known))
        else:
            _output.show(curves_report(system, frontends, known))
    if out:
        from isocline.report.export.files import write_curves

        _output.list_written(write_curves(system, out, known))


def _measured(
    files: Sequence[Path],
    unit: "Unit | None",
    wanted: Sequence[str],
    as_json: bool,
    out: Path | None,
) -> bool:
    """Show and write measured curves; returns whether all files were read."""
    from isocline.measurements.reading import read_benchmarks
    from isocline.measurements.runs import curve_of, curves_of, notes_of, unit_of

    unread: list[UsageError] = []

    def left_out(error: UsageError) -> None:
        unread.append(error)
        click.echo(f"isocline: {error}", err=True)

    unknown: list[UsageError] = []
    found = _chosen(curves_of(read_benchmarks(files, left_out, unknown.append)), wanted)
    for error in unknown[:_SHOWN]:
        click.echo(f"note: left out: {error}", err=True)
    if len(unknown) > _SHOWN:
        click.echo(f"note: left out, too: {len(unknown) - _SHOWN} more", err=True)
    common = unit_of([run for one in found for run in one.runs], unit)
    for one in found:
        for note in notes_of(one):
            click.echo(f"note: {note}", err=True)
    curves = [curve_of(one, common) for one in found]
    from isocline.report.tables.measured import curve_entries, measured_report

    if as_json:
        _output.show_json(
            {"kind": "measured-curves", "curves": [curve.to_dict() for curve in curves]}
        )
    else:
        for curve in curves:
            _output.show(measured_report(curve))
            click.echo()
        click.echo(curve_entries(curves), nl=False)
    if out:
        from isocline.report.export.files import write_measured_curves

        _output.list_written(write_measured_curves(curves, out))
    return not unread


def _chosen(found: "list[CurveRuns]", wanted: Sequence[str]) -> "list[CurveRuns]":
    from isocline.measurements.runs import described

    unknown = [name for name in wanted if name not in {one.name for one in found}]
    if unknown:
        raise UsageError(f"--curve {unknown[0]}: there is none of this name; {described(found)}")
    if not wanted and len(found) > 1:
        click.echo(
            f"note: {len(found)} curves: {described(found)}; --curve NAME shows one", err=True
        )
    return [one for one in found if not wanted or one.name in wanted]
