"""Table of a measured curve, and its entry for a system file."""

import json
import textwrap
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from isocline.learn.known import Interval
from isocline.measurements import HeldOut, MeasuredCurve, MeasuredPoint
from isocline.measurements.points import ASSUMED
from isocline.plural import counted
from isocline.report.tables.style import MOST_ROWS, Column, names, table
from isocline.report.words import number, percent

_UNBROKEN = "\u00a0"  # a space at which no line is broken
_NEAR = 0.1  # a prediction this near is counted as right


def measured_report(curve: MeasuredCurve) -> RenderableType:
    """Points with the curve at each, and how well they predict each other."""
    held = {one.point: one for one in curve.held_out}
    folder = _folder([point.source for point in curve.points])
    cut = {one.point for one in curve.cut}
    columns: list[Column[MeasuredPoint]] = [
        Column("N", lambda point: f"{point.workload:.4g}"),
        Column("measured", "rate", number),
        Column("error", _error),
        Column("curve", lambda point: "cut" if point in cut else _rate(curve, point)),
        Column(
            "95 % interval",
            lambda point: "" if point in cut else _interval(curve.interval(point.workload)),
        ),
        Column("others predict", lambda point: _predicted(held.get(point))),
        names("from", lambda point: point.source.removeprefix(folder)),
    ]
    title = f"{curve.name}: service curve in {curve.unit}/s"
    made = table(
        title,
        columns,
        curve.points,
        most=MOST_ROWS,
        style=lambda point: "dim" if point in cut else None,
    )
    return Group(made, Text(), Text("\n".join(measured_findings(curve))))


def measured_findings(curve: MeasuredCurve) -> list[str]:
    """One sentence each: the peak, what was cut, held-out points, errors that are not known."""
    return [_peak(curve), *_cut(curve), _honesty(curve), *_assumed(curve), *_of_counts(curve)]


def curve_entries(curves: Sequence[MeasuredCurve]) -> str:
    """The curves as YAML: entries of the list `backends` of a system file."""
    units = {curve.unit for curve in curves} - {"jobs"}
    works = [curve.mean_work for curve in curves if curve.mean_work is not None]
    mean = f", mean: {sum(works) / len(works):.4g}" if works else ""
    head = "".join(
        f"# rates in {unit}/s: the system file needs work: {{unit: {unit}{mean}}}\n"
        for unit in sorted(units)
    )
    return head + "".join(map(_entry, curves))


def _entry(curve: MeasuredCurve) -> str:
    pairs = (f"[{n},{_UNBROKEN}{rate}]" for n, rate in curve.entry()["points"])
    indent = " " * 6
    lines = textwrap.fill(", ".join(pairs), 96, initial_indent=indent, subsequent_indent=indent)
    lines = lines.replace(_UNBROKEN, " ")
    # A string of JSON is one of YAML, whatever is in it.
    name = json.dumps(curve.name, ensure_ascii=False)
    return (
        f"- name: {name}\n  curve:\n    type: {curve.curve.type}\n    points: [\n{lines}\n    ]\n"
    )


def _folder(sources: Sequence[str]) -> str:
    """The directory that all sources are in, with a slash."""
    folders = {source.rpartition("/")[0] for source in sources}
    return f"{folders.pop()}/" if len(folders) == 1 else ""


def _peak(curve: MeasuredCurve) -> str:
    last = curve.kept[-1].workload
    if curve.peak is None:
        return (
            f"The rate still rises at the last point, N = {last:.4g}: the capacity may be larger. "
            "Measure higher workloads."
        )
    interval = _interval(curve.interval(curve.peak.workload))
    return (
        f"Peak: {number(curve.peak.rate)} {curve.unit}/s from N = {curve.peak.workload:.4g} on; "
        f"95 % interval {interval}."
    )


def _cut(curve: MeasuredCurve) -> list[str]:
    return [f"Cut: N = {cut.point.workload:.4g}, {cut.reason}." for cut in curve.cut[:MOST_ROWS]]


def _honesty(curve: MeasuredCurve) -> str:
    held = curve.held_out
    if not held:
        return (
            "Held out: none, as no point lies between two others; measure at least three "
            "workloads to see how well points predict each other."
        )
    worst = max(held, key=lambda one: abs(one.error))
    return (
        f"Held out: each point with others on both sides, predicted by those: "
        f"{curve.within(_NEAR)} of {len(held)} within {100 * _NEAR:.0f} %; furthest off is "
        f"N = {worst.point.workload:.4g}, by {worst.error:+.1%}."
    )


def _assumed(curve: MeasuredCurve) -> list[str]:
    unknown = sum(not point.counted for point in curve.points)
    if not unknown:
        return []
    return [
        f"Of {counted(unknown, 'point')} nothing says how sure the rate is: an error of "
        f"{100 * ASSUMED:.0f} % is assumed, and the interval rests on it."
    ]


def _of_counts(curve: MeasuredCurve) -> list[str]:
    counts = sum(point.from_counts for point in curve.points)
    if not counts:
        return []
    return [
        f"The error of {counted(counts, 'point')} is that of a Poisson count of the requests: too "
        "large for requests alike in a closed loop, which a deviation of their latencies would say."
    ]


def _error(point: MeasuredPoint) -> str:
    if not point.counted:
        return "unknown"
    return f"± {percent(point.spread)}{' (count)' if point.from_counts else ''}"


def _rate(curve: MeasuredCurve, point: MeasuredPoint) -> str:
    return number(float(curve.curve.rate(point.workload)))


def _interval(interval: Interval) -> str:
    low, high = interval
    return f"at least {number(low)}" if high is None else f"{number(low)} to {number(high)}"


def _predicted(held: HeldOut | None) -> str:
    return "" if held is None else f"{number(held.predicted)} ({held.error:+.1%})"
