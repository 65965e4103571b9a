"""`isocline simulate`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isocline.cli import _changes, _output, _simulate_cluster, _traces
from isocline.cli._imports import uncollected
from isocline.cli._numbers import COUNT, FACTOR, SECONDS, SECONDS_OR_NONE, SEED, Number, shares

if TYPE_CHECKING:
    from rich.console import RenderableType

    from isocline.errors import InfeasibleError
    from isocline.learn import Learning
    from isocline.simulate.common.executor import Progress
    from isocline.simulate.routing.failure import Failure
    from isocline.simulate.routing.results import Comparison, Sweep
    from isocline.simulate.routing.slowdown import Slowdown


@click.command("simulate")
@_output.file_argument
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="P",
    help="A policy: name, name:key=value,..., or your own as package.module:name "
    "(docs/own.md); repeat for more. Others are compared with the first. `isocline policies` lists "
    "them.",
)
@_traces.trace_options(_simulate_cluster.JOBS)
@click.option(
    "--arrivals",
    metavar="LAW",
    help="In place of the frontends' own, at their mean rates: gamma:cv=3, weibull:shape=0.5, "
    "batch:size=10, mmpp:rates=1/10,durations=60/6 (s), or your own as "
    "package.module:Class:key=value,... (docs/own.md). Near-data, slotted: variance=2.5 or "
    "dispersion=1.5 of the number in a slot.",
)
@click.option(
    "--patience",
    metavar="LAW",
    help="Jobs that are not done so long after their arrival give up, in place of the file's own: "
    "exponential:mean=2 (s), deterministic:mean=2, lognormal:mean=2,cv=1.5, "
    "hyperexponential:mean=2,cv=3; none for none. With ,until=start a job in service stays.",
)
@click.option(
    "--deadline",
    type=SECONDS,
    metavar="D",
    help="Jobs that are done later than D s after their arrival count as late.",
)
@click.option("--time-scale", type=FACTOR, default=1.0, help="Arrivals this many times as fast.")
@click.option("--load", metavar="L,...", help="Scale arrivals to these shares of the capacity.")
@click.option("--horizon", type=SECONDS, metavar="T", help="Length of a replication, s.")
@click.option(
    "--warmup", type=SECONDS_OR_NONE, metavar="W", help="What to discard, s; else by MSER-5."
)
@click.option(
    "--replications",
    type=Number("10", least=2, whole=True),  # an interval needs two
    default=10,
    show_default=True,
    metavar="R",
)
@click.option(
    "--precision",
    type=Number("0.01", above=0.0, below=1.0),
    help="Replicate until intervals are this narrow (0.01).",
)
@click.option("--seed", type=SEED, default=0, show_default=True, metavar="S")
@click.option("--start", type=click.Choice(["empty", "fluid"]), default="empty", show_default=True)
@click.option("--discipline", type=click.Choice(["ps", "fcfs"]), default="ps", show_default=True)
@click.option(
    "--clock",
    type=click.Choice(["continuous", "slotted"]),
    default="continuous",
    show_default=True,
    help="Slotted: time goes in slots, as in the papers.",
)
@click.option(
    "--slot",
    type=SECONDS,
    metavar="T",
    help="Length of a slot at scale 1, s.  [default: 1, or the longest of 1, 2, 5e-k that the "
    "curves admit]",
)
@click.option(
    "--departures",
    type=click.Choice(["bernoulli", "binomial", "poisson"]),
    help="Law of the departures in a slot.  [default: bernoulli if the slot admits it, else "
    "binomial]",
)
@click.option(
    "--scale",
    type=FACTOR,
    default=1.0,
    show_default=True,
    metavar="C",
    help="C times the jobs on C times the machines, each job counted 1/C: the larger, the nearer "
    "to the fluid.",
)
@click.option(
    "--delay",
    metavar="D",
    help="Jobs travel and reports come late, in s: travel=0.5,report=0.5,every=1.0; own=true lets "
    "frontends count their own jobs since the report.",
)
@click.option(
    "--layers",
    metavar="P",
    help="Route to a pool by --policy, and within it by P; 'flat' opens the pools to the "
    "frontends.  [default: a pool serves at its curve]",
)
@click.option(
    "--learn",
    is_flag=True,
    help="Beside each policy that looks at service curves, the same one learning them.",
)
@click.option(
    "--half-life",
    type=SECONDS,
    metavar="T",
    help="With --learn: an observation T s ago counts half.  [default: no forgetting]",
)
@click.option(
    "--slowdown",
    "slowdowns",
    multiple=True,
    metavar="NAME=K@T",
    help="From time T, s, on this backend is K times as slow, and policies are not told (add "
    "',told' if they are); repeat for more, K = 1 ends it.",
)
@_changes.then_option
@click.option(
    "--failure",
    "failures",
    multiple=True,
    metavar="NAME@T",
    help="At time T, s, this backend fails; its jobs are sent again, or with ',lost' are lost. "
    "Repeat for more; a later --then brings it back.",
)
@click.option(
    "--replicas",
    type=COUNT,
    metavar="N",
    help="Near-data: of each chunk of the trace, placed at random.  [default: as in FILE, or 3]",
)
@click.option(
    "--busiest",
    type=SECONDS,
    metavar="T",
    help="Near-data: only the T s of the trace with the most tasks.",
)
@click.option(
    "--level",
    type=click.Choice(["data", "queue"]),
    default="data",
    show_default=True,
    help="Near-data: a task is local where its data is, or only to the server in whose queue it "
    "waited, the near-data paper's R_m, which `isocline reproduce` takes.",
)
@click.option("--means-only", is_flag=True, help="No percentiles; about twice as fast.")
@click.option(
    "--budget",
    type=Number("1e10", above=0.0),
    metavar="N",
    help="Refuse a run of more events than this, in all.  [default: 2e10]",
)
@click.option(
    "--threads", type=COUNT, metavar="N", help="Default: one per core; results do not depend on it."
)
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
    trace_columns: str | None,
    trace_time_unit: str | None,
    load: str | None,
    delay: str | None,
    learn: bool,
    half_life: float | None,
    slowdowns: tuple[str, ...],
    changes: tuple[str, ...],
    failures: tuple[str, ...],
    replicas: int | None,
    busiest: float | None,
    level: str,
    means_only: bool,
    budget: float | None,
    as_json: bool,
    out: Path | None,
    **options: Any,
) -> None:
    """Compare policies, with intervals, beside the bound.

    Exit status 1 if no policy can serve the load; a policy that cannot is called unstable. A trace
    ends, and has figures at any load.
    """
    with uncollected():
        system = _output.load_any_and_say(file)
        from isocline.errors import InfeasibleError
        from isocline.model.fleet import RoutingSystem
        from isocline.simulate.routing.compare import DEFAULT_POLICIES, simulate, sweep
        from isocline.simulate.routing.delay import Delay

    options["percentiles"] = not means_only
    if budget is not None:
        options["budget"] = budget
    if not isinstance(system, RoutingSystem):
        _simulate_cluster.refuse(ctx, _simulate_cluster.ROUTING_ONLY, "near-data")
        for name in _simulate_cluster.ROUTING_ONLY:
            options.pop(name, None)
        jobs = _simulate_cluster.block_trace(trace, trace_format, busiest)
        options |= {"trace": jobs, "replicas": replicas, "level": level}
        with _progress() as options["progress"]:
            found = _simulate_cluster.run(system, policies, shares(load), options)
        _simulate_cluster.show(found, as_json, out)
        ctx.exit(int(all(policy.status == "unstable" for policy in found.results)))
    _simulate_cluster.refuse(ctx, _simulate_cluster.CLUSTER_ONLY, "routing")
    _simulate_cluster.refuse_jobs(trace_format)
    options["trace"] = _traces.read(trace, trace_format, trace_columns, trace_time_unit)
    options["delay"] = Delay.parse(delay) if delay else None
    options["changes"] = [_changes.change(text) for text in changes]
    options["failures"] = _failures(failures)
    options |= {"learn": _learning(learn, half_life), "slowdowns": _slowdowns(slowdowns)}
    chosen = policies or DEFAULT_POLICIES
    loads = shares(load)
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
    from isocline.report.tables.comparison import comparison_report, sweep_report
    from isocline.simulate.routing.results import Sweep

    return sweep_report(result) if isinstance(result, Sweep) else comparison_report(result)


def _written(result: "Comparison | Sweep", out: Path) -> list[Path]:
    from isocline.report.export.files import write_comparison, write_sweep
    from isocline.simulate.routing.results import Sweep

    return write_sweep(result, out) if isinstance(result, Sweep) else write_comparison(result, out)


def _learning(learn: bool, half_life: float | None) -> "Learning | None":
    if half_life is not None and not learn:
        raise click.BadParameter("add --learn, or leave it out", param_hint="--half-life")
    if not learn:
        return None
    from isocline.learn import Learning

    return Learning() if half_life is None else Learning(half_life=half_life)


def _slowdowns(texts: Sequence[str]) -> "list[Slowdown]":
    from isocline.simulate.routing.slowdown import Slowdown

    return [Slowdown.parse(text) for text in texts]


def _failures(texts: Sequence[str]) -> "list[Failure]":
    from isocline.simulate.routing.failure import Failure

    return [Failure.parse(text) for text in texts]


@contextmanager
def _progress() -> "Iterator[Progress]":
    """A bar on stderr, gone when done; nothing where nobody watches."""
    from rich.console import Console

    from isocline.simulate.common.executor import silent

    console = Console(stderr=True)
    if not console.is_terminal:
        yield silent
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("simulating"), BarColumn(), TextColumn("{task.completed}/{task.total}")
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
