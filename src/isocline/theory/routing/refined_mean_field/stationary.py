"""Mean jobs and latency of power of d choices, as a power series in 1/n: an answer in milliseconds.

Order 0 is the mean field of Vvedenskaya, Dobrushin, Karpelevich (1996) and Mitzenmacher (2001),
which is that of infinitely many backends; orders 1 and 2 are those of `expansion`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import POSITIVE, Range, at_least, checked, require_fields
from isocline.errors import UsageError
from isocline.model.curves import Curve
from isocline.theory.routing.refined_mean_field.drift import Drift, drift
from isocline.theory.routing.refined_mean_field.expansion import expansion
from isocline.theory.routing.refined_mean_field.fixed_point import fixed_point

FloatArray = npt.NDArray[np.float64]

LARGEST_ORDER: Final = 2
MOST_STATES: Final = (512, 512, 160)
"""Of each order, how many numbers x_gj may be needed: time grows as their 3rd or 4th power."""

# Share of backends that may hold as many jobs as are followed, where that is not given; by how many
# jobs terms of higher order reach further; how many are followed at first.
_NEGLIGIBLE, _MARGIN, _FIRST = 1e-13, 2, 16
_ONE_OR_MORE = Range("a finite number, 1 or more", lambda value: 1 <= value < math.inf)
_ORDER = Range("0, 1 or 2", lambda value: value in range(LARGEST_ORDER + 1))


@final
@dataclass(frozen=True)
class BackendGroup:
    """Like backends: service by a curve, sizes exponential with mean 1."""

    curve: Curve
    share: float = 1.0  # of all backends, in proportion to that of other groups
    # Of workloads, in jobs; the least is chosen. None: the jobs themselves (JSQ).
    score: Callable[[FloatArray], FloatArray] | None = None

    def __post_init__(self) -> None:
        require_fields(self, "backend group", share=POSITIVE)

    def scores(self, most: int) -> FloatArray:
        """(most + 1,) at 0 .. most jobs.

        Raises:
            UsageError: They are not as many numbers, or one is nan.
        """
        workloads = np.arange(most + 1.0)
        if self.score is None:
            return workloads
        found = np.asarray(self.score(workloads), dtype=np.float64)
        if found.shape != workloads.shape or np.isnan(found).any():
            problem = f"backend group: score gives {found.shape} for {workloads.shape} workloads"
            raise UsageError(f"{problem}; give one number, not nan, for each")
        return found


@final
@dataclass(frozen=True, eq=False)
class RefinedMeanField:
    """Stationary means with n backends, to every order that was asked for.

    The error is of the order of the first term left out: 1/n^(order + 1), with a factor that grows
    fast as the load tends to 1. A last term that is not small says that n is too small.
    """

    order: int
    fewest: int  # backends that it can be asked for: d without replacement
    # Share of all backends that are of group g and hold at least j jobs is the sum over k of
    # shares[k][g, j - 1] / n^k, j = 1 .. K.
    shares: tuple[FloatArray, ...]  # (order + 1) of (G, K)
    served: FloatArray  # (order + 1,) the same for jobs/s that are served, per backend

    @checked(backends=_ONE_OR_MORE)
    def jobs(self, backends: float, order: int | None = None) -> float:
        """Mean jobs per backend with so many, to this order or the highest."""
        return self._sum([float(term.sum()) for term in self.shares], backends, order)

    @checked(backends=_ONE_OR_MORE)
    def latency(self, backends: float, order: int | None = None) -> float:
        """Mean latency of a job that is served, s (Little's law)."""
        throughput = self._sum(self.served.tolist(), backends, order)
        return self.jobs(backends, order) / throughput

    @checked(backends=_ONE_OR_MORE)
    def at_least(self, backends: float, order: int | None = None) -> FloatArray:
        """(G, K) mean share of all backends that are of group g and hold at least 1 .. K jobs."""
        weights = self._weights(backends, order)
        return np.tensordot(weights, np.stack(self.shares)[: weights.size], axes=1)

    def _sum(self, terms: Sequence[float], backends: float, order: int | None) -> float:
        weights = self._weights(backends, order)
        return float(weights @ np.asarray(terms)[: weights.size])

    def _weights(self, backends: float, order: int | None) -> FloatArray:
        if backends < self.fewest:
            raise UsageError(
                f"backends {backends}: give {self.fewest} or more, as many as are sampled"
            )
        to = self.order if order is None else order
        if to not in range(self.order + 1):
            raise UsageError(f"order {to}: give 0 to {self.order}, the order that was computed")
        return float(backends) ** -np.arange(to + 1.0)


@checked(rate=POSITIVE, d=at_least(1), order=_ORDER, most_jobs=at_least(1))
def refined_mean_field(
    groups: Sequence[BackendGroup],
    rate: float,
    d: int = 2,
    *,
    order: int = 1,
    replacement: bool = False,
    most_jobs: int | None = None,
) -> RefinedMeanField:
    """Means of power of d choices with n backends, without simulation.

    Jobs come as a Poisson process, and each goes to the one of d sampled backends whose score is
    least; equal ones are chosen alike. Sizes are exponential, so that a backend with j jobs
    finishes one at the rate l(j), whatever the order in which it serves them. With one group of
    `ServersCurve(1.0)` this is JSQ(d), whose fixed point is x_j = rate^((d^j - 1) / (d - 1)).

    The least of *all* backends (JSQ, GMSR) is no case of this: its drift is not smooth, and the
    expansion does not hold. Nor does it help where d is not far below n.

    Args:
        groups: Backends by kind.
        rate: Jobs/s that arrive, per backend of all.
        d: Backends that are sampled for a job, of all groups alike.
        order: 0: n without bound; 1 and 2: terms in 1/n and 1/n^2.
        replacement: Whether one backend can be sampled twice, as in most of the literature. Policy
            `power_of_d` samples without, unless told otherwise.
        most_jobs: Buffer of a backend: a job sent to one with as many is lost. None: as many as any
            holds, so that none is.

    Raises:
        UsageError: An argument is out of range; the load is more than the backends can serve under
            this policy, or so near to it that too many jobs would have to be followed.
        NumericalError: No fixed point is found, or it is not stable.

    Source: Gast, Van Houdt, SIGMETRICS 2018 (order 1); Gast, Bortolussi, Tribastone, Performance
    Evaluation 129, 2019 (order 2). The terms for samples without replacement are ours; `expansion`
    has all equations.
    """
    if not groups:
        raise UsageError("groups: none; give at least one BackendGroup")
    weights = _factors(d, 1 if replacement else order + 1, order + 1)
    most_states = MOST_STATES[0 if d == 1 else order]
    if most_jobs is None:
        found, point = _all_jobs(groups, rate, weights, most_states)
    else:
        if len(groups) * most_jobs > most_states:
            raise _too_many(most_states)
        found = _drift(groups, rate, weights, most_jobs)
        point = fixed_point(found, np.zeros(found.service.shape[0]))
    terms = expansion(found, point, order)
    served = np.array([float((found.service @ term).sum()) for term in terms])
    shape = (len(groups), point.size // len(groups))
    held = tuple(term.reshape(shape) for term in terms)
    return RefinedMeanField(order, 1 if replacement else d, held, served)


def _factors(d: int, known: int, powers: int) -> FloatArray:
    """(d, powers) n / (n - k) as power series in 1/n, of which so many terms are not 0."""
    series = np.arange(float(d))[:, None] ** np.arange(powers)
    series[:, known:] = 0.0
    return series


def _drift(groups: Sequence[BackendGroup], rate: float, weights: FloatArray, most: int) -> Drift:
    shares = np.array([group.share for group in groups], dtype=np.float64)
    workloads = np.arange(1.0, most + 1.0)
    service = np.array([group.curve.rate(workloads) for group in groups])
    scores = [group.scores(most) for group in groups]
    return drift(rate, weights, shares / shares.sum(), service, scores)


def _all_jobs(
    groups: Sequence[BackendGroup], rate: float, weights: FloatArray, most_states: int
) -> tuple[Drift, FloatArray]:
    """The drift with room for all jobs, and its fixed point."""
    shares = np.array([group.share for group in groups], dtype=np.float64)
    capacity = float(shares @ [group.curve.supremum for group in groups] / shares.sum())
    if rate >= capacity:
        raise UsageError(f"rate {rate:g}: give less than the mean capacity, {capacity:g} jobs/s")
    limit = most_states // len(groups)  # jobs of a backend
    if rate >= float(shares @ [group.curve.rate(limit) for group in groups] / shares.sum()):
        raise _too_many(most_states)
    # At first twice the jobs where all work at the same share of their peaks.
    alike = [float(g.curve.workload(g.curve.supremum * rate / capacity)) for g in groups]
    most = min(max(_FIRST, math.ceil(2.0 * min(limit, max(alike)))), limit)
    start = np.zeros((len(groups), most))
    while True:
        found = _drift(groups, rate, weights, most)
        point = fixed_point(found, start.ravel()).reshape(start.shape)
        held = int((point.max(axis=0) > _NEGLIGIBLE).sum()) + _MARGIN
        if held <= most:
            break
        if held > limit:
            raise _too_many(most_states)
        more = min(2 * most, limit)
        start, most = np.pad(point, ((0, 0), (0, more - most))), more
    found = _drift(groups, rate, weights, held)
    return found, fixed_point(found, point[:, :held].ravel())


def _too_many(most_states: int) -> UsageError:
    return UsageError(
        f"refined mean field: more than {most_states} shares of backends with at least j jobs, "
        "which is too many; lower rate, order or most_jobs, or raise d, or give fewer groups"
    )
