"""`isocline plan`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isocline.cli import _options, _output, _what_if
from isocline.cli._imports import uncollected
from isocline.cli._waiting import waiting

if TYPE_CHECKING:
    from isocline.model.cluster import Cluster
    from isocline.model.fleet import RoutingSystem
    from isocline.theory.routing.latency_routing import LatencyEquilibrium
    from isocline.theory.routing.plan_records import Plan
    from isocline.theory.scheduling.plan_records import NearDataPlan


@click.command("plan", cls=_options.Verb)
@_options.file_argument
@_options.json_option
@_options.out_option
@_options.option(
    "--compare",
    is_flag=True,
    help="Also find where routing by expected latency would come to rest, and what it loses.",
    kind=_options.ROUTING,
)
@_what_if.what_if_options(excludes=("--compare",))
@click.pass_context
def command(
    ctx: click.Context, /, file: Path, as_json: bool, out: Path | None, compare: bool, **given: Any
) -> None:
    """Find the best possible split of the load, with a certificate.

    For a cluster (kind: near-data), find its capacity, who helps whom, and what to replicate.

    Exit status 1 if no split can serve it, with prefixes cached or without; then the overloaded set
    is shown as the proof. With --add, --remove and --rate it is that of the system after them.
    """
    with uncollected():
        system = _output.load_any_with_notes(file)
        from isocline.model.fleet import RoutingSystem

    if not isinstance(system, RoutingSystem):
        _options.of_kind(_options.NEAR_DATA, {})
    written, _ = _what_if.taken(given)
    if isinstance(system, RoutingSystem):
        _note_routing(system)
    if written:
        with _output.blaming(file):
            is_served = _plan_change(system, written, file, given["write"], as_json, out)
        ctx.exit(0 if is_served else 1)
    if not isinstance(system, RoutingSystem):
        ctx.exit(0 if _plan_cluster(system, as_json, out) else 1)
    from isocline.theory.routing.equilibrium import plan
    from isocline.theory.routing.latency_routing import latency_equilibrium

    # Of a large system, planning imports numba, and its result has a million objects.
    with uncollected(), waiting("planning"), _output.blaming(file):
        best = plan(system)
        # Where the load is infeasible no routing comes to rest.
        rival = latency_equilibrium(system) if compare and best.status == "optimal" else None
    with uncollected():
        _show(best, rival, as_json=as_json, compare=compare)
    if out:
        from isocline.report.export.files import write_plan

        _output.list_written(write_plan(best, rival, out))
    if not _is_served(best):
        ctx.exit(1)


def _show(
    best: "Plan", rival: "LatencyEquilibrium | None", *, as_json: bool, compare: bool
) -> None:
    """Print a plan, and what routing by latency would be beside it."""
    if as_json:
        _output.show_json(_document(best, rival, compare))
        return
    from isocline.report.tables.plan import latency_routing_report, plan_report

    _output.show(plan_report(best))
    if rival is not None:
        _output.show(latency_routing_report(best, rival))


def _is_served(best: "Plan") -> bool:
    return best.status == "optimal" or best.prefix_caches is not None


def _note_routing(system: "RoutingSystem") -> None:
    """Note on stderr what the plan leaves out."""
    _output.note_patience(system)
    _output.note_ways(system)
    if system.has_caches and not any(frontend.prefix for frontend in system.frontends):
        click.echo(
            "note: prefix caches are taken to be empty; give frontends prefix: TOKENS, which all "
            "their prompts begin with, to plan where these are cached",
            err=True,
        )


def _document(best: "Plan", rival: "LatencyEquilibrium | None", compare: bool) -> dict[str, Any]:
    if not compare:
        return best.to_dict()
    if rival is None or best.total_jobs is None:
        return best.to_dict() | {"latency_routing": None}
    ratio = {"price_of_anarchy": rival.total_jobs / best.total_jobs}
    return best.to_dict() | {"latency_routing": rival.to_dict() | ratio}


def _plan_change(
    system: "RoutingSystem | Cluster",
    written: Mapping[str, Sequence[str]],
    file: Path,
    write: Path | None,
    as_json: bool,
    out: Path | None,
) -> bool:
    """Show and write the plans before and after a change; returns whether the latter is served."""
    from isocline.model.fleet import RoutingSystem
    from isocline.theory.planning import PlanChange
    from isocline.theory.routing.plan_records import Plan

    changes, other = _what_if.changed(system, written)
    if write is not None and isinstance(system, RoutingSystem):
        _what_if.write_changed(file, system, other, write)
    with waiting("planning"):
        before, after = map(_plan_of, (system, other))
    change = PlanChange(changes, before, after)
    if as_json:
        document = change.to_dict()
        if isinstance(before, Plan) and isinstance(after, Plan):
            document["frontends"] = _what_if.frontends(before, after)
        _output.show_json(document)
    else:
        from isocline.report.tables.what_if import plan_change_report

        _output.show(plan_change_report(change))
    if out:
        from isocline.report.export.files import write_plan_change

        _output.list_written(write_plan_change(change, out))
    return _is_served(after) if isinstance(after, Plan) else after.status == "stable"


def _plan_of(system: "RoutingSystem | Cluster") -> "Plan | NearDataPlan":
    from isocline.model.fleet import RoutingSystem
    from isocline.theory.routing.equilibrium import plan

    return plan(system) if isinstance(system, RoutingSystem) else _plan_of_cluster(system)


def _plan_of_cluster(cluster: "Cluster") -> "NearDataPlan":
    from isocline.theory.scheduling.near_data_plan import near_data_plan

    # A variance of its own is that of numbers per slot.
    own = cluster.arrivals.dispersion != 1.0
    return near_data_plan(cluster, clock="slotted" if own else "continuous")


def _plan_cluster(cluster: "Cluster", as_json: bool, out: Path | None) -> bool:
    """Show and write the plan of a cluster; returns whether the load is stable."""
    with waiting("planning"):
        plan = _plan_of_cluster(cluster)
    if as_json:
        _output.show_json(plan.to_dict())
    else:
        from isocline.report.tables.near_data import near_data_report

        _output.show(near_data_report(plan))
    if out:
        from isocline.report.export.files import write_near_data_plan

        _output.list_written(write_near_data_plan(plan, out))
    return plan.status == "stable"
