"""Run of load, in this process or in several."""

from isocline.cores import require_processes
from isocline.errors import UsageError
from isocline.event_loop.clock import SYSTEM_CLOCK
from isocline.loadgen.drive import drive
from isocline.loadgen.results import LoadResult
from isocline.loadgen.schedule import Schedule
from isocline.loadgen.settings import LoadSettings
from isocline.loadgen.target import Target
from isocline.loadgen.workers import drive_in_workers


def run_load(settings: LoadSettings, schedule: Schedule, workers: int = 1) -> LoadResult:
    """Send requests as scheduled and time their answers.

    It takes the schedule's duration, and up to the timeout more. SIGINT ends it early, with what
    was measured until then. Each of several workers is a process with its share of the requests
    and of the connections.

    Raises:
        ProcessError: One of several workers ended before its time.
        UsageError: No requests to measure, fewer connections than workers, or more workers than
            this machine has a use for.
    """
    if not 1 <= workers <= settings.connections:
        raise UsageError(
            f"workers is {workers}; give at least 1, and no more than connections, "
            f"{settings.connections}"
        )
    require_processes("workers", workers)
    if not (schedule.times >= settings.warmup).any():
        raise UsageError(
            f"no request is due after the warm-up of {settings.warmup:g} s; give a longer duration"
        )
    if workers == 1:
        tally = drive(settings, schedule, SYSTEM_CLOCK.now)
    else:
        tally = drive_in_workers(settings, schedule, workers)
    return LoadResult.of(
        tally,
        url=settings.url,
        source=schedule.source,
        rate=schedule.rate,
        duration=schedule.duration,
        warmup=settings.warmup,
        streams=Target(settings).streams,
        workers=workers,
    )
