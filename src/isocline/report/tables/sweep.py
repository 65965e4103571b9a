"""Table of a sweep of a live server: its curve, and how it was measured."""

import math

from rich.console import Group, RenderableType
from rich.text import Text

from isocline.plural import counted
from isocline.report.tables.measured import measured_report
from isocline.report.words import duration, number, percent
from isocline.sweep.decide import Why
from isocline.sweep.rate import Z
from isocline.sweep.result import SweepResult, Visited

_LINES = 6  # of visits that do not count
# Two visits at one workload are of a server whose speed changed, if their rates differ by so many
# standard errors, and by so much of the higher: errors of short visits are themselves uncertain.
_APART, _CHANGED = 4.0, 0.2


def sweep_report(result: SweepResult) -> RenderableType:
    """What `isocline measure` prints, before the entry for a system file."""
    lines = [
        *(Text(line, style="red") for line in _problems(result)),
        Text(sweep_conditions(result), style="dim"),
    ]
    return Group(measured_report(result.curve), *lines)


def visit_line(visit: Visited, unit: str, elapsed: float, limit: float) -> str:
    """Progress: what a visit found, and how much of the time is used."""
    used = f"({duration(elapsed)} of {duration(limit)})"
    if visit.rate is None or visit.error is None:
        return f"N = {visit.workload}: not counted: {visit.trouble} {used}"
    half = percent(Z * visit.error / visit.rate)
    failed = sum(visit.failures.values())
    words = [
        f"N = {visit.workload}: {number(visit.rate)} {unit}/s ± {half}, "
        f"{counted(round(visit.completions), 'request')} in {duration(visit.seconds)}"
    ]
    if failed:
        words.append(f"{failed} failed ({', '.join(visit.failures)})")
    if visit.note:
        words.append(visit.note)
    return f"{'; '.join(words)} {used}"


def sweep_conditions(result: SweepResult) -> str:
    """One sentence each on the requests and on why the sweep ended."""
    answered = sum(round(one.completions) for one in result.visits)
    prompt = "" if result.prompt_tokens is None else f"{number(result.prompt_tokens)} prompt and "
    sizes = f" of {prompt}{number(result.output_tokens)} output tokens" if result.model else ""
    model = f", model {result.model}" if result.model else ""
    return (
        f"{result.url}{model}: {counted(len(result.visits), 'visit')} in "
        f"{duration(result.seconds)}, {counted(answered, 'request')}{sizes}. {_end(result)}"
    )


def _end(result: SweepResult) -> str:
    stop = result.stopped
    width = f"± {percent(stop.width)}"
    asked = f"± {percent(result.precision)}"
    if result.interrupted:
        return f"Interrupted: up to the last of them the rate is known to {width} at worst."
    if stop.why is Why.NARROW:
        return f"The rate is known to {asked} or better at all measured workloads and between them."
    if stop.unreached is not None:
        return f"There was no time for N = {stop.unreached}; give a longer --limit."
    return (
        f"Not as well known as asked ({asked}): {width} at N = {stop.where:.3g}; a longer --limit "
        "narrows it."
    )


def _problems(result: SweepResult) -> list[str]:
    """Levels that do not count, each once, and a server that went away."""
    counts = {one.workload for one in result.visits if not one.trouble}
    bad = {one.workload: one.trouble for one in result.visits if one.trouble}
    lines = [
        f"N = {workload}{'' if workload not in counts else ' once'}: not counted: {trouble}."
        for workload, trouble in sorted(bad.items())
    ]
    if len(lines) > _LINES:
        lines = [*lines[:_LINES], f"... and {len(lines) - _LINES} more workloads."]
    if result.stopped.why is Why.GONE:
        lines.append("Given up: the server failed where it had worked before.")
    lines += _changed(result)
    notes = {one.note for one in result.visits if one.note}
    return lines + [f"{note[0].upper()}{note[1:]}." for note in sorted(notes)]


def _changed(result: SweepResult) -> list[str]:
    """The workload at which two visits found the most different rates, if it is no chance."""
    found: dict[int, list[tuple[float, float]]] = {}
    for one in result.visits:
        if one.rate is not None and one.error is not None:
            found.setdefault(one.workload, []).append((one.rate, one.error))
    shares = [
        (1.0 - low / high, workload, low, high)
        for workload, rates in found.items()
        for (low, below), (high, above) in [(min(rates), max(rates))]
        if high - low > max(_APART * math.hypot(below, above), _CHANGED * high)
    ]
    if not shares:
        return []
    _, workload, low, high = max(shares)
    return [
        f"N = {workload} gave {number(low)} and {number(high)} {result.curve.unit}/s at different "
        "times: the server's speed changed, as under others' load, and the intervals do not hold "
        "that. Measure again when it is idle."
    ]
