"""`isocline fleet`."""

from pathlib import Path

import click

from isocline.cli import _options, _output
from isocline.cli._imports import uncollected
from isocline.cli._numbers import SEED, Number
from isocline.cli._waiting import waiting

_SPARE = Number("1", least=0, below=9, whole=True)  # as `cheapest_fleet` has it
_GAP = Number("0.01", least=0.0, below=1.0)
_REPLICATIONS = Number("10", least=2, whole=True)


@click.command("fleet", cls=_options.Verb)
@_options.file_argument
@_options.group("Target")(
    "--target",
    required=True,
    metavar="TARGET",
    help="What must hold in every demand: mean<=2s, p95<=800ms, p99<=5s, or load<=0.8.",
)
@_options.group("Target")(
    "--spare",
    type=_SPARE,
    default=0,
    metavar="N",
    help="Machines that may be lost, whichever they are.",
)
@_options.group("Target")(
    "--spare-target",
    metavar="TARGET",
    help="What must hold after that loss; by default the same. load<=1: all can still be served.",
    needs="--spare",
)
@_options.group("Simulation")(
    "--policy",
    default="gmsr_secant",
    show_default=True,
    metavar="P",
    help="Routing policy by which latencies are simulated.",
    excludes=("--fluid-only",),
)
@_options.group("Simulation")(
    "--fluid-only",
    is_flag=True,
    help="Simulate nothing: find the fleet that would do without fluctuation.",
)
@_options.group("Simulation")(
    "--replications",
    type=_REPLICATIONS,
    default=10,
    show_default=True,
    metavar="R",
    help="Independent runs of each simulation.",
    excludes=("--fluid-only",),
)
@_options.group("Simulation")(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    metavar="S",
    help="Key of all randomness.",
    excludes=("--fluid-only",),
)
@_options.group("Search")(
    "--gap",
    type=_GAP,
    default=0.01,
    show_default=True,
    metavar="G",
    help="End the search in the fluid limit within this share of its bound; 0: at the cheapest.",
)
@_options.json_option
@_options.out_option
def command(
    file: Path,
    target: str,
    spare: int,
    spare_target: str | None,
    policy: str,
    fluid_only: bool,
    replications: int,
    seed: int,
    gap: float,
    as_json: bool,
    out: Path | None,
) -> None:
    """Find the cheapest machines for a target, with a lower bound.

    FILE has machine types with a price and a curve, who may use which, and the demand (kind:
    fleet). The fleet that is found holds the target in simulation, and its cost stands beside a
    lower bound for all fleets of these types and all routing policies.

    With --out, the fleet is also written as a system file for plan, simulate and serve.

    Exit status 1 if no fleet of these types reaches the target; then the least that can be reached
    is named.
    """
    with uncollected():
        from isocline.model.systemfile.fleet_file import fleet_notes, load_fleet

        problem = load_fleet(file)
        for note in fleet_notes(problem):
            click.echo(f"note: {note}", err=True)
        from isocline.errors import UnreachableError
        from isocline.simulate.routing.cheapest_fleet import cheapest_fleet
    if not (fluid_only or problem.has_like_jobs):
        click.echo(
            "note: frontends have work of their own, with which nothing is simulated; the fleet is "
            "that of the fluid limit",
            err=True,
        )
    with waiting("looking for the cheapest fleet") as line:

        def progress(done: int, _: int) -> None:
            line.reached = f"{done} simulated"

        try:
            found = cheapest_fleet(
                problem,
                target,
                spare=spare,
                spare_target=spare_target,
                policy=None if fluid_only else policy,
                gap=gap,
                replications=replications,
                seed=seed,
                progress=progress,
            )
        except UnreachableError as error:
            if as_json:
                least = {"target": target, "least": error.least}
                _output.show_json({"kind": "fleet", "status": "unreachable"} | least)
            raise
    if as_json:
        _output.show_json(found.to_dict())
    else:
        from isocline.report.tables.fleet import fleet_report

        _output.show(fleet_report(found))
    if out:
        from isocline.report.export.files import write_fleet

        _output.list_written(write_fleet(found, out))
