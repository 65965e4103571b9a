"""Table of a load run."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.loadgen.results import Distribution, LoadResult
from isocline.plural import counted
from isocline.report.tables.style import Column, names, table
from isocline.report.words import duration, number, time_unit

_NAMES = {
    "latency": "latency",
    "time_to_first_token": "time to first token",
    "between_tokens": "between tokens",
    "send_lag": "due to sent",
}
_COLUMNS = ("mean", "p50", "p90", "p95", "p99", "p999", "max")
# A client that sends late by this share of the median latency distorts its own measurement.
_LATE, _NOTICED = 0.1, 0.001  # share; s


def load_report(result: LoadResult) -> RenderableType:
    """Report of `isocline load`: durations, errors, and conditions."""
    lines = [
        *(Text(line, style="red") for line in _problems(result)),
        Text(load_conditions(result), style="dim"),
    ]
    return Group(_durations(result), Text(), *lines)


def load_conditions(result: LoadResult) -> str:
    """Sentences on arrivals, answers and connections."""
    tokens = f", {number(result.tokens_rate)} tokens/s" if result.first_token else ""
    warmup = f" after a warm-up of {duration(result.warmup)}" if result.warmup else ""
    workers = f" from {result.workers} processes" if result.workers > 1 else ""
    closed = result.reconnections
    reopened = f"; the server closed {closed:,} of them on reuse" if closed else ""
    stopped = " (interrupted)" if result.interrupted else ""
    return (
        f"{result.source} arrivals at {number(result.rate)}/s for {duration(result.duration)}"
        f"{warmup}{stopped}: {counted(result.due, 'request')} due, {result.completed:,} completed, "
        f"{number(result.completed_rate)}/s{tokens}. Times are from when requests were due. "
        f"Up to {counted(result.connections, 'connection')}{workers}{reopened}."
    )


def _durations(result: LoadResult) -> Table:
    known = {name: found for name, found in result.distributions().items() if found is not None}
    scale, unit = time_unit(found.p50 for found in (result.latency, *known.values())[:1])
    columns: list[Column[tuple[str, Distribution]]] = [
        names(unit, lambda row: _NAMES[row[0]]),
        *(
            Column(
                name.replace("p999", "p99.9"),
                lambda row, name=name: getattr(row[1], name) / scale,  # type: ignore[misc]
                number,
            )
            for name in _COLUMNS
        ),
    ]
    return table(result.url, columns, list(known.items()))


def _problems(result: LoadResult) -> list[str]:
    lines = [f"{counted(count, 'request')} failed: {kind}" for kind, count in result.errors.items()]
    if result.lag.p50 > max(_LATE * result.latency.p50, _NOTICED):
        lines.append(
            "Half of the requests were sent late: give more --connections or --workers, or a lower "
            "rate"
        )
    return lines
