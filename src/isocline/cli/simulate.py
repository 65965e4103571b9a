"""`isocline simulate`."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isocline.cli import _output

if TYPE_CHECKING:
    from rich.console import RenderableType

    from isocline.errors import InfeasibleError
    from isocline.model.traffic import Trace
    from isocline.simulate.replications import Progress
    from isocline.simulate.results import Comparison, Sweep

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
    from isocline.errors import InfeasibleError
    from isocline.simulate.compare import DEFAULT_POLICIES, simulate, sweep

    options |= {"trace": _trace(trace, trace_format), "percentiles": not means_only}
    chosen = policies or DEFAULT_POLICIES
    loads = _loads(load)
    result: Comparison | Sweep
    try:
        with _progress() as progress:
            options["progress"] = progress
            if len(loads) > 1:
                result = sweep(system, chosen, loads=loads, **options)
            else:
                result = simulate(system, chosen, load=loads[0] if loads else None, **options)
    except InfeasibleError as error:
        if as_json:
            _output.show_json(_infeasible(error, chosen))
        raise
    if as_json:
        _output.show_json(result.to_dict())
    else:
        _output.show(_report(result))
    _output.say_written(_written(result, out) if out else [])
    if all(policy.status == "unstable" for policy in result.results):
        ctx.exit(1)


def _infeasible(error: "InfeasibleError", policies: Sequence[str]) -> dict[str, Any]:
    """The JSON of a load that no policy can serve: the violated set in place of large means."""
    return {
        "kind": "routing",
        "status": "infeasible",
        "bottleneck": {"frontends": error.frontends, "backends": error.backends},
        "supply": error.supply,
        "capacity": error.capacity,
        "lower_bound": None,
        "policies": [
            {"policy": policy, "status": "unstable", "mean_jobs": None} for policy in policies
        ],
    }


def _report(result: "Comparison | Sweep") -> "RenderableType":
    from isocline.report.comparison_table import comparison_report, sweep_report
    from isocline.simulate.results import Sweep

    return sweep_report(result) if isinstance(result, Sweep) else comparison_report(result)


def _written(result: "Comparison | Sweep", out: Path) -> list[Path]:
    from isocline.report.files import write_comparison, write_sweep
    from isocline.simulate.results import Sweep

    return write_sweep(result, out) if isinstance(result, Sweep) else write_comparison(result, out)


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
