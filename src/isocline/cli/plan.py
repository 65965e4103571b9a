"""`isocline plan`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isocline.cli import _options, _output
from isocline.cli._imports import uncollected
from isocline.cli._waiting import waiting

if TYPE_CHECKING:
    from isocline.model.cluster import Cluster
    from isocline.model.fleet import RoutingSystem


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

    with waiting("planning"):
        document = plan(system).to_dict()
        if compare:
            document["latency_routing"] = _latency_routing(system, document["total_jobs"])
    if as_json:
        _output.show_json(document)
    else:
        from isocline.report.tables.plan import plan_report

        _output.show(plan_report(document, system))
        if document.get("latency_routing"):
            from isocline.report.tables.latency_routing import latency_routing_report

            _output.show(latency_routing_report(document))
    if out:
        from isocline.report.export.files import write_plan

        _output.say_written(write_plan(document, system, out))
    if document["status"] != "optimal":
        ctx.exit(1)


def _latency_routing(system: "RoutingSystem", optimum: float | None) -> dict[str, Any] | None:
    """None where the load is infeasible: no routing comes to rest there."""
    from isocline.theory.routing.latency_routing import latency_equilibrium

    if optimum is None:
        return None
    rival = latency_equilibrium(system)
    return rival.to_dict() | {"price_of_anarchy": rival.total_jobs / optimum}


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
        from isocline.report.export.near_data import write_near_data_plan

        _output.say_written(write_near_data_plan(plan, out))
    return plan.status == "stable"
