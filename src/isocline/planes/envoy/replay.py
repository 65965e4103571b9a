"""Replay of a simulation through the module of Envoy: the same events, the same decisions.

    replay(system, "gmsr", decisions=100_000).agreed

As `isocline.gateway.replay` does with the core: the module, with a stand-in for Envoy around it, is
driven by the arrivals and departures of the simulation and counts for itself. Each frontend is a
cluster of its own, as in a real Envoy, so that the workload of a backend is the sum of what they
count. Ties are drawn from the simulator's stream.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.gateway.replay import Event, events, recorded
from isocline.model.fleet import RoutingSystem
from isocline.planes.envoy.policy_prices import prices
from isocline.planes.envoy.price_table import PriceTable
from isocline.planes.envoy.stand_in import StandIn
from isocline.policies.parse import parse
from isocline.policies.routing.contract import RoutingPolicy
from isocline.randomness.draws import Stream, below, stream
from isocline.simulate.common.decision_diff import DecisionDiff
from isocline.simulate.common.random_streams import LEAVING, POLICY
from isocline.simulate.routing.prepare import Prepared, prepare

# Workloads priced. The simulator's table grows without end, so none may reach this.
_LIMIT = 1 << 14


def replay(
    system: RoutingSystem,
    policy: str | RoutingPolicy = "gmsr",
    *,
    decisions: int = 100_000,
    seed: int = 0,
) -> DecisionDiff:
    """Compare the module's decisions with those of a simulated run from empty.

    Args:
        system: Its arrivals must be Poisson, its sizes exponential.
        policy: One that is a table of prices.
        decisions: Number of decisions to compare.
        seed: Seed of the simulation.

    Raises:
        PolicyError: An unknown policy, or one that is no table of prices.
        UsageError: A system that the compared kernel does not simulate, a number of decisions
            below 1, or no C compiler.
        InfeasibleError: The load exceeds what the backends can serve.
    """
    if decisions < 1:
        raise UsageError(f"replay: {decisions} decisions; give 1 or more")
    chosen = parse(policy) if isinstance(policy, str) else policy
    prepared = prepare(system)
    if not prepared.memoryless:
        raise UsageError("replay: give a system of Poisson arrivals and exponential sizes")
    module = driven(prepared, chosen, decisions, seed)
    simulated = recorded(prepared, chosen, decisions, seed)
    different = np.flatnonzero(simulated != module)
    first = int(different[0]) if different.size else None
    return DecisionDiff("routing", chosen.name, decisions, first)


def driven(
    prepared: Prepared, policy: RoutingPolicy, decisions: int, seed: int
) -> npt.NDArray[np.int64]:
    """Edges that the module chose for the simulation's events, (decisions,)."""
    graph = prepared.system.graph
    frontends = [str(f) for f in range(graph.first.size - 1)]
    backends = {str(b): f"127.0.0.1:{b}" for b in range(prepared.row.size)}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        path = Path(folder, "prices")
        table = stack.enter_context(
            PriceTable.create(path, frontends, backends, limit=_LIMIT, stale_after=0)
        )
        table.write(prices(policy, prepared.setting, _LIMIT), _allowed(prepared))
        ties = stream(seed, 0, POLICY)
        clusters = [
            stack.enter_context(StandIn(path, name, _addresses(prepared, f), ties))
            for f, name in enumerate(frontends)
        ]
        run = _Run(prepared, clusters, stream(seed, 0, LEAVING))
        for event in events(prepared.tables(2), seed):
            run.handle(event)
            if len(run.edges) == decisions:
                break
        return np.array(run.edges)


def _allowed(prepared: Prepared) -> npt.NDArray[np.bool_]:
    graph = prepared.system.graph
    allowed = np.zeros((graph.first.size - 1, prepared.row.size), np.bool_)
    allowed[graph.source, graph.sink] = True
    return allowed


def _addresses(prepared: Prepared, frontend: int) -> list[str]:
    graph = prepared.system.graph
    edges = slice(graph.first[frontend], graph.first[frontend + 1])
    return [f"127.0.0.1:{b}" for b in graph.sink[edges]]


@final
class _Run:
    """Clusters, and the jobs at each backend: the edges that they came by."""

    def __init__(self, prepared: Prepared, clusters: list[StandIn], leaving: Stream) -> None:
        self.edges: list[int] = []
        self._clusters = clusters
        self._active = [one.active.data for one in clusters]  # faster to write to than arrays
        self._leaving = leaving
        graph = prepared.system.graph
        self._first = graph.first.tolist()
        self._source, self._sink = graph.source.tolist(), graph.sink.tolist()
        self._jobs: list[list[int]] = [[] for _ in prepared.row]
        self._row = prepared.row.tolist()
        self._peak = prepared.tables(2).peak.tolist()
        self._rate = prepared.rates(_LIMIT)

    def handle(self, event: Event) -> None:
        if event.who >= 0:
            self._arrive(event.who)
        else:
            self._leave(-1 - event.who, event.coin)

    def _arrive(self, frontend: int) -> None:
        edge = self._first[frontend] + self._clusters[frontend].pick()
        self.edges.append(edge)
        self._jobs[self._sink[edge]].append(edge)
        self._count(edge, 1)

    def _leave(self, backend: int, coin: float) -> None:
        jobs, row = self._jobs[backend], self._row[backend]
        if coin * self._peak[row] >= self._rate[row, len(jobs)]:
            return
        index = below(self._leaving, len(jobs))
        edge = jobs[index]
        jobs[index] = jobs[-1]
        jobs.pop()
        self._count(edge, -1)

    def _count(self, edge: int, change: int) -> None:
        frontend = self._source[edge]
        self._active[frontend][edge - self._first[frontend]] += change
