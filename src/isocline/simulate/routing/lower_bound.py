"""The lower bound that stands beside every mean of a routing policy.

In a steady state it is the optimum of Eq. (1) of the GMSR paper (its Lemma 1). A run that ends has
one of the same kind. Let work w be served in a time T. As curves are concave, the time averages N_b
of the workloads satisfy sum_b N_b >= optimum(w / T) (Jensen), so that the jobs together spend at
least T * optimum(w / T) in the system. This falls as T grows: of several policies the one that
takes longest has the least, which holds for all of them. Nor is a job ever served faster than alone
at the fastest backend that it may use.

Where backends change their speed, w may be spread over the parts of the run as well: backend b in
a part of length t is one of curve (t/T) l_b(N T/t), and the optimum is over all of these.

All of these know mean rates alone, and say little of bursts. Arrivals that are given, as those of a
trace, have the least total delay of any policy, the future known: `theory.routing.hindsight`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.flow import capacity_scale
from isocline.model.curves import ServersCurve
from isocline.model.fleet import RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.replay import frontends_of, sizes_of
from isocline.model.traffic import ExponentialSizes, Trace
from isocline.simulate.routing.slowdown import Slowdown, factors_at
from isocline.theory.routing.equilibrium import fluid_optimum

FloatArray = npt.NDArray[np.float64]

# Work that comes this close to what can be served is cut to it: less work has a lower bound.
_NEAREST = 1.0 - 1e-6
# The optimum of `servers` curves is up to 1e-6 too high: see `fluid_optimum`.
_TILT = 1.0 - 2e-6


# What a bound knows: mean rates; all arrivals; or all arrivals, and no size but the mean, of jobs
# that have sizes, or another law than the memoryless one: the optimum of the fluid alone.
Kind = Literal["mean rate", "hindsight", "hindsight of mean sizes"]


class Bound(NamedTuple):
    """Lower bound for all policies."""

    latency: float  # s
    jobs: float
    finished_by: float | None  # s, for policies whose last job has left by then; None: for all
    kind: Kind | None = None  # None where none is known
    reached: float | None = None  # s, mean latency of a routing that knows the future


def least_with_hindsight(system: RoutingSystem, trace: Trace, horizon: float) -> Bound | None:
    """The least of all that replay a trace to the horizon, s, from an empty or a busy start.

    Jobs that are there at the start only slow those down that come. None if there are too many
    unlike backends for it.
    """
    # Imported here, so that simulations without a trace do not wait for it.
    from isocline.theory.routing.hindsight.bound import hindsight_bound  # noqa: PLC0415
    from isocline.theory.routing.hindsight.pools import TooLargeError  # noqa: PLC0415

    kept = int(np.searchsorted(trace.times, horizon))
    sizes = sizes_of(system, trace)
    if sizes is not None and not np.isclose(size := float(sizes[:kept].mean()), 1.0, rtol=1e-12):
        size = max(size, 1e-12)  # jobs without work
        backends = tuple(replace(b, curve=b.curve.scaled(1.0 / size)) for b in system.backends)
        system = replace(system, backends=backends)
    frontends = frontends_of(system, trace)
    at = None if frontends is None else frontends[:kept]
    try:
        found = hindsight_bound(system, trace.times[:kept], at)
    except TooLargeError:
        return None
    memoryless = sizes is None and isinstance(system.sizes, ExponentialSizes)
    return Bound(
        found.latency,
        found.lower / horizon,
        None,
        "hindsight" if memoryless else "hindsight of mean sizes",
        found.upper / found.jobs,
    )


def least_mean_jobs(
    system: RoutingSystem,
    rates: FloatArray,
    slowdowns: Sequence[Slowdown],
    start: float,
    end: float,
) -> float:
    """The least mean number of jobs from `start` to `end` of a policy that serves `rates` then.

    Args:
        system: The system; its own rates do not matter.
        rates: (F,) jobs/s >= 0, one above 0; cut to what can be served.
        slowdowns: Of its backends.
        start: s.
        end: s, after `start`.
    """
    changing = _in_parts(system, slowdowns, start, end) if slowdowns else system
    supply = np.maximum(rates, 1e-12 * rates.max())  # the flow wants none to be 0
    scale = capacity_scale(changing.graph, supply, changing.capacities).scale
    return _TILT * fluid_optimum(changing, supply * min(1.0, _NEAREST * scale)).total_jobs


def least_job_seconds(
    system: RoutingSystem, work: FloatArray, slowdowns: Sequence[Slowdown], start: float, end: float
) -> float:
    """The least time that jobs with (F,) `work`, in mean jobs, spend in the system.

    For policies that serve all of it from `start` to `end`, s.
    """
    length = end - start
    together = length * least_mean_jobs(system, work / length, slowdowns, start, end)
    return max(together, float(work @ _alone(system)))


def _alone(system: RoutingSystem) -> FloatArray:
    """(F,) s that a mean job takes alone at the fastest backend that it may use."""
    rate = np.array([float(curve.rate(1.0)) for curve in system.curves])
    return np.asarray(1.0 / np.maximum.reduceat(rate[system.graph.sink], system.graph.first[:-1]))


def _in_parts(
    system: RoutingSystem, slowdowns: Sequence[Slowdown], start: float, end: float
) -> RoutingSystem:
    """Split each backend into one for each part of the run in which no speed changes."""
    cuts = sorted({start, end, *(s.time for s in slowdowns if start < s.time < end)})
    names = [backend.name for backend in system.backends]
    factors = np.array([factors_at(slowdowns, names, cut) for cut in cuts[:-1]])
    shares = np.diff(cuts) / (end - start)
    if any(isinstance(backend.curve, ServersCurve) for backend in system.backends):
        # Part of a server is none: take each at its fastest.
        factors, shares = factors.min(axis=0, keepdims=True), np.ones(1)
    backends = tuple(
        replace(
            backend,
            name=f"{backend.name}@{part}",
            curve=backend.curve.scaled(1.0 / factor).enlarged(float(share)),
        )
        for part, (share, row) in enumerate(zip(shares, factors.tolist(), strict=True))
        for backend, factor in zip(system.backends, row, strict=True)
    )
    each = len(system.backends)
    neighbours = [
        np.concatenate([system.graph.neighbours(f) + part * each for part in range(shares.size)])
        for f in range(len(system.frontends))
    ]
    graph = CompatibilityGraph.from_neighbours(len(backends), neighbours)
    return replace(system, backends=backends, graph=graph)
