"""Decisions of the module of Envoy for the events of a simulation.

    replay(system, "gmsr", through=driven).agreed  # isocline.gateway.replay

The module, with a stand-in for Envoy around it, is driven as the core is, and counts for itself.
Each frontend is a cluster of its own, as in a real Envoy, so that the workload of a backend is the
sum of what they count. Ties are drawn from the simulator's stream.
"""

import tempfile
from collections.abc import Hashable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.errors import PolicyError
from isocline.gateway.replay import Live, driven_by, policy_stream
from isocline.model.graph import CompatibilityGraph
from isocline.planes.envoy.policy_prices import prices
from isocline.planes.envoy.price_table import PriceTable
from isocline.planes.envoy.stand_in import StandIn
from isocline.policies.routing.contract import RoutingPolicy
from isocline.policies.routing.picks import least
from isocline.simulate.routing.prepare import Prepared

# Workloads priced. The simulator's table grows without end, so none may reach this.
_LIMIT = 1 << 14


def driven(
    prepared: Prepared, policy: RoutingPolicy, decisions: int, seed: int
) -> npt.NDArray[np.int64]:
    """Edges that the module chose for the simulation's events, (decisions,).

    Raises:
        PolicyError: The policy is no table of prices, or draws ties in another way than modules.
        UsageError: There is no C compiler.
    """
    if policy.functions()[0] is not least:
        raise PolicyError(
            f"policy {policy.name} is no table of prices, or draws ties in another way, so that "
            "single decisions cannot be compared; give gmsr, jsq or least_expected_latency"
        )
    table = prices(policy, prepared.setting, _LIMIT)
    graph = prepared.system.graph
    frontends = [str(f) for f in range(graph.first.size - 1)]
    backends = {str(b): f"127.0.0.1:{b}" for b in range(prepared.row.size)}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        path = Path(folder, "prices")
        mapped = stack.enter_context(
            PriceTable.create(path, frontends, backends, limit=_LIMIT, stale_after=0)
        )
        mapped.write(table, _allowed(graph, len(backends)))
        ties = policy_stream(seed)
        clusters = [
            stack.enter_context(StandIn(path, name, _addresses(graph, f), ties))
            for f, name in enumerate(frontends)
        ]
        return driven_by(_Clusters(graph, clusters), prepared, decisions, seed)


def _allowed(graph: CompatibilityGraph, backends: int) -> npt.NDArray[np.bool_]:
    allowed = np.zeros((graph.first.size - 1, backends), np.bool_)
    allowed[graph.source, graph.sink] = True
    return allowed


def _addresses(graph: CompatibilityGraph, frontend: int) -> list[str]:
    edges = slice(graph.first[frontend], graph.first[frontend + 1])
    return [f"127.0.0.1:{b}" for b in graph.sink[edges]]


@final
class _Clusters(Live):
    """A cluster for each frontend; the key of a job is its edge."""

    def __init__(self, graph: CompatibilityGraph, clusters: Sequence[StandIn]) -> None:
        self._clusters = clusters
        self._active = [one.active.data for one in clusters]  # faster to write to than arrays
        self._first = graph.first.tolist()
        self._source, self._sink = graph.source.tolist(), graph.sink.tolist()

    def arrived(self, _now: float, frontend: int) -> tuple[int, Hashable]:
        edge = self._first[frontend] + self._clusters[frontend].pick()
        self._count(edge, 1)
        return self._sink[edge], edge

    def finished(self, job: Hashable, _now: float) -> None:
        assert isinstance(job, int)
        self._count(job, -1)

    def _count(self, edge: int, change: int) -> None:
        frontend = self._source[edge]
        self._active[frontend][edge - self._first[frontend]] += change
