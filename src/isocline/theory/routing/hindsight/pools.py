"""Pools of like backends, and arrivals at groups of like frontends.

Backends of one curve, one start and one set of frontends are alike. The least total delay is convex
in the workloads and the same whichever of them is which, so that some optimum holds them equal: a
pool of c of them is one backend with curve c l(N / c), and is kept by the jobs of one member.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.curves import Curve
from isocline.model.graph import CompatibilityGraph

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


# Entries of the tables of rates: 400 MB.
_MOST_ENTRIES = 5e7


class TooLargeError(UsageError):
    """Unlike backends, or jobs, of which there are more than a bound is computed for."""


class Jobs(NamedTuple):
    """n arrivals in order of time; a job that may come at several groups is one for each."""

    time: FloatArray  # (n,) float64, s
    group: IndexArray  # (n,) int64, number of the group of frontends
    weight: FloatArray  # (n,) float64, share of a job


class Constants(NamedTuple):
    """B pools and E edges of F groups, as kernels read them."""

    rate: FloatArray  # (B, M + 1) float64, jobs/s of one member with 0 ... M jobs
    members: FloatArray  # (B,) float64, backends in the pool
    first: IndexArray  # (F + 1,) int64, edges of group f: first[f] .. first[f + 1]
    pool: IndexArray  # (E,) int64, pool of each edge


@final
@dataclass(frozen=True, eq=False)
class Pools:
    """B pools and F groups of frontends, joined by E edges, numbered group by group."""

    members: FloatArray  # (B,) float64, backends in the pool
    rate: FloatArray  # (B, M + 1) float64, jobs/s of one member with 0 ... M jobs
    start: FloatArray  # (B,) float64, jobs of one member at the beginning
    group: IndexArray  # (E,) int64, group of frontends of each edge
    pool: IndexArray  # (E,) int64, pool of each edge
    first: IndexArray  # (F + 1,) int64, edges of group f: first[f] .. first[f + 1]
    jobs: Jobs

    @cached_property
    def gain(self) -> FloatArray:
        """(B, M) float64, jobs/s that one more job adds to a member with 0 ... M - 1 jobs.

        It never rises: `whole_jobs` has seen to it.
        """
        return np.diff(self.rate)

    @property
    def constants(self) -> Constants:
        """The arrays that kernels read."""
        return Constants(self.rate, self.members, self.first, self.pool)

    @property
    def alone(self) -> FloatArray:
        """(B,) s that a job takes alone: the price of one more job at an empty backend."""
        return np.asarray(1.0 / self.gain[:, 0])


def pooled(
    graph: CompatibilityGraph,
    curves: Sequence[Curve],
    start: FloatArray,
    time: FloatArray,
    frontend: npt.NDArray[np.integer] | None,
    shares: FloatArray,
) -> Pools:
    """Pools of a system, and its arrivals.

    Args:
        graph: Of F frontends and B backends.
        curves: (B,) jobs/s.
        start: (B,) jobs at the beginning.
        time: (n,) s, in order.
        frontend: (n,) number of each job's frontend; None where `shares` are all that is known.
        shares: (F,) of the jobs, that come in at each frontend.

    Raises:
        TooLargeError: There are too many jobs for so many unlike backends.
    """
    active = np.flatnonzero(shares > 0.0)
    seen_by: list[list[int]] = [[] for _ in curves]
    for f in active.tolist():
        for b in graph.neighbours(f).tolist():
            seen_by[b].append(f)
    used = [b for b, sources in enumerate(seen_by) if sources or start[b] > 0.0]
    pool_of = _numbered([(curves[b], start[b], tuple(seen_by[b])) for b in used])
    at = dict(zip(used, pool_of, strict=True))
    reached = [
        tuple(sorted({at[b] for b in graph.neighbours(f).tolist()})) for f in active.tolist()
    ]
    group_of = _numbered(reached)
    pools = dict(zip(group_of, reached, strict=True))
    heads = [used[pool_of.index(b)] for b in range(max(pool_of) + 1)]
    most = int(np.ceil(start.sum() + time.size)) + 1
    if len(heads) * most > _MOST_ENTRIES:
        raise TooLargeError(
            f"hindsight bound: {most} jobs at {len(heads)} unlike backends; give at most "
            f"{_MOST_ENTRIES / len(heads):.0f} jobs"
        )
    return Pools(
        members=np.bincount(pool_of).astype(np.float64),
        rate=np.array([whole_jobs(curves[b], most) for b in heads]),
        start=start[heads],
        group=np.repeat(np.arange(len(pools)), [len(pools[f]) for f in range(len(pools))]),
        pool=np.concatenate([np.array(pools[f], np.int64) for f in range(len(pools))]),
        first=np.cumsum([0, *(len(pools[f]) for f in range(len(pools)))]),
        jobs=_jobs(time, frontend, shares, dict(zip(active.tolist(), group_of, strict=True))),
    )


def whole_jobs(curve: Curve, most: int) -> FloatArray:
    """(most + 1,) rate with 0 ... `most` jobs, jobs/s, made concave from above to the last digit.

    A curve is concave; its values are rounded, and may bend the other way by as much.
    """
    rate = np.asarray(curve.rate(np.arange(most + 1, dtype=np.float64)), np.float64)
    gain = np.maximum.accumulate(np.maximum(np.diff(rate), 0.0)[::-1])[::-1]
    return np.concatenate(([0.0], np.cumsum(gain)))


def _numbered(keys: Sequence[Hashable]) -> list[int]:
    """A number for each, the same for those that are equal."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def _jobs(
    time: FloatArray,
    frontend: npt.NDArray[np.integer] | None,
    shares: FloatArray,
    group_of: dict[int, int],
) -> Jobs:
    if frontend is not None:
        number = np.zeros(shares.size, np.int64)
        number[list(group_of)] = list(group_of.values())
        return Jobs(time, number[frontend], np.ones(time.size))
    groups = max(group_of.values()) + 1
    share = np.zeros(groups)
    np.add.at(share, list(group_of.values()), shares[list(group_of)])
    return Jobs(
        np.repeat(time, groups),
        np.tile(np.arange(groups), time.size),
        np.tile(share / share.sum(), time.size),
    )
