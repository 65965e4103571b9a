"""Estimates from the replications of one policy on a cluster, for its line in the table."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.measured import Measured, differences, growing, speed_of
from isocline.simulate.common.percentiles import latency_curve, percentiles
from isocline.simulate.common.run_settings import BATCH
from isocline.simulate.common.statistics.intervals import interval, ratio_interval
from isocline.simulate.scheduling.replicate import ClusterReplication
from isocline.simulate.scheduling.results import JobLatency, SchedulingResult
from isocline.simulate.scheduling.run_settings import ClusterRunSettings
from isocline.simulate.scheduling.scenario import ClusterScenario

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]
Part = Measured[ClusterReplication]

JOB_QUANTILES = (0.5, 0.95, 0.99)
# Of the time of a run: sums of 10^7 services have relative errors of some 10^-12.
_ROUNDING = 1e-10


def summary(
    policy: tuple[str, str],
    part: Part,
    reference: Part | None,
    scene: ClusterScenario,
    settings: ClusterRunSettings,
    bound: float,
) -> SchedulingResult:
    """The result of a policy that has figures.

    Args:
        policy: Its name, and what it does where the paper can be read in two ways.
        part: Its replications, after the warm-up.
        reference: Those of the first policy, if others are compared with it.
        scene: The cluster at its load.
        settings: Those of all replications.
        bound: Lower bound on the mean latency.
    """
    label, reading = policy
    arrived, timed = part.arrived, settings.percentiles
    # Only drawn arrivals have the cluster's rate as their mean, and are a control. Of a list of
    # jobs, which may have been cut short, what came is known exactly.
    exact = scene.cluster.arrival_rate
    known = arrived[:, None] - exact if scene.jobs is None else None
    rate = exact if scene.jobs is None else arrived
    latency = part.latencies(rate)
    mean = interval(latency, known)
    p50 = p95 = p99 = None
    curve: tuple[tuple[float, float], ...] = ()
    if timed:
        p50, p95, p99 = percentiles(part.reps, part.skip, whole=settings.slotted)
        curve = latency_curve(part.reps, part.skip, whole=settings.slotted)
    own = None if reference is None else reference.latencies(rate)
    local, rack, remote = _shares(part)
    needy = scene.beneficiaries
    perpendicular, square = _perpendicular(part, 1 if needy.size else 0)
    beneficiary_tasks, helper_tasks = _queues(part, needy)
    mean_rate = float(arrived.mean())
    waited = sum(float(rep.sojourn[part.skip :].sum()) for rep in part.reps)
    ended = float(part.ends[-1] + np.mean([rep.after for rep in part.reps]))
    return SchedulingResult(
        policy=label,
        status="overloaded" if scene.overloaded else "stable",
        mean_tasks=interval(part.numbers, known),
        mean_latency=mean,
        p50=p50,
        p95=p95,
        p99=p99,
        latency_curve=curve,
        latencies=latency,
        controls=known,
        ratio_to_bound=mean.over(bound),
        difference=None if own is None else interval(differences(latency, own)),
        ratio=None if own is None else ratio_interval(latency, own),
        local_share=local,
        rack_share=rack,
        remote_share=remote,
        idle_share=interval(_idle(part)),
        perpendicular=perpendicular,
        perpendicular_square=square,
        beneficiary_tasks=beneficiary_tasks,
        helper_tasks=helper_tasks,
        reading=reading,
        jobs=_jobs(part.reps, timed),
        completed=part.completed,
        littles_law=part.littles_law(mean_rate, int(part.total("timed").sum()), waited),
        overloaded=scene.overloaded,
        idle_by_server=_idle_by_server(part),
        arrival_rate=mean_rate,
        finished=None if scene.jobs is None else ended,
        **speed_of(part.reps),
    )


def unstable(
    policy: tuple[str, str], reps: Sequence[ClusterReplication], names: Sequence[str]
) -> SchedulingResult:
    """The result of a policy under which the number of tasks grows without bound.

    `names` are those of the servers, or without a run of those that theory calls overloaded.
    """
    label, reading = policy
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
        overloaded=tuple(growing(reps, names) if reps else names),
        idle_by_server=np.empty(0),
        **speed_of(reps),
    )


def _shares(part: Part) -> list[Estimate]:
    """Shares of the started tasks at the local, rack and remote level."""
    started = np.array(
        [rep.started[part.skip :].sum(axis=0) for rep in part.reps], dtype=np.float64
    )
    return [interval(share) for share in (started / started.sum(axis=1, keepdims=True)).T]


def _perpendicular(part: Part, over: int) -> tuple[Estimate | None, Estimate | None]:
    """First and second moment of |Q_perp| over all servers (0) or beneficiaries (1)."""
    samples = part.total("samples")
    if samples.min() == 0:
        return None, None
    sums = np.array([rep.perpendicular[part.skip :, over].sum(axis=0) for rep in part.reps])
    first, second = (sums / samples[:, None]).T
    return interval(first), interval(second)


def _watched(part: Part) -> float:
    """Mean time for which servers were observed: until the last task had ended."""
    return part.length + float(np.mean([rep.after for rep in part.reps]))


def _idle(part: Part) -> FloatArray:
    """(R,) mean share of the servers' time: as many are busy as tasks do not wait."""
    served = [
        part.length * part.time_mean(rep.tasks - rep.waiting)
        + (rep.after_tasks - rep.after_waiting)
        for rep in part.reps
    ]
    whole = _watched(part) * part.reps[0].busy.shape[1]
    return idle_shares(np.array(served) / whole)


def _idle_by_server(part: Part) -> FloatArray:
    """(M,) share of each server's time; their mean is that of `_idle`."""
    busy = [rep.busy[part.skip // BATCH :].sum(axis=0, dtype=np.float64) for rep in part.reps]
    return idle_shares(np.mean(busy, axis=0) / _watched(part))


def idle_shares(busy: FloatArray) -> FloatArray:
    """Shares of time in which servers are idle; what is left by rounding alone is none.

    Args:
        busy: Shares in which they run something, of any shape.
    """
    idle = 1.0 - busy
    return np.asarray(np.where(np.abs(idle) < _ROUNDING, 0.0, idle))


def _queues(part: Part, beneficiaries: IndexArray) -> tuple[Estimate | None, Estimate | None]:
    """Mean tasks in the queues of beneficiaries, and of helpers."""
    if not beneficiaries.size:
        return None, None
    # Of the quarters of the run after the warm-up.
    first = min(-(-4 * part.skip // part.ends.size), 3)
    queues = np.array([rep.queues[first:].mean(axis=0) for rep in part.reps])
    needy = queues[:, beneficiaries].sum(axis=1)
    return interval(needy), interval(queues.sum(axis=1) - needy)


def _jobs(reps: Sequence[ClusterReplication], timed: bool) -> JobLatency | None:
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
