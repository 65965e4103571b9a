"""`isocline plan`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isocline.cli import _options, _output
from isocline.cli._imports import uncollected
from isocline.cli._waiting import waiting

if TYPE_CHECKING:
    from isocline.model.cluster import Cluster
    from isocline.theory.routing.latency_routing import LatencyEquilibrium
    from isocline.theory.routing.plan_records import Plan


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
@click.pass_context
def command(ctx: click.Context, file: Path, as_json: bool, out: Path | None, compare: bool) -> None:
    """Find the best possible split of the load, with a certificate.

    Of a cluster (kind: near-data): its capacity, who helps whom, and what to replicate.

    Exit status 1 if no split can serve it; then the overloaded set is shown as the proof.
    """
    with uncollected():
        system = _output.load_any_and_say(file)
        from isocline.model.fleet import RoutingSystem

    if not isinstance(system, RoutingSystem):
        _options.of_kind(_options.NEAR_DATA, {})
        ctx.exit(0 if _plan_cluster(system, as_json, out) else 1)
    _output.say_without_patience(system)
    from isocline.theory.routing.equilibrium import plan
    from isocline.theory.routing.latency_routing import latency_equilibrium

    with waiting("planning"):
        best = plan(system)
        # Where the load is infeasible no routing comes to rest.
        rival = latency_equilibrium(system) if compare and best.status == "optimal" else None
    if as_json:
        _output.show_json(_document(best, rival, compare))
    else:
        from isocline.report.tables.plan import latency_routing_report, plan_report

        _output.show(plan_report(best))
        if rival is not None:
            _output.show(latency_routing_report(best, rival))
    if out:
        from isocline.report.export.files import write_plan

        _output.say_written(write_plan(best, rival, out))
    if best.status != "optimal":
        ctx.exit(1)


def _document(best: "Plan", rival: "LatencyEquilibrium | None", compare: bool) -> dict[str, Any]:
    if not compare:
        return best.to_dict()
    if rival is None or best.total_jobs is None:
        return best.to_dict() | {"latency_routing": None}
    ratio = {"price_of_anarchy": rival.total_jobs / best.total_jobs}
    return best.to_dict() | {"latency_routing": rival.to_dict() | ratio}


def _plan_cluster(cluster: "Cluster", as_json: bool, out: Path | None) -> bool:
    """Show and write the plan of a cluster; returns whether the load is stable."""
    from isocline.theory.scheduling.near_data_plan import near_data_plan

    # A variance of its own is that of numbers per slot.
    own = cluster.arrivals.dispersion != 1.0
    with waiting("planning"):
        plan = near_data_plan(cluster, clock="slotted" if own else "continuous")
    if as_json:
        _output.show_json(plan.to_dict())
    else:
        from isocline.report.tables.near_data import near_data_report

        _output.show(near_data_report(plan))
    if out:
        from isocline.report.export.files import write_near_data_plan

        _output.say_written(write_near_data_plan(plan, out))
    return plan.status == "stable"
