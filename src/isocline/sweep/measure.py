"""`isocline.measure`: a sweep from Python."""

from isocline.arguments import POSITIVE, SHARE, at_least, checked
from isocline.loadgen.schedule import Schedule
from isocline.loadgen.settings import LoadSettings
from isocline.model.traffic import Trace
from isocline.sweep.result import SweepResult
from isocline.sweep.run import run_sweep
from isocline.sweep.settings import SweepSettings


@checked(tokens=at_least(1), most=at_least(1), precision=SHARE, limit=POSITIVE)
def measure(
    url: str,
    model: str = "",
    *,
    tokens: tuple[int, int] = (128, 128),
    trace: Trace | None = None,
    most: int = 64,
    precision: float = 0.05,
    limit: float = 120.0,
) -> SweepResult:
    """Measure the service curve of a live server, as `isocline measure` does.

    Args:
        url: Of a server with OpenAI's API, as http://127.0.0.1:8000; any other path than those of
            completions gets plain GET requests.
        model: Its name; "": the one that the server lists.
        tokens: Of each prompt and, at most, of each answer.
        trace: Requests whose lengths are taken in place of these, in a random order.
        most: Greatest workload: requests in flight at a time.
        precision: Half-width of the 95 % interval, relative, at which to stop.
        limit: Longest time, s.

    Raises:
        MeasureError: The server answers nothing, or too slowly for the limit.
        UsageError: An argument is out of its range.
    """
    settings = SweepSettings(LoadSettings(url, model=model), most, precision, limit)
    schedule = Schedule.alike(*tokens) if trace is None else Schedule.for_sizes(trace)
    return run_sweep(settings, schedule)
