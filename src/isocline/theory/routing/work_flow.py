"""Optimal steady state where the work of a job depends on the edge by which it is sent.

With prefix caches a job of frontend f has work w_fb at backend b. Eq. (1) of the GMSR paper becomes

    least sum_b N_b   with   l_b(N_b) = a_b = sum_f w_fb y_fb,   sum_b y_fb = rate of f,   y >= 0

for the jobs/s y_fb on each edge: a level flow with gains. It is convex, and a feasible point is
optimal iff each frontend sees one cost w_fb / l'_b(N_b) on the edges that it uses and none lower.
Whatever the costs c_f, by weak duality no split has fewer jobs than

    sum_f rate_f c_f - sum_b (p_b l_b(n_b) - n_b),   p_b = the greatest c_f / w_fb of its edges,

with n_b the workload at which the price is p_b, or 0; which certifies it. As these terms cancel,
they tell the least to rounding over what is left of the capacity: 1e-10 at a load of 1 - 1e-6. (The
costs at a split, which depend on it to first order, would tell it to rounding over the square.)
Sweeps over sources, as of a flow without gains, converge ever more slowly the more sources share a
tier. So all prices are found together, by a primal-dual interior-point method, in which a backend
ties its edges by one number: F equations are left for each step.

Where jobs by an edge have a way of t_fb s besides, they are among the jobs for as long, and the
least is that of sum_b N_b + sum_fb t_fb y_fb: the cost of an edge is w_fb / l'_b(N_b) + t_fb, as in
S. R. Balseiro, V. S. Mirrokni and B. Wydrowski (arXiv 2504.10693), and p_b that of
(c_f - t_fb) / w_fb.

Curves are in mean jobs/s, and so is work in mean jobs.
"""

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from isocline.errors import NumericalError, UsageError
from isocline.flow import Prices
from isocline.flow.levels import inflow, inflows, levels
from isocline.model.fleet import RoutingSystem
from isocline.theory.routing.step_to_boundary import longest_step
from isocline.theory.routing.workloads import workloads

FloatArray = npt.NDArray[np.float64]

_STEPS = 200  # of Newton's method; some 30 are needed
_CENTRE, _RECENTRE = 0.2, 0.8  # share of the mean slack that a step aims at; after a short one
_INWARD = 0.2  # share of the room below capacity that the first point takes to use all edges
_PRECISION = 1e-10  # of the jobs, relative
# Of its rates, that the first point does not send, in shares of the room that it leaves. One that
# sends all is quickest; near capacity, one that does not may be less bound by its walls.
_MISSING = (0.0, 300.0, 3000.0)
_ENOUGH = 1e-9  # of the jobs, relative: better than that no other point is tried
_PATIENCE = 40  # steps without a better flow or bound, of which the first ones may have some


class OverloadError(UsageError):
    """The work that has to come is more than the backends can do."""


@final
@dataclass(frozen=True, eq=False)
class WorkFlow:
    """The optimum, and by how much it can be missed. B backends, F frontends, E edges."""

    total_jobs: float  # those on their way included
    least_jobs: float  # no split has fewer
    workloads: FloatArray  # (B,) jobs
    inflow: FloatArray  # (B,) work/s, in mean jobs
    price: FloatArray  # (B,) s: jobs that one more mean job of work per second adds
    level: FloatArray  # (F,) s: jobs that one more job per second at a frontend adds; by the bound
    flow: FloatArray  # (E,) jobs/s on each edge
    conservation: float  # largest relative error of what a frontend sends

    @property
    def gap(self) -> float:
        """How far it may be above the least, relative."""
        return (self.total_jobs - self.least_jobs) / self.total_jobs


def work_flow(system: RoutingSystem, work: FloatArray, ways: FloatArray | None = None) -> WorkFlow:
    """The optimum where a job by each edge has its own work.

    Args:
        system: The system; each frontend has a rate above 0.
        work: (E,) work of a job by each edge, in mean jobs, above 0.
        ways: (E,) s that a job by each edge is on its way besides, from 0 on; None: none is.

    Raises:
        UsageError: Rates or work are not finite numbers above 0, or ways not from 0 on.
        OverloadError: The work that has to come is more than the backends can do.
        NumericalError: The load is so close to the capacity that doubles do not tell it from 1.

    `WorkFlow.gap` is at most 1e-9 up to a load of 0.999, and grows from there: to some 1e-6 at
    0.9999, and a few per cent at 1 - 1e-6.
    """
    graph, rates = system.graph, system.rates
    work = np.asarray(work, np.float64)
    if work.shape != (graph.edges,) or not (np.isfinite(work) & (work > 0)).all():
        raise UsageError(f"work: give {graph.edges} finite numbers above 0, one for each edge")
    ways = np.zeros(graph.edges) if ways is None else np.asarray(ways, np.float64)
    if ways.shape != (graph.edges,) or not (np.isfinite(ways) & (ways >= 0)).all():
        raise UsageError(f"ways: give {graph.edges} finite numbers from 0 on, one for each edge")
    if not (rates > 0).all():
        raise UsageError("work flow: each frontend needs a rate above 0")
    prices = Prices.of_curves(system.curves)
    problem = _Problem(system, prices, work, ways)
    first = problem.first_point()
    room = 1.0 - float((problem.by_backend(work * first) / prices.capacity).max())
    most, least, flow, costs = math.inf, -math.inf, first, np.zeros(graph.sources)
    for missing in _MISSING:
        y, c = problem.solved((1.0 - min(missing * room, 0.5)) * first)
        jobs, bound = problem.jobs(y), problem.bound(c)
        if jobs < most:
            most, flow = jobs, y
        if bound > least:
            least, costs = bound, c
        if most - least <= _ENOUGH * most:
            break
    return problem.result(flow, costs)


@final
@dataclass(frozen=True)
class Copy:
    """Saving of one more copy of what a frontend's jobs need, at one backend."""

    frontend: int
    backend: int
    saving: float  # jobs in the long run
    most: float  # bound of it from prices alone: rate * (level - warm work * price), or 0


def best_copies(
    system: RoutingSystem, work: FloatArray, warm: FloatArray, count: int = 5
) -> list[Copy]:
    """The copies that save most, each alone, greatest first; `count` at most.

    A frontend stands for requests with one prefix. Where it uses a cold edge, a copy there saves,
    to the first order, flow * (cold - warm work) / l'_b. At an edge that it does not use yet, this
    is 0, and yet a copy may pay: by convexity it saves no more than
    rate * (level - warm work / l'_b). Copies are tried in the order of that bound, with a plan for
    each, until no other can be among the best.

    Args:
        system: The system.
        work: (E,) work of a job by each edge now, in mean jobs.
        warm: (E,) that with a copy at its end; edges at which it is no less have their copy.
        count: How many to find.

    Raises:
        UsageError, NumericalError: As `work_flow`.
    """
    graph = system.graph
    now = work_flow(system, work)
    level, price = now.level[graph.source], now.price[graph.sink]
    bound = system.rates[graph.source] * np.maximum(level - warm * price, 0.0)
    # No copy saves more than what is known of the optimum that is left.
    bound = np.where(warm < work, bound + now.total_jobs - now.least_jobs, 0.0)
    found: list[Copy] = []
    for edge in np.argsort(-bound, kind="stable").tolist():
        most = float(bound[edge])
        if most <= 0.0 or (len(found) >= count and found[count - 1].saving >= most):
            break
        then = work_flow(system, np.where(np.arange(graph.edges) == edge, warm, work))
        saving = now.total_jobs - then.total_jobs
        if saving > _PRECISION * now.total_jobs:
            ends = int(graph.source[edge]), int(graph.sink[edge])
            found.append(Copy(*ends, saving, most))
            found.sort(key=lambda copy: -copy.saving)
    return found[:count]


@final
@dataclass(frozen=True, eq=False)
class _Problem:
    """Point by point: y (E,) jobs/s, c (F,) levels, s (E,) slacks w p + t - c, above 0."""

    system: RoutingSystem
    prices: Prices
    work: FloatArray  # (E,)
    ways: FloatArray  # (E,)

    def by_backend(self, values: FloatArray) -> FloatArray:
        """(B,) sums over edges."""
        graph = self.system.graph
        return np.bincount(graph.sink, values, graph.sinks).astype(np.float64)

    def by_frontend(self, values: FloatArray) -> FloatArray:
        """(F,) sums over edges."""
        return np.asarray(np.add.reduceat(values, self.system.graph.first[:-1]))

    def priced(self, received: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(B,) prices at an inflow, and the inverse of their slopes: inf where they are flat."""
        level = levels(self.prices, received)
        fall = np.array([inflow(self.prices, b, w)[1] for b, w in enumerate(level.tolist())])
        with np.errstate(divide="ignore"):
            return level**-2.0, np.where(fall > 0.0, 0.5 * level**3.0 * fall, np.inf)

    def first_point(self) -> FloatArray:
        """(E,) a flow that uses all edges and fills no backend.

        The one that leaves the greatest share of room, and a little of an even one.
        """
        from scipy.optimize import linprog  # noqa: PLC0415 - slow to import, and seldom asked
        from scipy.sparse import csr_array  # noqa: PLC0415

        graph, rates = self.system.graph, self.system.rates
        edges, sources, sinks = graph.edges, graph.sources, graph.sinks
        each = np.arange(edges)
        capacity = self.prices.capacity
        # Unknown: shares of a frontend's rate, and the largest load of a backend.
        share = self.work * rates[graph.source] / capacity[graph.sink]
        rows = np.concatenate((graph.sink, np.arange(sinks)))
        columns = np.concatenate((each, np.full(sinks, edges)))
        values = np.concatenate((share, np.full(sinks, -1.0)))
        loads: Any = csr_array((values, (rows, columns)), shape=(sinks, edges + 1))
        sums: Any = csr_array((np.ones(edges), (graph.source, each)), shape=(sources, edges + 1))
        goal = np.append(np.zeros(edges), 1.0)
        found = linprog(goal, loads, np.zeros(sinks), sums, np.ones(sources), method="highs")
        if found.x is None:
            raise NumericalError(f"work flow: {found.message}; please report it")
        load = float(found.x[-1])
        if not load < 1.0:
            raise OverloadError(
                f"work flow: infeasible, for the work that has to come is {load:.6g} times what "
                "the backends can do; give lower rates, or less work"
            )
        even = 1.0 / np.diff(graph.first)[graph.source]
        most = float((self.by_backend(self.work * rates[graph.source] * even) / capacity).max())
        # So little of the even one that no load is above `load` by more than a part of the room.
        part = _INWARD * min(1.0, (1.0 - load) / max(most - load, 1e-300))
        shares = np.maximum(found.x[:-1], 0.0)
        shares /= self.by_frontend(shares)[graph.source]
        return np.asarray(rates[graph.source] * ((1.0 - part) * shares + part * even))

    def bound(self, c: FloatArray) -> float:
        """Jobs that no split goes below, by the costs (F,) of jobs at frontends, s, above 0."""
        graph = self.system.graph
        offered = (c[graph.source] - self.ways) / self.work
        price = self.prices.empty**-2.0  # of an empty backend: below it takes none
        np.maximum.at(price, graph.sink, offered)
        received = inflows(self.prices, price**-0.5)
        jobs = workloads(self.system.curves, received, price)
        terms = (self.system.rates * c, -price * received, jobs)
        return math.fsum(np.concatenate(terms).tolist())

    def jobs(self, y: FloatArray) -> float:
        """Jobs of a flow; inf if it is more than a backend can do."""
        received = self.by_backend(self.work * y)
        price, _ = self.priced(received)
        if not (received < self.prices.capacity).all() or not np.isfinite(price).all():
            return math.inf
        present = float(workloads(self.system.curves, received, price).sum())
        return present + float(self.ways @ y)

    def solved(self, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(E,) the optimal flow, and (F,) costs that prove it, by Newton's method.

        The best of all steps: near capacity, rounding ends the method before it has converged.

        Args:
            y: (E,) a flow that uses all edges and fills no backend; it need not send everything.
        """
        graph, rates, work, capacity = (
            self.system.graph,
            self.system.rates,
            self.work,
            self.prices.capacity,
        )
        source, sink = graph.source, graph.sink
        price, _ = self.priced(self.by_backend(work * y))
        cost = work * price[sink] + self.ways
        # Slacks of the size of costs, so that no edge is near a wall.
        c = np.minimum.reduceat(cost, graph.first[:-1]) * 0.5
        s = cost - c[source]
        flow, costs = y * (rates / self.by_frontend(y))[source], c
        most, least, since, length = math.inf, -math.inf, 0, 1.0
        for _ in range(_STEPS):
            received = self.by_backend(work * y)
            price, give_way = self.priced(received)
            if not np.isfinite(price).all():
                break
            cost = work * price[sink] + self.ways
            unsent = rates - self.by_frontend(y)
            sent = y * (rates / self.by_frontend(y))[source]
            jobs, bound = self.jobs(sent), self.bound(c) if (c > 0.0).all() else -math.inf
            since = 0 if jobs < most or bound > least else since + 1
            if jobs < most:
                most, flow = jobs, sent
            if bound > least:
                least, costs = bound, c
            if most - least <= _PRECISION * most or since > _PATIENCE:
                break
            aim = (_CENTRE if length > 0.5 else _RECENTRE) * float(y @ s) / y.size
            wrong = cost - c[source] - s
            give = y / s
            push = aim / y - s - wrong
            # dy = give (push + dc - w p' A), A the change of a backend's inflow.
            base = give * push
            tie = 1.0 / (give_way + self.by_backend(work**2 * give))
            held = tie * self.by_backend(work * base)
            cross = np.zeros((graph.sinks, graph.sources))
            np.add.at(cross, (sink, source), work * give)
            matrix = np.diag(self.by_frontend(give)) - cross.T @ (tie[:, None] * cross)
            right = unsent - self.by_frontend(base) + cross.T @ held
            try:
                dc = np.linalg.solve(matrix, right)
            except np.linalg.LinAlgError:  # as close to capacity, as doubles tell apart
                break
            change = held + tie * (cross @ dc)  # p' A
            dy = give * (push + dc[source] - work * change[sink])
            ds = (aim - s * dy) / y - s
            dreceived = self.by_backend(work * dy)
            length = min(
                1.0,
                longest_step(y, dy),
                longest_step(s, ds),
                longest_step(capacity - received, -dreceived),
            )
            y, c, s = y + length * dy, c + length * dc, s + length * ds
        return flow, costs

    def result(self, y: FloatArray, c: FloatArray) -> WorkFlow:
        """The flow with what certifies it; raises NumericalError if there is none."""
        received = self.by_backend(self.work * y)
        price, _ = self.priced(received)
        total, least = self.jobs(y), self.bound(c)
        if not math.isfinite(total) or not math.isfinite(least):
            raise _too_close()
        return WorkFlow(
            total,
            min(least, total),  # but for rounding
            workloads(self.system.curves, received, price),
            received,
            price,
            c,
            y,
            float(np.abs(self.by_frontend(y) / self.system.rates - 1.0).max()),
        )


def _too_close() -> NumericalError:
    return NumericalError(
        "work flow: the load is so close to the capacity that doubles do not tell the two apart; "
        "give lower rates"
    )
