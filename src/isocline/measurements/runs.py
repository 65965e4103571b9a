"""Benchmark runs as their files say them, and the points and curves that they make."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal, NamedTuple, final

from isocline.errors import UsageError
from isocline.measurements.curve import MeasuredCurve, measured_curve
from isocline.measurements.points import MeasuredPoint, by_workload
from isocline.plural import counted

Unit = Literal["jobs", "tokens"]

# In a closed loop fewer jobs than its concurrency are at the server while it starts and ends. From
# this share on it is the mean by Little's law that the rate belongs to.
_EMPTIER = 0.9
_DIFFERENT = 1.25  # ratio of mean tokens of requests from which runs are not of one traffic
# Labels that are never another word for the workload.
_IDENTITIES = ("model", "name", "backend", "hardware", "hw", "gpu")
# Rates at one workload that differ by this factor, and by so many standard deviations, are hardly
# of one server: benchmarks that are repeated agree to a few per cent.
_APART, _SURE = 1.1, 4.0
_FAILED = 0.01  # share of failed requests that is worth a note


@final
@dataclass(frozen=True)
class BenchmarkRun:
    """One run at one workload, in both units as far as its file has them."""

    source: str  # "bench-8.json", "summary.csv, line 3"
    workload: float  # mean number of jobs at the server
    requests: float | None  # finished, per second
    tokens: float | None = None  # of answers, per second
    completions: float = 0.0  # requests finished; 0: unknown
    seconds: float = 0.0  # s measured; 0: unknown
    variation: float | None = None  # relative standard error of the rates; None: that of counts
    labels: Mapping[str, str] = field(default_factory=dict)  # of the curve: model, hardware, ...
    notes: tuple[str, ...] = ()
    file: str = (
        ""  # that the run is from, without folders and suffixes; names a curve without labels
    )

    def rate(self, unit: Unit) -> float | None:
        """Service rate in this unit, per second."""
        return self.requests if unit == "jobs" else self.tokens

    def point(self, unit: Unit) -> MeasuredPoint:
        """The measured point; the file must have this unit.

        Raises:
            UsageError: A number is out of its range.
        """
        rate = self.rate(unit)
        assert rate is not None
        error = None if self.variation is None else rate * self.variation
        return MeasuredPoint(
            self.workload, rate, error, self.completions, self.seconds, self.source
        )


class CurveRuns(NamedTuple):
    """Runs of one curve."""

    name: str
    runs: tuple[BenchmarkRun, ...]


def closed_loop(
    concurrency: float | None, requests: float | None, latency: float | None
) -> tuple[float | None, tuple[str, ...]]:
    """Mean number of jobs at the server, and notes on it; None if nothing says it.

    Args:
        concurrency: Of a closed loop; None of an open one.
        requests: Finished, per second.
        latency: s, mean.
    """
    little = None if requests is None or latency is None else requests * latency
    if concurrency is None or little is None:
        return (little if concurrency is None else concurrency), ()
    if little >= _EMPTIER * concurrency:
        return concurrency, ()
    said = (
        f"{little:.4g} jobs at the server on average, by Little's law, at concurrency "
        f"{concurrency:g}: the run is short for it, or requests wait at the client; taken as "
        f"N = {little:.4g}"
    )
    return little, (said,)


def variation_of(deviation: float | None, mean: float | None, completions: float) -> float | None:
    """Relative standard error of a closed loop's rate, of the durations of its requests.

    Each of its clients sends one request after the other, so that their number in a time is that of
    a renewal process: its variance is cv^2 times a Poisson count's.
    """
    if deviation is None or not mean or not completions:
        return None
    return deviation / mean / math.sqrt(completions)


def deviation_of(median: float | None, percentiles: Mapping[float, float]) -> float | None:
    """Standard deviation of latencies of which only percentiles are known; None if none says it.

    That of the normal distribution with this median and one of the percentiles, the largest of
    them: of laws with a longer tail it is too large rather than too small (of exponential latencies
    by p90 1.26 times the true one, by p99 1.68 times).

    Args:
        median: In any unit, that of the result.
        percentiles: Values by their ranks, above 50 and below 100.
    """
    if median is None:
        return None
    found = [
        (value - median) / NormalDist().inv_cdf(rank / 100.0)
        for rank, value in percentiles.items()
        if 50.0 < rank < 100.0
    ]
    return max(0.0, *found) if found else None


def failed_note(failed: float | None, completions: float) -> tuple[str, ...]:
    """A note where so many requests failed that the server's rate is doubtful."""
    if not failed or failed < _FAILED * (failed + completions):
        return ()
    share = failed / (failed + completions)
    return (f"{failed:,.0f} requests failed, {share:.1%}; the rate counts the others alone",)


def curves_of(runs: Sequence[BenchmarkRun]) -> list[CurveRuns]:
    """Runs grouped by the labels that differ among them, duplicates left out.

    A name is made of the values of these labels, shortest form. One curve alone has that of its
    model, or of its machine, or of its file, or else "measured".
    """
    distinct: dict[tuple[object, ...], BenchmarkRun] = {}
    for run in runs:
        key = (run.workload, run.requests, run.tokens, run.completions, run.seconds)
        distinct.setdefault((*key, *sorted(run.labels.items())), run)
    names = list(dict.fromkeys(name for run in distinct.values() for name in run.labels))
    differing = [name for name in names if _tells_apart(name, list(distinct.values()))]
    groups: dict[tuple[str, ...], list[BenchmarkRun]] = {}
    for run in distinct.values():
        groups.setdefault(tuple(run.labels.get(name, "") for name in differing), []).append(run)
    if len(groups) == 1:
        (only,) = groups.values()
        return [CurveRuns(_lone_name(only), tuple(only))]
    made = [CurveRuns(_named(differing, key), tuple(group)) for key, group in groups.items()]
    return sorted(made, key=lambda curve: curve.name)


def _lone_name(runs: Sequence[BenchmarkRun]) -> str:
    """Name of a curve beside which there is no other."""
    labels = (_short(runs[0].labels.get(name, "")) for name in _IDENTITIES)
    files = {run.file for run in runs}
    return next(filter(None, labels), runs[0].file if len(files) == 1 else "") or "measured"


def _tells_apart(name: str, runs: Sequence[BenchmarkRun]) -> bool:
    """Whether a label differs, and is no other word for the workload, as "c8" and "c16" are."""
    workloads: dict[str | None, set[float]] = {}
    for run in runs:
        workloads.setdefault(run.labels.get(name), set()).add(run.workload)
    restated = len(workloads) > 2 and all(len(at) == 1 for at in workloads.values())
    return len(workloads) > 1 and (name in _IDENTITIES or not restated)


def _named(names: Sequence[str], values: Sequence[str]) -> str:
    """The values in words, as h100 llama-8b; numbers with their names, as tp=8."""
    words = [
        f"{name}={value}" if value.replace(".", "").isdigit() else _short(value)
        for name, value in zip(names, values, strict=True)
        if value
    ]
    return " ".join(words) or "unlabelled"


def _short(model: str) -> str:
    """The last part of a path or a model's name."""
    return " ".join(model.rstrip("/").rpartition("/")[2].split())


def unit_of(runs: Sequence[BenchmarkRun], wanted: Unit | None) -> Unit:
    """The unit that all runs have: jobs if they do, unless another is wanted.

    Raises:
        UsageError: A run does not have it, or there is none that all have.
    """
    units: tuple[Unit, ...] = (wanted,) if wanted else ("jobs", "tokens")
    lacking: dict[Unit, list[BenchmarkRun]] = {}
    for unit in units:
        lacking[unit] = [run for run in runs if run.rate(unit) is None]
        if not lacking[unit]:
            return unit
    if not wanted:
        raise UsageError(
            f"{lacking['tokens'][0].source}: has no rate of output tokens, and "
            f"{lacking['jobs'][0].source} has none of requests; curves of one system have one "
            "unit: give these files one after the other"
        )
    other: Unit = "tokens" if wanted == "jobs" else "jobs"
    has_other = all(run.rate(other) is not None for run in runs)
    remedy = f"give --unit {other}" if has_other else "leave it out"
    word = "requests" if wanted == "jobs" else "output tokens"
    raise UsageError(f"{lacking[wanted][0].source}: has no rate of {word}; {remedy}")


def curve_of(found: CurveRuns, unit: Unit) -> MeasuredCurve:
    """The curve of some runs.

    Raises:
        UsageError: A number is out of its range.
    """
    points = [run.point(unit) for run in found.runs]
    work = None if unit == "jobs" else _mean_tokens(found.runs)
    return measured_curve(points, unit, found.name, mean_work=work)


def _mean_tokens(runs: Iterable[BenchmarkRun]) -> float | None:
    """Output tokens of a mean request, each run counted by its completions."""
    known = [
        (run.completions or 1.0, run.tokens / run.requests)
        for run in runs
        if run.tokens and run.requests
    ]
    total = sum(count for count, _ in known)
    return sum(count * tokens for count, tokens in known) / total if known else None


def notes_of(found: CurveRuns) -> list[str]:
    """What the runs' files leave doubtful, one sentence each."""
    said = [f"{run.source}: {note}" for run in found.runs for note in run.notes]
    lengths = [
        (run.tokens / run.requests, run.source) for run in found.runs if run.tokens and run.requests
    ]
    if lengths:
        (least, short), (most, long) = min(lengths), max(lengths)
        if most > _DIFFERENT * least:
            said.append(
                f"{found.name}: answers have {least:.4g} tokens on average in {short} and "
                f"{most:.4g} in {long}: a curve is of one kind of traffic; compare runs of one, or "
                "take --unit tokens"
            )
    return [*said, *_apart(found)]


def _apart(found: CurveRuns) -> Iterator[str]:
    """Note workloads at which runs have rates that are hardly of one server."""
    unit: Unit = "jobs" if all(run.requests for run in found.runs) else "tokens"
    points = [run.point(unit) for run in found.runs if run.rate(unit)]
    doubtful: list[tuple[MeasuredPoint, MeasuredPoint]] = []
    for group in by_workload(points):
        low, high = (pick(group, key=lambda point: point.rate) for pick in (min, max))
        if math.log(high.rate / low.rate) < _SURE * math.hypot(low.spread, high.spread):
            continue
        if high.rate > _APART * low.rate:
            doubtful.append((low, high))
    if not doubtful:
        return
    low, high = max(doubtful, key=lambda pair: pair[1].rate / pair[0].rate)
    more = f" (as at {counted(len(doubtful) - 1, 'other workload')})" if len(doubtful) > 1 else ""
    yield (
        f"{found.name}: at N = {high.workload:g} the rate is {low.rate:.4g} {unit}/s in "
        f"{low.source} and {high.rate:.4g} in {high.source}{more}; they are averaged: give one "
        "server's runs alone"
    )


def described(curves: Sequence[CurveRuns]) -> str:
    """Names of curves with their numbers of runs, for messages."""
    return ", ".join(f"{one.name!r} ({counted(len(one.runs), 'run')})" for one in curves)
