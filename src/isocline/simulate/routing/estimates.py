"""Estimates from the replications of one routing policy, for its line in the table."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.measured import Measured, differences, growing, speed_of
from isocline.simulate.common.percentiles import latency_curve, percentiles, shares_above
from isocline.simulate.common.statistics.intervals import interval
from isocline.simulate.routing.controls import controls, has_product
from isocline.simulate.routing.engines import RoutingRun
from isocline.simulate.routing.lower_bound import Bound
from isocline.simulate.routing.replicate import Replication
from isocline.simulate.routing.results import PolicyResult
from isocline.simulate.routing.run_settings import RunSettings

FloatArray = npt.NDArray[np.float64]


# More than this share of L between L and lambda W is said.
LARGEST_GAP = 0.01


def _arrival_rate(part: Measured[Replication]) -> float:
    """Arrival rate, jobs/s."""
    return float(np.mean(part.total("arrivals"))) / part.length


def _littles_law(part: Measured[Replication]) -> float:
    """|L - lambda W| / L; W is of all jobs that left, served or not."""
    skip = part.skip
    waited = sum(float((rep.sojourn + rep.unfinished)[skip:].sum()) for rep in part.reps)
    return part.littles_law(_arrival_rate(part), int(_left(part).sum()), waited)


def _left(part: Measured[Replication]) -> npt.NDArray[np.int64]:
    """(R,) jobs that left in the measured part, but for those of the start."""
    skip = part.skip
    return np.array([(rep.timed + rep.abandoned + rep.lost)[skip:].sum() for rep in part.reps])


def _service(
    part: Measured[Replication], settings: RunSettings, patient: bool
) -> dict[str, Estimate | int | None]:
    """Counts and times of served jobs, and counts of the others."""
    deadline, failures = settings.deadline, bool(settings.failures)
    if not patient and deadline is None and not failures:
        return {}
    left, timed = _left(part), part.total("timed")
    late = timed * (0.0 if deadline is None else shares_above(part.reps, part.skip, deadline))
    return {
        "abandoned": interval(part.total("abandoned") / left) if patient else None,
        "late": None if deadline is None else interval(late / left),
        "goodput": interval((timed - late) / part.length).over(settings.scale),
        "lost": sum(int(rep.lost.sum()) for rep in part.reps) if failures else None,
        "resent": sum(int(rep.resent.sum()) for rep in part.reps) if failures else None,
    }


def relative_work(part: Measured[Replication]) -> FloatArray:
    """(R,) work over that without any prefix cache."""
    return np.array([rep.cached[0] / rep.cached[1] for rep in part.reps])


def _cached(part: Measured[Replication]) -> dict[str, Any]:
    """Effect of prefix caches, if there are any."""
    if not part.reps[0].cached.size:
        return {}
    hits = np.array([rep.cached[2] / rep.cached[3] for rep in part.reps])
    return {"relative_work": interval(relative_work(part)), "hit_rate": interval(hits)}


def _loaded(part: Measured[Replication]) -> dict[str, Any]:
    """Loads of models, if there are any: of the jobs that ask for one."""
    if not part.reps[0].loads.size:
        return {}
    asking, cold, loads, evicted = np.array(
        [rep.loads[:, part.skip :].sum(axis=1) for rep in part.reps]
    ).T
    asking = np.maximum(asking, 1.0)
    counted = {"cold": cold, "loads": loads, "evictions": evicted}
    none = Estimate(0.0, 0.0, 0.0)
    return {
        name: interval(values / asking) if values.any() else none
        for name, values in counted.items()
    }


def summary(
    label: str,
    part: Measured[Replication],
    reference: Measured[Replication] | None,
    run: RoutingRun,
    bound: Bound,
    *,
    known_means: bool,
    overloaded: Sequence[str] = (),
) -> PolicyResult:
    """The result of a policy that has figures, from replications of `run`.

    `reference` is the first policy's part. `known_means`: arrivals and the served rates have the
    means of `controls`. `overloaded` are the backends that are sent more than they can serve.
    """
    settings, system = run.settings, run.prepared.system
    rate, scale = float(system.rates.sum()), settings.scale
    known = controls(part, rate) if known_means else None
    latency = part.latencies(rate)
    robust = known is not None and has_product(part)
    jobs = interval(part.numbers, known, robust=robust).over(scale)
    # Engines that list jobs time them in any case.
    p50 = p95 = p99 = difference = None
    curve: tuple[tuple[float, float], ...] = ()
    if settings.percentiles:
        p50, p95, p99 = percentiles(part.reps, part.skip)
        curve = latency_curve(part.reps, part.skip)
    if reference is not None:
        difference = interval(differences(latency, reference.latencies(rate)))
    drained = settings.horizon + float(np.mean([rep.after for rep in part.reps]))
    return PolicyResult(
        policy=label,
        status="overloaded" if overloaded else "stable",
        mean_jobs=jobs,
        mean_latency=interval(latency, known, robust=robust),
        p50=p50,
        p95=p95,
        p99=p99,
        latency_curve=curve,
        latencies=latency,
        controls=known,
        ratio_to_bound=None if math.isnan(bound.jobs) else jobs.over(bound.jobs),
        difference=difference,
        completed=part.completed,
        littles_law=_littles_law(part),
        overloaded=tuple(overloaded),
        finished=drained if settings.drain else None,
        arrival_rate=_arrival_rate(part) / scale,
        **_service(part, settings, system.patience is not None),  # type: ignore[arg-type]
        **_cached(part),
        **_loaded(part),
        **_over_time(part.reps, scale),
    )


def unstable(
    label: str,
    reps: Sequence[Replication],
    names: Sequence[str],
    doomed: Sequence[str],
    scale: float = 1.0,
) -> PolicyResult:
    """The result of a policy under which the number of jobs grows without bound.

    `names` are those of the backends; `doomed` are those that theory says are overloaded.
    """
    none: dict[str, Any] = dict.fromkeys(
        ("mean_jobs", "mean_latency", "p50", "p95", "p99", "ratio_to_bound", "difference")
    )
    return PolicyResult(
        policy=label,
        status="unstable",
        **none,
        completed=sum(int(rep.completions.sum()) for rep in reps),
        littles_law=float("nan"),
        overloaded=tuple(doomed or growing(reps, names)),
        **(_over_time(reps, scale) if reps else _nothing(len(names))),
    )


def _over_time(reps: Sequence[Replication], scale: float) -> dict[str, Any]:
    known = speed_of(reps)
    return known | {
        "backend_jobs": np.mean([rep.backend_jobs for rep in reps], axis=0) / scale,
        "total_over_time": known["total_over_time"] / scale,
        "workloads_over_time": reps[0].snapshots if scale == 1.0 else reps[0].snapshots / scale,
    }


def _nothing(backends: int) -> dict[str, Any]:
    return speed_of(()) | {
        "backend_jobs": np.full(backends, np.nan),
        "workloads_over_time": np.zeros((0, backends), np.int32),
    }
