"""`isocline simulate` for a file of kind near-data."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isocline.cli import _output

if TYPE_CHECKING:
    from rich.console import RenderableType

    from isocline.model.cluster import Cluster
    from isocline.model.cluster.blocks import BlockTrace
    from isocline.simulate.scheduling.results import ClusterComparison, ClusterSweep

ROUTING_ONLY = (
    *("start", "discipline", "slot", "departures", "scale", "delay", "layers", "learn"),
    *(
        "half_life",
        "slowdowns",
        "changes",
        "failures",
        "patience",
        "deadline",
        "trace_columns",
        "trace_time_unit",
    ),
)
CLUSTER_ONLY = ("replicas", "busiest", "level")
JOBS = "swim"  # the format of a trace of jobs that read blocks


def refuse(ctx: click.Context, names: Iterable[str], kind: str) -> None:
    """Refuse options that were given and say nothing about a system of this kind.

    Raises:
        UsageError: One was given.
    """
    from click.core import ParameterSource

    from isocline.errors import UsageError

    for parameter in ctx.command.params:
        given = ctx.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if parameter.name in names and given:
            raise UsageError(
                f"{parameter.opts[0]}: says nothing about a system of kind {kind}; leave it out"
            )


def run(
    cluster: "Cluster",
    policies: tuple[str, ...],
    loads: list[float],
    options: dict[str, Any],
) -> "ClusterComparison | ClusterSweep":
    """Simulate at one load, or at several."""
    from isocline.simulate.scheduling.compare import (
        DEFAULT_POLICIES,
        simulate_cluster,
        sweep_cluster,
    )

    chosen = policies or DEFAULT_POLICIES
    if len(loads) > 1:
        return sweep_cluster(cluster, chosen, loads=loads, **options)
    return simulate_cluster(cluster, chosen, load=loads[0] if loads else None, **options)


def block_trace(name: str | None, written_as: str, busiest: float | None) -> "BlockTrace | None":
    """The jobs of a SWIM file, or of its busiest part.

    Raises:
        UsageError: The format is one for requests, or there is no trace to take a part of.
    """
    from isocline.errors import UsageError
    from isocline.model.cluster.swim import read_swim
    from isocline.model.traffic.columns import FORMATS, known_formats

    if name is None:
        if busiest is not None:
            raise UsageError("--busiest: a part of a trace; give --trace FILE, or leave it out")
        return None
    if written_as not in ("auto", JOBS, *FORMATS):
        raise UsageError(f"--trace-format {written_as}: unknown; {known_formats()}")
    if written_as in FORMATS:
        raise UsageError(
            f"--trace-format {written_as}: these are requests, and say not which data they read; "
            "give a trace of jobs with their input, as swim"
        )
    trace = read_swim(Path(name))
    return trace if busiest is None else trace.busiest(busiest)


def refuse_jobs(written_as: str) -> None:
    """Refuse a trace of jobs for a system of kind routing.

    Raises:
        UsageError: It was said to be one.
    """
    from isocline.errors import UsageError

    if written_as == JOBS:
        raise UsageError(
            f"--trace-format {JOBS}: jobs that read blocks are for systems of kind near-data"
        )


def show(result: "ClusterComparison | ClusterSweep", as_json: bool, out: Path | None) -> None:
    """Print tables or JSON, and write pictures and data."""
    if as_json:
        _output.show_json(result.to_dict())
    else:
        _output.show(_report(result))
    _output.say_written(_written(result, out) if out else [])


def _report(result: "ClusterComparison | ClusterSweep") -> "RenderableType":
    from isocline.report.tables.cluster import cluster_report, cluster_sweep_report
    from isocline.simulate.scheduling.results import ClusterSweep

    if isinstance(result, ClusterSweep):
        return cluster_sweep_report(result)
    return cluster_report(result)


def _written(result: "ClusterComparison | ClusterSweep", out: Path) -> list[Path]:
    from isocline.report.export.cluster import write_cluster
    from isocline.report.export.files import write_sweep
    from isocline.simulate.scheduling.results import ClusterSweep

    if isinstance(result, ClusterSweep):
        return write_sweep(result, out)
    return write_cluster(result, out)
