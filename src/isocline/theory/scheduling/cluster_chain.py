"""Markov chain of a small cluster: tasks that wait, by type, and what each server runs.

The model is that of the near-data paper, Section 2, in continuous time: types of tasks come as
Poisson processes, a task takes an exponential time with the rate of its server's distance to the
data, and runs to its end. An idle server may start a task of any type, or none. Of one type it does
not matter which task is started, so that the number that wait of each, and the level at which each
server works, are all there is to know: every policy's mean is that of some rule, of the present or
of the past, in this chain. It is uniformised (one possible event at each tick of a Poisson clock).

At most `most_waiting` tasks wait; one that comes then is lost. That can only lower the least mean:
whatever is done in the cluster without losses can be done here with fewer tasks, where a server
idles while it would run a lost task. So the least mean here is a lower bound there, for any
`most_waiting`, and the share of tasks that are lost says how much of one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple, final

import numpy as np
import numpy.typing as npt
from scipy.sparse import csc_array, csr_array, eye_array
from scipy.sparse.csgraph import breadth_first_order
from scipy.sparse.linalg import splu

from isocline.errors import UsageError
from isocline.model.cluster import Cluster, ExplicitTasks
from isocline.model.traffic import ExponentialSizes

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

IDLE = -1
LOCAL, RACK, REMOTE = 0, 1, 2

# With one or two types, and with more, whose equations fill up more as they are solved.
MOST_STATES, MOST_STATES_OF_MORE_TYPES = 300_000, 60_000

Rule = Callable[[IntArray, IntArray], tuple[int, int] | None]
"""From (L,) tasks that wait and (M,) levels to a server and the type that it starts, or None."""


class Start(NamedTuple):
    """Start of a task by an idle server."""

    before: int  # number of the configuration
    server: int
    kind: int  # type of the task
    after: int  # number of the configuration


@final
@dataclass(frozen=True, eq=False)
class ClusterChain:
    """N ways in which tasks of L types wait, times C configurations of M servers.

    Their combination (c, n) is state number c N + n of S = C N. An event leads to a state from
    which idle servers may then start tasks, one after the other.
    """

    waiting: IntArray  # (N, L) tasks of each type that wait; none at all first
    running: IntArray  # (C, M) level of each server's task, or IDLE; fewest idle first
    tasks: FloatArray  # (S,) number in the system
    event: Any  # (S, S) sparse, probability of each state after the next tick, before any start
    fewer: IntArray  # (L, N) where one task less of a type waits, -1 if none does
    starts: tuple[Start, ...]  # by `before`

    @property
    def empty(self) -> int:
        """State in which there is no task."""
        return self.tasks.size - len(self.waiting)

    def state(self, waiting: npt.ArrayLike, running: npt.ArrayLike) -> int:
        """Number of a state.

        Args:
            waiting: (L,) tasks that wait of each type.
            running: (M,) level of each server's task, or IDLE.

        Raises:
            UsageError: There is no such state.
        """
        place = np.flatnonzero((self.waiting == np.asarray(waiting)).all(axis=1))
        configuration = np.flatnonzero((self.running == np.asarray(running)).all(axis=1))
        if not (place.size and configuration.size):
            raise UsageError(
                f"no state has {np.asarray(waiting).tolist()} waiting and "
                f"{np.asarray(running).tolist()} running"
            )
        return int(configuration[0]) * len(self.waiting) + int(place[0])


def cluster_chain(cluster: Cluster, most_waiting: int) -> ClusterChain:
    """Chain of a cluster whose types are listed and whose service is exponential.

    Raises:
        UsageError: Types are drawn, the service has another law, `most_waiting` is below 1, or
            the chain has too many states.
    """
    if not isinstance(cluster.tasks, ExplicitTasks):
        raise UsageError(
            "tasks are drawn at random; list their types to have a chain of few states"
        )
    if not isinstance(cluster.service, ExponentialSizes):
        raise UsageError(f"service is {cluster.service.type}; only exponential service has a chain")
    if most_waiting < 1:
        raise UsageError(f"most_waiting is {most_waiting}; give 1 or more")
    levels = _levels(cluster, cluster.tasks)
    kinds = [sorted({IDLE, *column}) for column in levels.T.tolist()]
    states = math.prod(map(len, kinds)) * math.comb(most_waiting + len(levels), len(levels))
    most = MOST_STATES if len(levels) < 3 else MOST_STATES_OF_MORE_TYPES
    if states > most:
        raise UsageError(
            f"the chain has {states:,} states, more than {most:,}; take fewer servers or types, or "
            "a smaller most_waiting"
        )
    running = sorted(product(*kinds), key=lambda levels: levels.count(IDLE))
    waiting, more, fewer = _waiting(len(levels), most_waiting)
    number = {levels: c for c, levels in enumerate(running)}
    tasks = np.array([[len(each) - each.count(IDLE)] for each in running]) + waiting.sum(axis=1)
    starts = tuple(
        Start(c, m, kind, number[_with(each, m, int(levels[kind, m]))])
        for c, each in enumerate(running)
        for m in range(cluster.size)
        if each[m] == IDLE
        for kind in range(len(levels))
    )
    event = _event(cluster, running, number, more, cluster.tasks.rates)
    return ClusterChain(waiting, np.array(running), tasks.ravel() * 1.0, event, fewer, starts)


def _levels(cluster: Cluster, tasks: ExplicitTasks) -> IntArray:
    """(L, M) level at which each server runs tasks of each type."""
    levels = np.full((tasks.rates.size, cluster.size), REMOTE)
    for kind, row in enumerate(levels):
        local = tasks.graph.neighbours(kind)
        if cluster.rates.rack is not None:
            row[np.isin(cluster.rack, cluster.rack[local])] = RACK
        row[local] = LOCAL
    return levels


def _with(running: tuple[int, ...], server: int, level: int) -> tuple[int, ...]:
    return (*running[:server], level, *running[server + 1 :])


def _waiting(types: int, most: int) -> tuple[IntArray, IntArray, IntArray]:
    """(N, L) all vectors of at most `most` tasks; (L, N) where a task more, or less, leads.

    More than `most` lead nowhere else; a task less than none to -1.
    """
    grid = np.indices((most + 1,) * types).reshape(types, -1).T
    waiting = grid[grid.sum(axis=1) <= most]
    weight = (most + 2) ** np.arange(types - 1, -1, -1)
    key = waiting @ weight  # ascending
    here = np.arange(len(waiting))
    full = waiting.sum(axis=1) == most
    more = [np.where(full, here, np.searchsorted(key, key + each)) for each in weight]
    fewer = [
        np.where(column == 0, -1, np.searchsorted(key, key - each))
        for each, column in zip(weight, waiting.T, strict=True)
    ]
    return waiting, np.array(more), np.array(fewer)


def _event(
    cluster: Cluster,
    running: list[tuple[int, ...]],
    number: dict[tuple[int, ...], int],
    more: IntArray,
    arrivals: FloatArray,
) -> Any:
    """Transition probabilities of a tick: an arrival, a departure, or nothing."""
    rates, n = cluster.rates.levels, more.shape[1]
    clock = math.fsum(arrivals) + cluster.size * cluster.rates.local
    here = np.arange(n)
    rows, columns, chances = [], [], []

    def leads(before: int, to: IntArray, rate: float) -> None:
        rows.append(before * n + here)
        columns.append(to)
        chances.append(np.full(n, rate / clock))

    for c, levels in enumerate(running):
        for to, rate in zip(more, arrivals, strict=True):
            leads(c, c * n + to, float(rate))
        busy = [(m, rates[level]) for m, level in enumerate(levels) if level != IDLE]
        for m, rate in busy:
            leads(c, number[_with(levels, m, IDLE)] * n + here, rate)
        nothing = cluster.size * cluster.rates.local - math.fsum(rate for _, rate in busy)
        leads(c, c * n + here, nothing)
    entries = (np.concatenate(chances), (np.concatenate(rows), np.concatenate(columns)))
    return csr_array(entries, shape=(len(running) * n,) * 2)


@final
@dataclass(frozen=True, eq=False)
class Evaluation:
    """Steady state of the chain under one rule."""

    mean: float  # tasks in the system
    lost: float  # share of the tasks that come while `most_waiting` wait
    value: FloatArray  # (S,) ticks times tasks more than from the empty state: relative value


def evaluate(chain: ClusterChain, rule: Rule) -> Evaluation:
    """Steady state under a rule of the present state.

    Raises:
        UsageError: The rule starts what is not there, or leaves tasks of a type for ever.
    """
    return evaluate_starts(chain, _first_starts(chain, rule))


def _first_starts(chain: ClusterChain, rule: Rule) -> IntArray:
    """(S,) the state to which the rule's first start leads; the same if there is none."""
    n = len(chain.waiting)
    to = {(start.before, start.server, start.kind): start.after for start in chain.starts}
    found = np.arange(chain.tasks.size)
    for c, running in enumerate(chain.running):
        if (running != IDLE).all():
            continue
        for place, waiting in enumerate(chain.waiting):
            chosen = rule(waiting, running)
            if chosen is None:
                continue
            server, kind = chosen
            if (c, server, kind) not in to or waiting[kind] == 0:
                raise UsageError(
                    f"rule: with {waiting.tolist()} waiting and {running.tolist()} running it has "
                    f"server {server} start type {kind}; give an idle server and a type that waits"
                )
            found[c * n + place] = to[c, server, kind] * n + chain.fewer[kind, place]
    return found


def after_starts(start: IntArray) -> IntArray:
    """(S,) the state in which no further start follows, from (S,) where the first one leads."""
    after = start
    while True:
        further = start[after]
        if (further == after).all():
            return after
        after = further


def evaluate_starts(chain: ClusterChain, start: IntArray) -> Evaluation:
    """Steady state under a rule given by (S,) where its first start leads from each state.

    Solved exactly (sparse LU) as cycles that begin at the empty state: with T the ticks and C the
    ticks times tasks until it is reached, the mean is C / T, and C - mean T the relative value.

    Raises:
        UsageError: From some state the empty one is not reached: tasks are left for ever.
    """
    after = after_starts(start)
    settled = np.flatnonzero(after == np.arange(after.size))
    place = np.full(after.size, -1)
    place[settled] = np.arange(settled.size)
    tick = chain.event[settled].tocoo()
    ends = place[after[tick.col]]
    chance = csr_array((tick.data, (tick.row, ends)), shape=(settled.size,) * 2)
    first = int(place[chain.empty])
    # Else the equations are singular, at which SuperLU may crash.
    if breadth_first_order(chance.T, first, return_predecessors=False).size < settled.size:
        raise UsageError(
            "rule: from some state the cluster never becomes empty; start tasks of every type"
        )
    others = np.delete(np.arange(settled.size), first)
    from_first = chance[[first]].toarray()[0]
    tasks = chain.tasks[settled]
    equations = csc_array((eye_array(settled.size, format="csr") - chance)[others][:, others])
    # Diagonally dominant: no pivoting, a tenth of the fill.
    factors: Any = splu(
        equations, "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    until = np.zeros((settled.size, 2))
    until[others] = factors.solve(np.column_stack((tasks[others], np.ones(others.size))))
    cost, ticks = from_first @ until + (tasks[first], 1.0)
    mean = float(cost / ticks)
    value = np.zeros(after.size)
    value[settled] = until[:, 0] - mean * until[:, 1]
    visits = np.zeros(settled.size)  # in a cycle
    visits[others] = factors.solve(from_first[others], "T")
    is_full = chain.waiting.sum(axis=1) == chain.waiting.max()
    lost = math.fsum(visits[is_full[settled % len(chain.waiting)]]) / float(ticks)
    return Evaluation(mean, lost, value[after])
