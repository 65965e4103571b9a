"""`isocline fluid`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isocline.cli import _changes, _options, _output
from isocline.cli._numbers import COUNT, SECONDS, Number
from isocline.cli._waiting import waiting
from isocline.errors import InfeasibleError
from isocline.plural import counted

if TYPE_CHECKING:
    from collections.abc import Collection


@click.command("fluid", cls=_options.Verb)
@_options.file_argument
@_options.option(
    "--start", metavar="B=N,...", help="Jobs at backends at the start; others are empty."
)
@_options.option(
    "--horizon", type=SECONDS, metavar="T", help="Time to follow, s.  [default: until at rest]"
)
@_options.option("--step", type=SECONDS, metavar="H", help="Time between the states reported, s.")
@_options.option(
    "--tolerance",
    type=Number("0.001", above=0.0),
    default=1e-3,
    show_default=True,
    help="Bound on the error of all workloads together, relative to the jobs in the system.",
)
@_options.option(
    "--policy",
    type=click.Choice(["gmsr", "gmsr_secant"]),
    default="gmsr",
    show_default=True,
    help="By whose price frontends send; those of gmsr_secant have seen nothing at the start.",
)
@_options.option(
    "--budget",
    type=COUNT,
    default=100_000,
    show_default=True,
    metavar="N",
    help="Most level flows to solve; a step takes about 6, and small systems solve 1000 a second.",
)
@_changes.then_option(_options.OTHERS)
@_options.json_option
@_options.out_option
def command(
    file: Path,
    start: str | None,
    changes: tuple[str, ...],
    as_json: bool,
    out: Path | None,
    **options: Any,
) -> None:
    """Follow the fluid model in time: workloads, split, tiers, V.

    \b
    isocline fluid examples/n_model.yaml --start b1=5 --horizon 50
    """  # noqa: D301 - click's mark for "do not rewrap" is the backspace itself
    system = _output.load_with_notes(file)
    _output.note_patience(system)
    _output.note_ways(system, counted=False)
    later = _changes.changes(changes, file, system)
    from isocline.theory.routing.inclusion import fluid

    names = [b.name for one in (system, *(other for _, other in later)) for b in one.backends]
    options |= {"start": _start(start, names), "changes": later}
    with waiting("following the fluid") as line:

        def progress(now: float, steps: int, speed: float) -> None:
            line.reached = f"at {now:.4g} s after {counted(steps, 'step')}, V = {speed:.3g}"

        try:
            path = fluid(system, progress=progress, **options)
        except InfeasibleError:
            line.close()
            click.echo(
                "note: the system never comes to rest; give --horizon T to see it grow", err=True
            )
            raise
    if as_json:
        _output.show_json(path.to_dict())
    else:
        from isocline.report.tables.fluid import fluid_report

        _output.show(fluid_report(path, system.name))
    if out:
        from isocline.report.export.files import write_fluid

        _output.list_written(write_fluid(path, out))


def _start(text: str | None, names: "Collection[str]") -> dict[str, float]:
    """From `b1=5,b2=0`; a name that is known may hold commas and equals signs."""
    found: dict[str, float] = {}
    rest = (text or "").strip()
    while rest:
        known = [name for name in names if rest.startswith(f"{name}=")]
        name = max(known, key=len) if known else rest.partition(",")[0].rpartition("=")[0].strip()
        jobs, _, after = rest[len(name) :].lstrip().removeprefix("=").partition(",")
        try:
            if not name or name in found:
                raise ValueError
            found[name] = float(jobs)
        except ValueError:
            item = rest.removesuffix(f",{after}") if after else rest
            raise click.BadParameter(
                f"{item!r}: give each backend once, as in b1=5,b2=0", param_hint="--start"
            ) from None
        rest = after.strip()
    return found
