"""`isocline replay`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from isocline.cli import _options, _output
from isocline.cli._numbers import COUNT

if TYPE_CHECKING:
    from isocline.model.cluster import Cluster
    from isocline.model.fleet import RoutingSystem
    from isocline.simulate.common.decision_diff import DecisionDiff


@click.command("replay", cls=_options.Verb)
@_options.file_argument
@_options.json_option
@_options.option(
    "--policy", metavar="P", help="A policy.  [default: gmsr, or local_first for a cluster]"
)
@_options.option(
    "--decisions",
    type=COUNT,
    default=100_000,
    show_default=True,
    metavar="N",
    help="Decisions to compare.",
)
@_options.seed_option
@click.pass_context
def command(
    ctx: click.Context, file: Path, as_json: bool, policy: str | None, decisions: int, seed: int
) -> None:
    """Check that a live core decides as the simulator does.

    Simulates, then drives the core of `isocline serve`, or for a cluster that of `isocline run`,
    with the same arrivals and departures, and compares where each job was sent, or which server
    started which task and when. Exit status 1 if they differ.
    """
    system = _output.load_any_with_notes(file)
    found = _replayed(system, policy, decisions, seed)
    if as_json:
        _output.show_json(found.to_dict())
    elif found.agreed:
        click.echo(f"{found.policy}: all {decisions} decisions agree")
    else:
        click.echo(f"{found.policy}: decision {found.first_difference} of {decisions} differs")
    if not found.agreed:
        ctx.exit(1)


def _replayed(
    system: "RoutingSystem | Cluster", policy: str | None, decisions: int, seed: int
) -> "DecisionDiff":
    from isocline.model.cluster import Cluster

    if isinstance(system, Cluster):
        from isocline.dispatch.replay import replay as replay_cluster

        return replay_cluster(system, policy or "local_first", decisions=decisions, seed=seed)
    from isocline.gateway.replay import replay

    return replay(system, policy or "gmsr", decisions=decisions, seed=seed)
