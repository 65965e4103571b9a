"""`isocline plan`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isocline.cli import _output
from isocline.cli._imports import uncollected
from isocline.cli._plan_cluster import plan_cluster
from isocline.cli._waiting import waiting
from isocline.errors import UsageError

if TYPE_CHECKING:
    from isocline.model.fleet import RoutingSystem


@click.command("plan")
@_output.file_argument
@_output.json_option
@_output.out_option
@click.option(
    "--compare",
    is_flag=True,
    help="Also find where routing by expected latency would come to rest, and what it loses.",
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
        if compare:
            raise UsageError(
                "--compare is about routing by latency; leave it out for kind: near-data"
            )
        ctx.exit(0 if plan_cluster(system, as_json, out) else 1)
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
