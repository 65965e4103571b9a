"""Estimates from the replications of one policy, for its line in the table."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.percentiles import percentiles, shares_above
from isocline.simulate.common.statistics.intervals import interval
from isocline.simulate.routing.lower_bound import Bound
from isocline.simulate.routing.prepare import Prepared
from isocline.simulate.routing.replicate import Replication
from isocline.simulate.routing.results import PolicyResult
from isocline.simulate.routing.run_settings import Run

FloatArray = npt.NDArray[np.float64]


# More than this share of L between L and lambda W is said.
LARGEST_GAP = 0.01


def measured_from(run: Run, skip: int) -> float:
    """Begin of the measured part, s."""
    return float(run.ends[skip - 1]) if skip else 0.0


def measured_seconds(run: Run, skip: int) -> float:
    """Length of the measured part, s."""
    return run.horizon - measured_from(run, skip)


def controls(prepared: Prepared, reps: Sequence[Replication], run: Run, skip: int) -> FloatArray:
    """(R, 2) deviations of arrivals and of the served rate from their exact means, jobs/s.

    Both means are the total arrival rate: of arrivals by definition, of sum l_b(N_b), which is the
    busy servers times their rate, because in a steady state what comes must leave.
    """
    length = measured_seconds(run, skip)
    arrived = np.array([rep.arrivals[skip:].sum() / length for rep in reps])
    served = np.array([rep.rate[skip:].mean() for rep in reps])
    return np.asarray(np.column_stack((arrived, served)) - prepared.system.rates.sum())


def latencies(prepared: Prepared, reps: Sequence[Replication], skip: int) -> FloatArray:
    """(R,) mean latency, s: of the jobs timed, or by Little's law where none was."""
    timed = np.array([rep.timed[skip:].sum() for rep in reps])
    if timed.min() == 0:
        return np.asarray(
            np.array([rep.jobs[skip:].mean() for rep in reps]) / prepared.system.rates.sum()
        )
    return np.asarray([rep.sojourn[skip:].sum() for rep in reps] / timed)


def mean_jobs(reps: Sequence[Replication], run: Run, skip: int) -> FloatArray:
    """(R,) mean number of jobs.

    What jobs of a drained run spend there after the horizon counts, too, as it does in their
    latencies. So L = lambda W exactly, and L orders policies as W does.
    """
    after = np.array([rep.after_jobs for rep in reps]) / measured_seconds(run, skip)
    return np.asarray([rep.jobs[skip:].mean() for rep in reps] + after)


def _arrival_rate(reps: Sequence[Replication], run: Run, skip: int) -> float:
    """Arrival rate, jobs/s."""
    arrived = float(np.mean([rep.arrivals[skip:].sum() for rep in reps]))
    return arrived / measured_seconds(run, skip)


def _littles_law(reps: Sequence[Replication], run: Run, skip: int) -> float:
    """|L - lambda W| / L; W is of all jobs that left, served or not."""
    left = int(_left(reps, skip).sum())
    jobs = float(mean_jobs(reps, run, skip).mean())
    if left == 0 or not jobs:
        return float("nan")
    waited = sum(float((rep.sojourn + rep.unfinished)[skip:].sum()) for rep in reps) / left
    return abs(jobs - _arrival_rate(reps, run, skip) * waited) / jobs


def _left(reps: Sequence[Replication], skip: int) -> npt.NDArray[np.int64]:
    """(R,) jobs that left in the measured part, but for those of the start."""
    return np.array([(rep.timed + rep.abandoned + rep.lost)[skip:].sum() for rep in reps])


def _service(
    prepared: Prepared, reps: Sequence[Replication], run: Run, skip: int
) -> dict[str, Estimate | int | None]:
    """Counts and times of served jobs, and counts of the others."""
    patience, failures = prepared.system.patience, bool(run.failures)
    if patience is None and run.deadline is None and not failures:
        return {}
    left, timed = _left(reps, skip), np.array([rep.timed[skip:].sum() for rep in reps])
    abandoned = np.array([rep.abandoned[skip:].sum() for rep in reps]) / left
    late = timed * (0.0 if run.deadline is None else shares_above(reps, skip, run.deadline))
    return {
        "abandoned": None if patience is None else interval(abandoned),
        "late": None if run.deadline is None else interval(late / left),
        "goodput": interval((timed - late) / measured_seconds(run, skip)).over(run.scale),
        "lost": sum(int(rep.lost.sum()) for rep in reps) if failures else None,
        "resent": sum(int(rep.resent.sum()) for rep in reps) if failures else None,
    }


def summary(
    label: str,
    prepared: Prepared,
    reps: Sequence[Replication],
    run: Run,
    skip: int,
    reference: Sequence[Replication] | None,
    known_means: bool,
    bound: Bound,
    overloaded: Sequence[str] = (),
) -> PolicyResult:
    """The result of a policy that has figures.

    `reference` are the first policy's replications. `overloaded` are the backends that a trace
    brings more to than they can serve.
    """
    known = controls(prepared, reps, run, skip) if known_means else None
    latency = latencies(prepared, reps, skip)
    jobs = interval(mean_jobs(reps, run, skip), known).over(run.scale)
    # Engines that list jobs time them in any case.
    p50, p95, p99 = percentiles(reps, skip) if run.percentiles else (None, None, None)
    difference = None
    if reference is not None:
        difference = interval(differences(latency, latencies(prepared, reference, skip)))
    return PolicyResult(
        policy=label,
        status="overloaded" if overloaded else "stable",
        mean_jobs=jobs,
        mean_latency=interval(latency, known),
        p50=p50,
        p95=p95,
        p99=p99,
        ratio_to_bound=None if math.isnan(bound.jobs) else jobs.over(bound.jobs),
        difference=difference,
        completed=sum(int(rep.completions[skip:].sum()) for rep in reps),
        littles_law=_littles_law(reps, run, skip),
        overloaded=tuple(overloaded),
        finished=run.horizon + float(np.mean([rep.after for rep in reps])) if run.drain else None,
        arrival_rate=_arrival_rate(reps, run, skip) / run.scale,
        **_service(prepared, reps, run, skip),  # type: ignore[arg-type]  # by name
        **_looks(reps, run.scale),
    )


def differences(values: FloatArray, others: FloatArray) -> FloatArray:
    """(R,) values - others, paired; 0 where only the rounding of their sums differs."""
    found = values - others
    return np.where(np.abs(found) <= 1e-12 * np.abs(others), 0.0, found)


def unstable(
    label: str,
    reps: Sequence[Replication],
    overloaded: Sequence[str],
    backends: int,
    scale: float = 1.0,
) -> PolicyResult:
    """The result of a policy under which the number of jobs grows without bound."""
    none: dict[str, Any] = dict.fromkeys(
        ("mean_jobs", "mean_latency", "p50", "p95", "p99", "ratio_to_bound", "difference")
    )
    looks = _looks(reps, scale) if reps else _nothing(backends)
    return PolicyResult(
        policy=label,
        status="unstable",
        **none,
        completed=sum(int(rep.completions.sum()) for rep in reps),
        littles_law=float("nan"),
        overloaded=tuple(overloaded),
        **looks,
    )


def growing_backends(reps: Sequence[Replication], names: Sequence[str]) -> list[str]:
    """The backends whose workload in the last quarter is well above that in the third."""
    third, last = np.mean([rep.late for rep in reps], axis=0)
    # A quarter of linear growth from an empty start raises the mean by 7/5.
    return [name for name, a, b in zip(names, third, last, strict=True) if b > 1.15 * a + 1.0]


def _looks(reps: Sequence[Replication], scale: float) -> dict[str, Any]:
    seconds = sum(rep.seconds for rep in reps)
    events = sum(rep.events for rep in reps)
    return {
        "backend_jobs": np.mean([rep.backend_jobs for rep in reps], axis=0) / scale,
        "total_over_time": np.mean([rep.jobs for rep in reps], axis=0) / scale,
        "workloads_over_time": reps[0].snapshots if scale == 1.0 else reps[0].snapshots / scale,
        "events": events,
        "events_per_second": events / max(seconds, 1e-9),
    }


def _nothing(backends: int) -> dict[str, Any]:
    return {
        "backend_jobs": np.full(backends, np.nan),
        "total_over_time": np.empty(0),
        "workloads_over_time": np.zeros((0, backends), np.int32),
        "events": 0,
        "events_per_second": 0.0,
    }
