"""Estimates from the replications of one policy on a cluster, for its line in the table."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isocline.simulate.common.batches import BATCH
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.percentiles import percentiles
from isocline.simulate.common.slotted_clock import Clock
from isocline.simulate.common.statistics.intervals import interval, ratio_interval
from isocline.simulate.common.steady_state import Blocks
from isocline.simulate.routing.estimates import differences
from isocline.simulate.scheduling.replicate import ClusterReplication
from isocline.simulate.scheduling.results import LEVELS, JobLatency, SchedulingResult

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]
Replications = Sequence[ClusterReplication]

JOB_QUANTILES = (0.5, 0.95, 0.99)


def blocks(reps: Replications) -> Blocks:
    """Block means for the warm-up and the verdict on stability."""
    return Blocks(
        np.array([rep.tasks for rep in reps]),
        np.array([rep.completions for rep in reps]),
        np.array([rep.arrivals for rep in reps]),
    )


def summary(
    label: str,
    reps: Replications,
    ends: FloatArray,
    skip: int,
    reference: Replications | None,
    *,
    clock: Clock,
    rate: float,
    bound: float,
    poisson: bool,
    beneficiaries: IndexArray,
    reading: str,
    overloaded: Sequence[str] = (),
    timed: bool = True,
) -> SchedulingResult:
    """The result of a policy that has figures.

    Args:
        label: Its name.
        reps: Its replications.
        ends: (n,) the end of each block.
        skip: Blocks to discard.
        reference: The first policy's replications, if others are compared with it.
        clock: What times are measured by.
        rate: Exact mean arrival rate.
        bound: Lower bound on the mean latency.
        poisson: Whether the arrivals have that mean in each replication, and are a control.
        beneficiaries: Numbers of the servers that need help.
        reading: What the policy does where the paper can be read in two ways.
        overloaded: Servers that a trace brings more to than they can serve.
        timed: Whether percentiles were asked for.
    """
    length = _length(ends, skip)
    arrived = np.array([rep.arrivals[skip:].sum() / length for rep in reps])
    known = arrived[:, None] - rate if poisson else None
    tasks = _mean_tasks(reps, ends, skip)
    # Of a list of jobs, which may have been cut short, what came is known exactly.
    latency = latencies(reps, ends, skip, rate if poisson else arrived)
    mean = interval(latency, known)
    p50 = p95 = p99 = None
    if timed:
        p50, p95, p99 = percentiles(reps, skip, whole=clock == "slotted")
    own = (
        None
        if reference is None
        else latencies(reference, ends, skip, rate if poisson else arrived)
    )
    shares = dict(zip(LEVELS, _shares(reps, skip), strict=True))
    perpendicular, square = _perpendicular(reps, skip, 1 if beneficiaries.size else 0)
    needy, others = _queues(reps, skip, beneficiaries)
    return SchedulingResult(
        policy=label,
        status="overloaded" if overloaded else "stable",
        mean_tasks=interval(tasks, known),
        mean_latency=mean,
        p50=p50,
        p95=p95,
        p99=p99,
        ratio_to_bound=mean.over(bound),
        difference=None if own is None else interval(differences(latency, own)),
        ratio=None if own is None else ratio_interval(latency, own),
        local_share=shares["local"],
        rack_share=shares["rack"],
        remote_share=shares["remote"],
        idle_share=interval(_idle(reps, ends, skip)),
        perpendicular=perpendicular,
        perpendicular_square=square,
        beneficiary_tasks=needy,
        helper_tasks=others,
        reading=reading,
        jobs=_jobs(reps, timed),
        completed=sum(int(rep.completions[skip:].sum()) for rep in reps),
        littles_law=_littles_law(reps, skip, float(tasks.mean()), float(arrived.mean())),
        overloaded=tuple(overloaded),
        idle_by_server=_idle_by_server(reps, ends, skip),
        arrival_rate=float(arrived.mean()),
        finished=None if poisson else float(ends[-1] + np.mean([rep.after for rep in reps])),
        **_looks(reps),
    )


def unstable(
    label: str, reps: Replications, names: Sequence[str], reading: str
) -> SchedulingResult:
    """The result of a policy under which the number of tasks grows without bound.

    `names` are those of the servers, or without a run of those that theory calls overloaded.
    """
    none: dict[str, Any] = dict.fromkeys(
        (
            *("mean_tasks", "mean_latency", "p50", "p95", "p99", "ratio_to_bound", "difference"),
            *("ratio", "local_share", "rack_share", "remote_share", "idle_share"),
            *("perpendicular", "perpendicular_square", "beneficiary_tasks", "helper_tasks", "jobs"),
        )
    )
    return SchedulingResult(
        policy=label,
        status="unstable",
        **none,
        reading=reading,
        completed=sum(int(rep.completions.sum()) for rep in reps),
        littles_law=float("nan"),
        overloaded=tuple(_growing(reps, names) if reps else names),
        idle_by_server=np.empty(0),
        **_looks(reps),
    )


def latencies(
    reps: Replications, ends: FloatArray, skip: int, rate: float | FloatArray
) -> FloatArray:
    """(R,) mean completion time: of the tasks timed, or by Little's law where none was."""
    timed = np.array([rep.timed[skip:].sum() for rep in reps])
    if timed.min() == 0:
        return np.asarray(_mean_tasks(reps, ends, skip) / rate)
    return np.asarray([rep.sojourn[skip:].sum() for rep in reps] / timed)


def _mean_tasks(reps: Replications, ends: FloatArray, skip: int) -> FloatArray:
    """(R,) mean number of tasks, with all that a drained run has after its horizon."""
    after = np.array([rep.after_tasks for rep in reps]) / _length(ends, skip)
    return np.array([_time_mean(rep.tasks, ends, skip) for rep in reps]) + after


def _length(ends: FloatArray, skip: int) -> float:
    """Length of the measured part."""
    return float(ends[-1] - (ends[skip - 1] if skip else 0.0))


def _time_mean(values: FloatArray, ends: FloatArray, skip: int) -> float:
    """Mean over time: blocks of whole slots differ in length."""
    return float(np.average(values[skip:], weights=np.diff(ends, prepend=0.0)[skip:]))


def _shares(reps: Replications, skip: int) -> list[Estimate]:
    """Shares of the started tasks at the local, rack and remote level."""
    started = np.array([rep.started[skip:].sum(axis=0) for rep in reps], dtype=np.float64)
    return [interval(share) for share in (started / started.sum(axis=1, keepdims=True)).T]


def _perpendicular(
    reps: Replications, skip: int, over: int
) -> tuple[Estimate | None, Estimate | None]:
    """First and second moment of |Q_perp| over all servers (0) or beneficiaries (1)."""
    samples = np.array([rep.samples[skip:].sum() for rep in reps])
    if samples.min() == 0:
        return None, None
    sums = np.array([rep.perpendicular[skip:, over].sum(axis=0) for rep in reps])
    first, second = (sums / samples[:, None]).T
    return interval(first), interval(second)


def _watched(reps: Replications, ends: FloatArray, skip: int) -> float:
    """Mean time for which servers were observed: until the last task had ended."""
    return _length(ends, skip) + float(np.mean([rep.after for rep in reps]))


def _idle(reps: Replications, ends: FloatArray, skip: int) -> FloatArray:
    """(R,) mean share of the servers' time: as many are busy as tasks do not wait."""
    length = _length(ends, skip)
    served = [
        length * _time_mean(rep.tasks - rep.waiting, ends, skip)
        + (rep.after_tasks - rep.after_waiting)
        for rep in reps
    ]
    whole = _watched(reps, ends, skip) * reps[0].busy.shape[1]
    return np.asarray(1.0 - np.array(served) / whole)


def _idle_by_server(reps: Replications, ends: FloatArray, skip: int) -> FloatArray:
    """(M,) share of each server's time; their mean is that of `_idle`."""
    busy = [rep.busy[skip // BATCH :].sum(axis=0, dtype=np.float64) for rep in reps]
    return np.asarray(1.0 - np.mean(busy, axis=0) / _watched(reps, ends, skip))


def _queues(
    reps: Replications, skip: int, beneficiaries: IndexArray
) -> tuple[Estimate | None, Estimate | None]:
    """Mean tasks in the queues of beneficiaries, and of helpers."""
    if not beneficiaries.size:
        return None, None
    queues = np.array([rep.queues[_quarters(rep, skip)].mean(axis=0) for rep in reps])
    needy = queues[:, beneficiaries].sum(axis=1)
    return interval(needy), interval(queues.sum(axis=1) - needy)


def _quarters(rep: ClusterReplication, skip: int) -> slice:
    """Quarters of the run after the warm-up."""
    return slice(min(-(-4 * skip // rep.tasks.size), 3), None)


def _jobs(reps: Replications, timed: bool) -> JobLatency | None:
    if not reps[0].jobs.size:
        return None
    done = [rep.jobs[np.isfinite(rep.jobs)] for rep in reps]
    if min(each.size for each in done) == 0:
        return None
    mean = interval(np.array([each.mean() for each in done]))
    if not timed:
        return JobLatency(mean, None, None, None, sum(each.size for each in done))
    p50, p95, p99 = map(interval, np.array([np.quantile(each, JOB_QUANTILES) for each in done]).T)
    return JobLatency(mean, p50, p95, p99, sum(each.size for each in done))


def _littles_law(reps: Replications, skip: int, tasks: float, arrived: float) -> float:
    timed = sum(int(rep.timed[skip:].sum()) for rep in reps)
    if timed == 0 or not tasks:
        return float("nan")
    waited = sum(float(rep.sojourn[skip:].sum()) for rep in reps) / timed
    return abs(tasks - arrived * waited) / tasks


def _growing(reps: Replications, names: Sequence[str]) -> list[str]:
    """The servers whose queue in the last quarter is well above that in the third."""
    third, last = np.mean([rep.queues[2:] for rep in reps], axis=0)
    # A quarter of linear growth from an empty start raises the mean by 7/5.
    return [name for name, a, b in zip(names, third, last, strict=True) if b > 1.15 * a + 1.0]


def _looks(reps: Replications) -> dict[str, Any]:
    seconds, events = sum(rep.seconds for rep in reps), sum(rep.events for rep in reps)
    return {
        "total_over_time": np.mean([rep.tasks for rep in reps], axis=0) if reps else np.empty(0),
        "events": events,
        "events_per_second": events / max(seconds, 1e-9),
    }
