"""Optimal scheduling of a small cluster near its data, by policy iteration.

Minimises the mean number of tasks in the system, and with it, by Little's law, the mean completion
time, over all policies that do not interrupt tasks and do not know how long they will run; they may
leave servers idle. Howard's policy iteration: the present rule is evaluated exactly, then in every
state replaced by the starts that its own values make best. For any values V, with T V what the best
starts and the next tick make of them, no policy of the chain has a mean below min (T V - V), and
that of the best starts is at most max (T V - V) (Odoni, Operations Research 1969): a certificate
that does not depend on how V was found.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.errors import NumericalError, UsageError
from isocline.model.cluster import Cluster
from isocline.theory.scheduling.cluster_chain import (
    IDLE,
    ClusterChain,
    FloatArray,
    IntArray,
    cluster_chain,
    evaluate_starts,
)
from isocline.theory.scheduling.near_data_plan import near_data_plan

# Tasks beyond what servers run fall off about as load^n: so few are lost where all others wait.
_LOST = 1e-6
# Bounds closer than this, relative to the mean, are as good as equal. That takes 5 to 10 rounds.
_CLOSE, _ROUNDS = 1e-8, 50
# Starts that gain less than this part of the largest value gain nothing but rounding errors.
_GAIN = 1e-13


@final
@dataclass(frozen=True, eq=False)
class OptimalPolicy:
    """The least mean number of tasks in the system, and what brings it about."""

    chain: ClusterChain
    start: IntArray  # (S,) the state to which the first start leads; itself if there is none
    mean: float  # tasks in the system, of this rule in the chain
    low: float  # no policy of the chain, and none of the cluster without losses, has less
    high: float  # this rule has at most this, in the chain
    lost: float  # share of the tasks that come while as many wait as the chain has room for

    def first_start(self, waiting: npt.ArrayLike, running: npt.ArrayLike) -> tuple[int, int] | None:
        """Server that is to start a task, and the task's type; None if all are to go on as they do.

        Args:
            waiting: (L,) tasks that wait of each type.
            running: (M,) level of each server's task, or IDLE.

        Raises:
            UsageError: There is no such state.
        """
        state = self.chain.state(waiting, running)
        n = len(self.chain.waiting)
        for start in self.chain.starts:
            fewer = self.chain.fewer[start.kind, state % n]
            leads = start.before == state // n and fewer >= 0
            if leads and self.start[state] == start.after * n + fewer:
                return start.server, start.kind
        return None


def optimal_policy(cluster: Cluster, most_waiting: int | None = None) -> OptimalPolicy:
    """Policy of the least mean number of tasks, and so of the least mean completion time.

    Args:
        cluster: Listed task types and exponential service; inside its capacity region.
        most_waiting: Room for tasks that wait; by default enough that about one in 10^6 is lost.

    Raises:
        UsageError: The cluster is another, not inside its capacity region, or too large; or
            `most_waiting` is so little that turning tasks away is optimal.
    """
    if most_waiting is None:
        most_waiting = usual_room(cluster)
    chain = cluster_chain(cluster, most_waiting)
    _, start = best_starts(chain, _first_values(chain, cluster))
    for _ in range(_ROUNDS):
        try:
            found = evaluate_starts(chain, start)
        except UsageError as error:
            raise UsageError(
                f"most_waiting is {most_waiting}: so little room that it pays to turn tasks away "
                "by leaving others waiting; give more"
            ) from error
        value, better = best_starts(chain, chain.tasks + chain.event @ found.value)
        gain = value - found.value
        low, high = float(gain.min()), float(gain.max())
        if high - low <= _CLOSE * found.mean:
            return OptimalPolicy(chain, start, found.mean, low, high, found.lost)
        start = better
    raise NumericalError(
        f"optimal policy: between {low:.12g} and {high:.12g} tasks after {_ROUNDS} rounds; give a "
        "smaller most_waiting"
    )


def usual_room(cluster: Cluster) -> int:
    """How many tasks the chain has room for, so that about one in 10^6 is lost.

    Raises:
        UsageError: The cluster is not inside its capacity region.
    """
    load = 1.0 / near_data_plan(cluster, replicas_to_try=0).capacity_scale
    if load >= 1.0:
        raise UsageError(
            f"the load is {load:.3g} of the capacity: no policy is stable; lower the rates"
        )
    return max(math.ceil(math.log(_LOST) / math.log(load)), 5)


def best_starts(chain: ClusterChain, value: FloatArray) -> tuple[FloatArray, IntArray]:
    """Least value that starts can lead to from each state, and where the first one leads.

    Args:
        chain: The chain.
        value: (S,) of each state if nothing is started there.
    """
    n = len(chain.waiting)
    least = value.reshape(-1, n).copy()
    first = np.arange(value.size).reshape(-1, n)
    gain = _GAIN * float(np.abs(value).max())
    for before, _, kind, after in chain.starts:  # after < before: its best starts are known
        waits = np.flatnonzero(chain.fewer[kind] >= 0)
        fewer = chain.fewer[kind, waits]
        is_less = least[after, fewer] < least[before, waits] - gain
        better, fewer = waits[is_less], fewer[is_less]
        least[before, better] = least[after, fewer]
        first[before, better] = after * n + fewer
    return least.ravel(), first.ravel()


def _first_values(chain: ClusterChain, cluster: Cluster) -> FloatArray:
    """(S,) values with which to begin; their rule is much like the near-data paper's.

    Every server works locally where it can, and a task starts where it takes n times as long as
    locally if n or more of its type wait, as help from the first task on may be unstable.
    """
    slowdown = np.array([cluster.rates.local / rate for rate in cluster.rates.levels])
    excess = np.where(chain.running == IDLE, 0.0, slowdown[chain.running] - 1.0).sum(axis=1)
    value: FloatArray = 0.5 * np.square(chain.waiting).sum(axis=1) + excess[:, None]
    return value.ravel()
