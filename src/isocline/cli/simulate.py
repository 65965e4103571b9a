"""`isocline simulate`."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isocline.cli import _changes, _engines, _options, _output, _traces, _what_if
from isocline.cli._comparisons import (
    change_document,
    comparisons,
    document,
    imprecise,
    infeasible,
    left_out,
    proof,
    report,
)
from isocline.cli._comparisons import written as written_files
from isocline.cli._group import NEGATIVE, STOPPED
from isocline.cli._imports import import_meanwhile, uncollected
from isocline.cli._numbers import COUNT, FACTOR, SECONDS, SECONDS_OR_NONE, Number, shares
from isocline.cli._options import NEAR_DATA, ROUTING, group
from isocline.cli._waiting import waiting
from isocline.plural import counted

if TYPE_CHECKING:
    from isocline.cli._comparisons import Found
    from isocline.errors import InfeasibleError
    from isocline.learn import Learning
    from isocline.model.cluster import Cluster
    from isocline.model.cluster.blocks import BlockTrace
    from isocline.model.fleet import RoutingSystem
    from isocline.simulate.common.executor import Progress
    from isocline.simulate.routing.results import Comparison, Sweep
    from isocline.simulate.scheduling.results import ClusterComparison, ClusterSweep

_TABLES = "isocline.report.tables.comparison"
_JOBS = "swim"  # the format of a trace of jobs that read blocks
_SLOTTED = "--clock slotted"
_POLICIES, _TRAFFIC = group("Policies"), group("Traffic")
_LENGTH = group("Length and precision")
_MODEL = group("Clock, service and delays")
_CHANGES = partial(group("Changes during the run"), kind=ROUTING)
# They go with none of these, as the engines of fleets that change do not.
_ALONE = ("--layers", "--learn", "--delay", _SLOTTED)


@click.command("simulate", cls=_options.Verb)
@_options.file_argument
@_POLICIES(
    "--policy",
    "policies",
    multiple=True,
    metavar="P",
    help="A policy: name, name:key=value,..., or your own as package.module:name "
    "(docs/own.md); repeat for more. Others are compared with the first. `isocline policies` lists "
    "them.",
)
@_POLICIES(
    "--layers",
    metavar="P",
    help="Route to a pool by --policy, and within it by P; 'flat' opens the pools to the "
    "frontends.  [default: a pool serves at its curve]",
    kind=ROUTING,
)
@_POLICIES(
    "--learn",
    is_flag=True,
    help="Add, beside each policy that reads service curves, the same one learning them.",
    kind=ROUTING,
    excludes=("--trace", _SLOTTED),
)
@_POLICIES(
    "--half-life",
    type=SECONDS,
    metavar="T",
    help="An observation T s ago counts half.  [default: no forgetting]",
    kind=ROUTING,
    needs="--learn",
)
@_traces.trace_options("Traffic", _JOBS, kind=ROUTING, excludes=(_SLOTTED,))
@_TRAFFIC(
    "--replicas",
    type=COUNT,
    metavar="N",
    help="Replicas of each chunk of the trace, placed at random.  [default: as in FILE, or 3]",
    kind=NEAR_DATA,
    needs="--trace",
)
@_TRAFFIC(
    "--busiest",
    type=SECONDS,
    metavar="T",
    help="Only the T s of the trace with the most tasks.",
    kind=NEAR_DATA,
    needs="--trace",
)
@_TRAFFIC(
    "--arrivals",
    metavar="LAW",
    help="Arrivals in place of the file's, at the mean rates: gamma:cv=3, weibull:shape=0.5, "
    "batch:size=10, mmpp:rates=1/10,durations=60/6 (s), or your own as "
    "package.module:Class:key=value,... (docs/own.md). Near-data, slotted: variance=2.5 or "
    "dispersion=1.5 of the number in a slot.",
    excludes=("--trace",),
)
@_TRAFFIC(
    "--time-scale",
    type=FACTOR,
    default=1.0,
    help="Speed up arrivals by this factor.",
    excludes=("--load",),
)
@_TRAFFIC("--load", metavar="L,...", help="Scale arrivals to these shares of the capacity.")
@_TRAFFIC(
    "--patience",
    metavar="LAW",
    help="Jobs that are not done so long after their arrival give up, in place of the file's own: "
    "exponential:mean=2 (s), deterministic:mean=2, lognormal:mean=2,cv=1.5, "
    "hyperexponential:mean=2,cv=3; none for none. With ,until=start a job in service stays.",
    kind=ROUTING,
)
@_TRAFFIC(
    "--deadline",
    type=SECONDS,
    metavar="D",
    help="Jobs that are done later than D s after their arrival count as late.",
    kind=ROUTING,
    excludes=("--means-only",),
)
@_LENGTH("--horizon", type=SECONDS, metavar="T", help="Length of a replication, s.")
@_LENGTH(
    "--warmup",
    type=SECONDS_OR_NONE,
    metavar="W",
    help="Discard the first W s.  [default: found by MSER-5]",
)
@_LENGTH(
    "--start",
    type=click.Choice(["empty", "fluid"]),
    default="empty",
    show_default=True,
    help="Begin with empty backends, or with the workloads of the fluid optimum.",
    kind=ROUTING,
)
@_LENGTH(
    "--replications",
    type=Number("10", least=2, whole=True),  # an interval needs two
    default=10,
    show_default=True,
    metavar="R",
    help="Independent runs of each policy; intervals are over them.",
)
@_LENGTH(
    "--precision",
    type=Number("0.01", above=0.0, below=1.0),
    help="Replicate until the half-widths of intervals are this share of the means (0.01).",
)
@_LENGTH(
    "--means-only",
    is_flag=True,
    help="Skip percentiles; about twice as fast.",
    excludes=("--learn",),
)
@partial(_options.seed_option, heading="Length and precision")
@_LENGTH(
    "--budget",
    type=Number("1e10", above=0.0),
    metavar="N",
    help="Refuse a run of more events than this, in all.  [default: 2e10]",
)
@_LENGTH(
    "--threads",
    type=COUNT,
    metavar="N",
    help="Results do not depend on their number.  [default: one per core]",
)
@_engines.engine_options("Engine", excludes=("--threads",))
@_MODEL(
    "--clock",
    type=click.Choice(["continuous", "slotted"]),
    default="continuous",
    show_default=True,
    help="Continuous time, or slots as in the papers.",
)
@_MODEL(
    "--slot",
    type=SECONDS,
    metavar="T",
    help="Length of a slot at scale 1, s.  [default: 1, or the longest of 1, 2, 5e-k that the "
    "curves admit]",
    kind=ROUTING,
    needs=_SLOTTED,
)
@_MODEL(
    "--departures",
    type=click.Choice(["bernoulli", "binomial", "poisson"]),
    help="Law of the departures in a slot.  [default: bernoulli if the slot admits it, else "
    "binomial]",
    kind=ROUTING,
    needs=_SLOTTED,
)
@_MODEL(
    "--discipline",
    type=click.Choice(["ps", "fcfs"]),
    default="ps",
    show_default=True,
    help="Order of service: all jobs at once (processor sharing), or in order of arrival, for "
    "servers curves.",
    kind=ROUTING,
)
@_MODEL(
    "--level",
    type=click.Choice(["data", "queue"]),
    default="data",
    show_default=True,
    help="A task is local where its data is, or only to the server in whose queue it waited, the "
    "near-data paper's R_m, which `isocline reproduce` takes.",
    kind=NEAR_DATA,
)
@_MODEL(
    "--scale",
    type=FACTOR,
    default=1.0,
    show_default=True,
    metavar="C",
    help="C times the jobs on C times the machines, each job counted as 1/C; the larger C, the "
    "nearer to the fluid.",
    kind=ROUTING,
    excludes=("--trace",),
)
@_MODEL(
    "--delay",
    metavar="D",
    help="Delays of jobs and of reports, s: travel=0.5,report=0.5,every=1.0; own=true lets "
    "frontends count their own jobs since the report.",
    kind=ROUTING,
    excludes=("--trace", _SLOTTED, "--learn", "--slowdown"),
)
@_MODEL(
    "--cache-knowledge",
    type=click.Choice(["own", "homes", "exact", "none"]),
    default="own",
    show_default=True,
    help="What frontends know of prefix caches: each what its own requests left there, besides "
    "that a home on which all agree by a hash, what they hold, or nothing.",
    kind=ROUTING,
)
@_MODEL(
    "--output-lengths",
    type=click.Choice(["mean", "known"]),
    default="mean",
    show_default=True,
    help="With prefix caches: frontends expect the mean length of their answers so far, or know "
    "each.",
    kind=ROUTING,
)
@_MODEL(
    "--eviction",
    type=click.Choice(["price", "lru"]),
    default="price",
    show_default=True,
    help="Which models make way in a backend's memory: those whose loss costs least, or those used "
    "least recently.",
    kind=ROUTING,
)
@_CHANGES(
    "--slowdown",
    "slowdowns",
    multiple=True,
    metavar="NAME=K@T",
    help="From time T, s, on this backend is K times as slow, and policies do not know it (add "
    "',told' if they do); repeat for more, K = 1 ends it.",
    excludes=(_SLOTTED,),
)
@_changes.then_option("Changes during the run", kind=ROUTING, excludes=_ALONE)
@_CHANGES(
    "--failure",
    "failures",
    multiple=True,
    metavar="NAME@T",
    help="At time T, s, this backend fails; its jobs are sent again, or with ',lost' are lost. "
    "Repeat for more; a later --then brings it back.",
    excludes=_ALONE,
)
@_what_if.what_if_options(excludes=("--then",), of_rates=("--trace",))
@_options.json_option
@_options.out_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    file: Path,
    load: str | None,
    as_json: bool,
    out: Path | None,
    **given: Any,
) -> None:
    """Compare policies, with intervals, beside the bound.

    Exit status 1 if no policy can serve the load, or one of several; a policy that cannot is called
    unstable. A trace ends, so it has results at any load. With --add, --remove and --rate it is the
    status of the system after them; differences are of the same arrivals, with intervals. --load is
    then that of the system before.
    """
    with uncollected():
        system = _output.load_any_with_notes(file)
        from isocline.errors import InfeasibleError
        from isocline.model.fleet import RoutingSystem

    loads = shares(load)
    kind = ROUTING if isinstance(system, RoutingSystem) else NEAR_DATA
    write = given["write"]
    written, given = _what_if.taken(_options.of_kind(kind, given))
    if written and loads:
        given["time_scale"] = _speed(system, loads, given)
    if written:
        ctx.exit(_simulate_change(system, written, file, given, write, as_json, out))
    found: Found
    try:
        found = _found(system, file, loads, given, in_tables=not as_json)
    except InfeasibleError as error:
        _show_infeasible(error, system, given["policies"], as_json)
        ctx.exit(NEGATIVE)
    beyond = infeasible(found)
    if as_json:
        _output.show_json(document(found, given["policies"]))
        for one in beyond:  # the table says it itself
            click.echo(f"isocline: at load {one.load:g}: {one.error}", err=True)
    else:
        _output.show(report(found))
    if out:
        _output.list_written(written_files(found, out))
    if beyond:
        _note_plan(system)
    if _is_interrupted(found, loads):
        ctx.exit(STOPPED)
    _note_precision(found, given["precision"])
    if beyond or all(policy.status == "unstable" for policy in found.results):
        ctx.exit(NEGATIVE)


def _found(
    system: "RoutingSystem | Cluster",
    file: Path,
    loads: Sequence[float],
    given: dict[str, Any],
    *,
    in_tables: bool,
) -> "Found":
    """Run what is asked, with progress; raises InfeasibleError as `simulate` does.

    Args:
        system: What the file describes.
        file: Its path.
        loads: Loads to run at; none for that of the file.
        given: Options.
        in_tables: Whether the result is shown in tables.
    """
    from isocline.model.fleet import RoutingSystem

    with _progress(in_tables=in_tables) as progress, _output.blaming(file):
        options = given | {"progress": progress}
        if isinstance(system, RoutingSystem):
            return _routing(system, file, loads, options)
        return _near_data(system, loads, options)


def _simulate_change(
    system: "RoutingSystem | Cluster",
    written: Mapping[str, Sequence[str]],
    file: Path,
    given: dict[str, Any],
    write: Path | None,
    as_json: bool,
    out: Path | None,
) -> int:
    """Simulate a system before and after a change, and show both; returns the exit status."""
    from isocline.errors import InfeasibleError
    from isocline.model.fleet import RoutingSystem
    from isocline.simulate.common.comparison_change import ComparisonChange

    changes, other = _what_if.changed(system, written)
    if write is not None and isinstance(system, RoutingSystem):
        _what_if.write_changed(file, system, other, write)
    # Other engines than those of lists cannot have the same jobs; pairs are then of one seed alone.
    routing = isinstance(system, RoutingSystem)
    listed = not routing or (not given["learn"] and given["delay"] is None)
    given = given | {"common_arrivals": listed}
    sides: dict[str, Any] = {"before": None, "after": None}
    proofs: dict[str, InfeasibleError] = {}
    for side, one in (("before", system), ("after", other)):
        try:
            sides[side] = _found(one, file, (), given, in_tables=not as_json)
        except InfeasibleError as error:
            proofs[side] = error
    change = ComparisonChange(changes, sides["before"], sides["after"], proofs)
    if as_json:
        _output.show_json(change_document(change, given["policies"]))
    elif change.known:
        from isocline.report.tables.what_if import comparison_change_report

        _output.show(comparison_change_report(change))
    for side, proof_ in proofs.items():
        click.echo(f"isocline: {side}: {proof_}", err=True)
    if proofs:
        _note_plan(system)
    for side, one in sides.items():
        if out and one is not None:
            _output.list_written(written_files(one, out / side))
    after = change.after
    failed = after is None or all(policy.status == "unstable" for policy in after.results)
    return NEGATIVE if failed else 0


def _speed(
    system: "RoutingSystem | Cluster", loads: Sequence[float], given: Mapping[str, Any]
) -> float:
    """Return the time scale at which the system before a change has a load.

    Raises:
        UsageError: There are several loads, or a trace.
    """
    from isocline.errors import UsageError
    from isocline.model.fleet import RoutingSystem

    if len(loads) > 1:
        raise UsageError("--load: with a change it is that of the system before; give one load")
    if given["trace"] is not None:
        raise _options.refusal("--load", "with --trace and a change", "give --time-scale")
    if isinstance(system, RoutingSystem):
        from isocline.simulate.routing.scenario import scenario

        return scenario(system, None, 1.0, loads[0]).speed
    from isocline.simulate.scheduling.scenario import cluster_scenario

    scene = cluster_scenario(system, given["clock"], load=loads[0], seed=given["seed"])
    return scene.cluster.arrival_rate / system.arrival_rate


def _show_infeasible(
    error: "InfeasibleError",
    system: "RoutingSystem | Cluster",
    policies: Sequence[str],
    as_json: bool,
) -> None:
    """Show the proof that no policy can serve the load, or any of the loads."""
    if as_json:
        _output.show_json(proof(error, policies))
    click.echo(f"isocline: {error}", err=True)
    _note_plan(system)


def _is_interrupted(found: "Found", loads: Sequence[float]) -> bool:
    """Whether Ctrl-C ended a run; says which loads it did not come to."""
    missing = left_out(found, loads) if len(loads) > 1 else []
    if missing:
        named = ", ".join(f"{load:g}" for load in missing)
        click.echo(f"isocline: stopped before load {named}", err=True)
    return bool(missing) or any(one.interrupted for one in comparisons(found))


def _note_precision(found: "Found", asked: float | None) -> None:
    """Say that the most replications did not reach the precision."""
    from isocline.simulate.common.steady_state import MOST_REPLICATIONS

    if (width := imprecise(found, asked)) is not None:
        click.echo(
            f"note: a mean latency is known to {100 * width:.2g} %, and --precision asks for "
            f"{asked:g}: {MOST_REPLICATIONS:,} replications are the most; give a longer --horizon",
            err=True,
        )


def _note_plan(system: "RoutingSystem | Cluster") -> None:
    """Point to `isocline plan`, where it takes the system."""
    backends = getattr(system, "backends", ())
    if all(backend.curve.strictly_concave for backend in backends):
        click.echo("note: isocline plan says what is served of such a load", err=True)


def _routing(
    system: "RoutingSystem", file: Path, loads: Sequence[float], given: dict[str, Any]
) -> "Comparison | Sweep":
    with uncollected():
        from isocline.model.curves import PoolCurve
        from isocline.simulate.routing.compare import DEFAULT_POLICIES, simulate, sweep
        from isocline.simulate.routing.delay import Delay
        from isocline.simulate.routing.failure import Failure
        from isocline.simulate.routing.slowdown import Slowdown

    pools = any(isinstance(backend.curve, PoolCurve) for backend in system.backends)
    if given["layers"] is not None and not pools:
        raise _options.refusal("--layers", "to a system without pools", "leave it out")
    _output.note_ways(system)
    if given["trace_format"] == _JOBS:
        raise _options.refusal(
            f"--trace-format {_JOBS}", f"to kind: {ROUTING}", "give a trace of requests"
        )
    options = _common(given, DEFAULT_POLICIES)
    of_file = (options.pop(f"trace_{key}") for key in ("format", "columns", "time_unit", "tick"))
    options["trace"] = _traces.read(options["trace"], *of_file)
    options["delay"] = Delay.parse(given["delay"]) if given["delay"] else None
    options["changes"] = _changes.changes(given["changes"], file, system)
    options["failures"] = [Failure.parse(text) for text in given["failures"]]
    options["slowdowns"] = [Slowdown.parse(text) for text in given["slowdowns"]]
    half_life = options.pop("half_life")
    options["learn"] = _learning(half_life) if given["learn"] else None
    if len(loads) > 1:
        return sweep(system, loads=loads, **options)
    return simulate(system, load=loads[0] if loads else None, **options)


def _learning(half_life: float | None) -> "Learning":
    from isocline.learn import Learning

    return Learning() if half_life is None else Learning(half_life=half_life)


def _near_data(
    cluster: "Cluster", loads: Sequence[float], given: dict[str, Any]
) -> "ClusterComparison | ClusterSweep":
    with uncollected():
        from isocline.simulate.scheduling.compare import (
            DEFAULT_POLICIES,
            simulate_cluster,
            sweep_cluster,
        )

    options = _common(given, DEFAULT_POLICIES)
    trace = _block_trace(options["trace"], options.pop("trace_format"))
    busiest = options.pop("busiest")
    options["trace"] = trace.busiest(busiest) if trace and busiest is not None else trace
    if len(loads) > 1:
        return sweep_cluster(cluster, loads=loads, **options)
    return simulate_cluster(cluster, load=loads[0] if loads else None, **options)


def _common(given: Mapping[str, Any], default: Sequence[str]) -> dict[str, Any]:
    """Arguments of both kinds of simulation, the rest as it is."""
    options = dict(given)
    options["percentiles"] = not options.pop("means_only")
    if options["budget"] is None:
        del options["budget"]
    return options | {"policies": given["policies"] or default}


def _block_trace(name: str | None, written_as: str) -> "BlockTrace | None":
    """The jobs of a SWIM file.

    Raises:
        UsageError: The format is unknown, or one of requests.
    """
    from isocline.errors import UsageError
    from isocline.model.cluster.swim import read_swim
    from isocline.model.traffic.columns import FORMATS, known_formats

    if name is None:
        return None
    if written_as not in ("auto", _JOBS, *FORMATS):
        raise UsageError(f"--trace-format {written_as}: unknown; {known_formats()}")
    if written_as in FORMATS:
        raise _options.refusal(
            f"--trace-format {written_as}",
            f"to kind: {NEAR_DATA}",
            f"give a trace of jobs with their input, as {_JOBS}",
        )
    return read_swim(Path(name))


@contextmanager
def _progress(*, in_tables: bool) -> "Iterator[Progress]":
    """Progress bar on stderr, removed when done; into a pipe or a file a line now and then.

    Once replications run, tables are imported, if the results are shown in these.
    """
    if not sys.stderr.isatty():
        with waiting("simulating") as line:

            def count(done: int, total: int) -> None:
                if in_tables:
                    import_meanwhile(_TABLES)
                line.reached = f"{done:,} of {counted(total, 'replication')}"

            yield count
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("simulating", total=None)

        def show(done: int, total: int) -> None:
            if in_tables:
                import_meanwhile(_TABLES)
            # After the last replication come figures, and of a trace the bound: some seconds.
            doing = "analysing" if done == total else "simulating"
            bar.update(task, description=doing, completed=done, total=total)

        yield show
