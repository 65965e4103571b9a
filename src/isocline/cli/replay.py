"""`isocline replay`."""

from pathlib import Path

import click

from isocline.cli import _output


@click.command("replay")
@_output.file_argument
@_output.json_option
@click.option("--policy", default="gmsr", show_default=True, metavar="P")
@click.option("--decisions", type=int, default=100_000, show_default=True, metavar="N")
@click.option("--seed", type=int, default=0, show_default=True, metavar="S")
@click.pass_context
def command(
    ctx: click.Context, file: Path, as_json: bool, policy: str, decisions: int, seed: int
) -> None:
    """Hold the router's core to the simulator, decision by decision.

    Simulates, then drives the core of `isocline serve` with the same arrivals and departures, and
    compares where each job was sent. Exit status 1 if they differ.
    """
    system = _output.load_and_say(file)
    from isocline.gateway.replay import replay

    found = replay(system, policy, decisions=decisions, seed=seed)
    if as_json:
        _output.show_json(found.to_dict())
    elif found.agreed:
        click.echo(f"{found.policy}: all {decisions} decisions agree")
    else:
        click.echo(f"{found.policy}: decision {found.first_difference} of {decisions} differs")
    if not found.agreed:
        ctx.exit(1)
