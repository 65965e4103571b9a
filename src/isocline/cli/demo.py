"""`isocline demo`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isocline.cli import _options, _output
from isocline.cli._numbers import FACTOR, SECONDS

if TYPE_CHECKING:
    from isocline.demo.run import Progress

# s at speed 1: deviations of the slowest fleet die out by e in 1.2 s, and runs begin near their
# steady state.
WARMUP = 1.0


@click.command("demo", cls=_options.Verb)
@_options.option(
    "--fleet",
    type=click.Choice(["a", "c", "mixed"]),
    default="c",
    show_default=True,
    help="a: four servers of very different speed; c: two that are fast when idle and two when "
    "busy; mixed: an H100, two RTX 4090 and two A10G.",
)
@_options.option(
    "--load", type=FACTOR, default=0.8, show_default=True, metavar="L", help="Of the capacity."
)
@_options.option(
    "--policy",
    "--policies",
    "policies",
    multiple=True,
    metavar="P",
    help="A policy, or several separated by commas if they have no options; repeat for more. "
    "Others are compared with the first. `isocline policies` lists them.  "
    "[default: gmsr_secant and its usual rivals]",
)
@_options.option(
    "--seconds",
    type=SECONDS,
    default=8.0,
    show_default=True,
    metavar="T",
    help="Time for which each policy is measured, in four rounds.",
)
@_options.option(
    "--speed",
    type=FACTOR,
    default=2.0,
    show_default=True,
    metavar="C",
    help="Rates of servers and load times C; latencies shrink alike. Lower on a slow machine.",
)
@_options.seed_option
@_options.json_option
@_options.out_option
@click.pass_context
def command(
    ctx: click.Context,
    fleet: str,
    load: float,
    policies: tuple[str, ...],
    seconds: float,
    speed: float,
    seed: int,
    as_json: bool,
    out: Path | None,
) -> None:
    """Compare policies live on this machine, in about a minute.

    Starts emulated servers, a router for each policy and a load, all of them processes that talk
    HTTP over loopback, and shows latencies over the best possible. All of them end with it.

    Exit status 1 if the machine is too slow to measure.
    """
    from isocline.demo.run import DEFAULT_POLICIES, Timing, demo

    chosen = _names(policies) or DEFAULT_POLICIES
    timing = Timing(window=seconds / Timing.rounds, warmup=WARMUP / max(speed, 0.1), seed=seed)
    with _progress() as progress:
        found = demo(fleet, load, speed, chosen, timing, progress)
    if as_json:
        _output.show_json(found.to_dict())
    else:
        from isocline.report.tables.live import live_report

        _output.show(live_report(found))
    if found.status != "measured":
        ctx.exit(1)
    if out:
        from isocline.report.export.files import write_live

        _output.list_written(write_live(found, out))


def _names(texts: Sequence[str]) -> tuple[str, ...]:
    """Split names at commas; a text with options, which may have commas, is one policy."""
    return tuple(
        name for text in texts for name in ([text] if ":" in text else text.split(",")) if name
    )


@contextmanager
def _progress() -> "Iterator[Progress]":
    """Progress bar on stderr, removed when done; none if stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description:28}"), BarColumn(), TimeRemainingColumn()
    # Seldom, as each refresh takes the time of what is measured.
    with Progress(
        *columns,
        console=console,
        transient=True,
        refresh_per_second=2,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, total, name: bar.update(
            task, completed=done, total=total, description=name
        )
