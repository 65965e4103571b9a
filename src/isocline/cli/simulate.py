"""`isocline simulate`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isocline.cli import _output

if TYPE_CHECKING:
    from isocline.model.traffic import Trace
    from isocline.simulate.replications import Progress

BURSTY = "bursty"


@click.command("simulate")
@_output.file_argument
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="P",
    help="A policy: name, name:key=value,..., or package.module:function; repeat for more. "
    "Others are compared with the first. `isocline policies` lists them.",
)
@click.option("--trace", metavar="FILE", help=f"Replay these requests; {BURSTY!r} makes some up.")
@click.option(
    "--trace-format",
    type=click.Choice(["auto", "azure", "mooncake"]),
    default="auto",
    help="How the trace is written.",
)
@click.option("--time-scale", type=float, default=1.0, help="Arrivals this many times as fast.")
@click.option("--load", metavar="L,...", help="Scale arrivals to these shares of the capacity.")
@click.option("--horizon", type=float, metavar="T", help="Length of a replication, s.")
@click.option("--warmup", type=float, metavar="W", help="What to discard, s; else by MSER-5.")
@click.option("--replications", type=int, default=10, show_default=True, metavar="R")
@click.option("--precision", type=float, help="Replicate until intervals are this narrow (0.01).")
@click.option("--seed", type=int, default=0, show_default=True, metavar="S")
@click.option("--start", type=click.Choice(["empty", "fluid"]), default="empty", show_default=True)
@click.option("--discipline", type=click.Choice(["ps", "fcfs"]), default="ps", show_default=True)
@click.option("--clock", type=click.Choice(["continuous"]), default="continuous", hidden=True)
@click.option("--means-only", is_flag=True, help="No percentiles; about twice as fast.")
@click.option("--threads", type=int, help="Default: one per core; results do not depend on it.")
@_output.json_option
@_output.out_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    file: Path,
    policies: tuple[str, ...],
    trace: str | None,
    trace_format: str,
    load: str | None,
    clock: str,  # noqa: ARG001 - there is one so far
    means_only: bool,
    as_json: bool,
    out: Path | None,
    **options: Any,
) -> None:
    """Compare policies, with intervals, beside the bound.

    Exit status 1 if no policy can serve the load; a policy that cannot is called unstable.
    """
    system = _output.load_and_say(file)
    sys.path.insert(0, "")  # so that a policy in the working directory is found
    from isocline.simulate.compare import DEFAULT_POLICIES, simulate, sweep

    options |= {"trace": _trace(trace, trace_format), "percentiles": not means_only}
    chosen = policies or DEFAULT_POLICIES
    loads = _loads(load)
    with _progress() as progress:
        if len(loads) > 1:
            several = sweep(system, chosen, loads=loads, progress=progress, **options)
        else:
            one = simulate(
                system, chosen, load=loads[0] if loads else None, progress=progress, **options
            )
    from isocline.report import comparison_table, files

    if len(loads) > 1:
        document, report = several.to_dict(), comparison_table.sweep_report(several)
        written = files.write_sweep(several, out) if out else []
        results = [p for comparison in several.comparisons for p in comparison.policies]
    else:
        document, report = one.to_dict(), comparison_table.comparison_report(one)
        written = files.write_comparison(one, out) if out else []
        results = list(one.policies)
    if as_json:
        _output.show_json(document)
    else:
        _output.show(report)
    _output.say_written(written)
    if all(policy.status == "unstable" for policy in results):
        ctx.exit(1)


def _trace(name: str | None, written_as: str) -> "Trace | None":
    from isocline.model.traffic import bursty_trace, read_trace

    if name is None:
        return None
    return bursty_trace() if name == BURSTY else read_trace(Path(name), written_as)


def _loads(text: str | None) -> list[float]:
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError:
        raise click.BadParameter(f"{text!r}: give numbers such as 0.5,0.7,0.9") from None


@contextmanager
def _progress() -> "Iterator[Progress]":
    """A bar on stderr, gone when done; nothing where nobody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("simulating"), BarColumn(), TextColumn("{task.completed}/{task.total}")
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
