"""Sweeps for tests: settings by name, on virtual time or over real sockets."""

from collections.abc import Callable
from dataclasses import replace

from isocline.event_loop.clock import Clock
from isocline.loadgen import LoadSettings, Schedule
from isocline.sweep import SweepResult, SweepSettings, Visited, run_sweep
from isocline.sweep.run import Sweep
from tests.virtual_time import LoopClock

SIZES = Schedule.alike(4, 4)


def asked(url: str, **options: object) -> SweepSettings:
    """Settings with these fields, of a sweep or of its requests."""
    settings = SweepSettings(LoadSettings(url, model="m"))
    for name, value in options.items():
        if hasattr(settings.load, name):
            load = replace(settings.load, **{name: value})  # type: ignore[arg-type]
            settings = replace(settings, load=load)
        else:
            settings = replace(settings, **{name: value})  # type: ignore[arg-type]
    return settings


async def swept(
    settings: SweepSettings,
    schedule: Schedule = SIZES,
    report: Callable[[Visited, float], None] = lambda _, __: None,
) -> SweepResult:
    """A sweep on the virtual time of the running loop."""
    clock: Clock = LoopClock()
    return await Sweep(settings, schedule, clock, report, cpu=lambda: 0.0).run()


def measured(url: str, **options: object) -> SweepResult:
    """A sweep over real sockets."""
    return run_sweep(asked(url, **options), SIZES)
