"""Tiers at any workloads: sets that share a marginal rate, and the arcs between them.

GMSR paper, Section 6.1: the best-backend graph (Definition 2), its tiers (Definition 3), the
TierGraph (Definition 4), and what holds of every one of them: arcs lead to lower marginal rates
(Lemma 6, Corollary 1), so that there is no cycle (Corollary 2).
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import NOT_NEGATIVE, checked
from isocline.errors import UsageError
from isocline.flow import Tier, tiers
from isocline.flow.tiers import SAME
from isocline.model.fleet import RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.record import Record, data_frame

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_array

FloatArray = npt.NDArray[np.float64]
MaskArray = npt.NDArray[np.bool_]


class TierState(NamedTuple):
    """A tier (Definition 3) and how its workload changes."""

    frontends: tuple[str, ...]  # may be empty: a backend that no frontend prefers
    backends: tuple[str, ...]
    marginal_rate: float  # l'_B, jobs/s per job
    imbalance: float | None  # jobs/s that come less those that leave; None without workloads


@final
@dataclass(frozen=True)
class Structure(Record):
    """Tiers and TierGraph of a routing system at given workloads."""

    kind: ClassVar[str] = "structure"
    picture: ClassVar[str] = "plots.structure:structure_picture"
    tiers: tuple[TierState, ...]  # in order of falling marginal rate
    best_edges: tuple[tuple[str, str], ...]  # (frontend, backend) of the best-backend graph
    edges: tuple[tuple[str, str], ...] = field(repr=False)  # of the whole compatibility graph
    arcs: tuple[tuple[int, int], ...]  # (i, j): a frontend of tiers[i] may use a backend of [j]
    system: str = "system"  # its name

    @cached_property
    def reaches(self) -> MaskArray:
        """(k, k): whether a path of one arc or more leads from tier i to tier j, "i before j"."""
        from scipy.sparse.csgraph import shortest_path  # noqa: PLC0415 - slow, and seldom asked

        # A walk of at least one arc: first one arc, then any number.
        steps = self._adjacency().astype(np.float64)
        rest = np.isfinite(shortest_path(steps, unweighted=True))
        return np.asarray(steps @ rest.astype(np.float64) > 0.0)

    @property
    def acyclic(self) -> bool:
        """Corollary 2: whether the TierGraph has no cycle."""
        from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

        parts, _ = connected_components(self._adjacency(), directed=True, connection="strong")
        return int(parts) == len(self.tiers)

    @property
    def falling(self) -> bool:
        """Lemma 6: whether every arc leads to a lower marginal rate."""
        rate = [tier.marginal_rate for tier in self.tiers]
        return all(rate[i] > rate[j] for i, j in self.arcs)

    def to_dict(self) -> dict[str, Any]:
        """A JSON document; arcs are pairs of positions in `tiers`, from 0."""
        return {
            "kind": self.kind,
            "tiers": [
                {
                    "frontends": list(tier.frontends),
                    "backends": list(tier.backends),
                    "marginal_rate": tier.marginal_rate,
                    "imbalance": tier.imbalance,
                }
                for tier in self.tiers
            ],
            "best_edges": [list(edge) for edge in self.best_edges],
            "edges": [list(edge) for edge in self.edges],
            "arcs": [list(arc) for arc in self.arcs],
        }

    def to_frame(self) -> "pd.DataFrame":
        """One row for each backend: its tier (from 1), marginal rate and the tier's imbalance."""
        rows = [
            {
                "backend": name,
                "tier": i,
                "marginal_rate": tier.marginal_rate,
                "imbalance": tier.imbalance,
            }
            for i, tier in enumerate(self.tiers, 1)
            for name in tier.backends
        ]
        columns = ("backend", "tier", "marginal_rate", "imbalance")
        return data_frame(rows, columns).set_index("backend")

    def _adjacency(self) -> "csr_array":
        from scipy.sparse import csr_array  # noqa: PLC0415

        # 32 bits: `shortest_path` of older SciPy takes no other indices.
        i, j = np.array(self.arcs, dtype=np.int32).reshape(-1, 2).T
        shape = (len(self.tiers), len(self.tiers))
        return csr_array((np.ones(i.size, dtype=np.int8), (i, j)), shape=shape)


@checked(same=NOT_NEGATIVE)
def structure(system: RoutingSystem, workloads: npt.ArrayLike, *, same: float = SAME) -> Structure:
    """Tiers and TierGraph at any workloads.

    Args:
        system: The system.
        workloads: (B,) jobs at each backend, 0 or more. At and past a table's peak l' is 0.
        same: Marginal rates within this share of each other are one.

    Raises:
        UsageError: A workload is missing, negative or not finite.
    """
    at = as_workloads(system, workloads)
    pairs = list(zip(system.curves, at, strict=True))
    marginal = np.array([float(curve.marginal(jobs)) for curve, jobs in pairs])
    served = np.array([float(curve.rate(jobs)) for curve, jobs in pairs])
    frontends = tuple(frontend.name for frontend in system.frontends)
    backends = tuple(backend.name for backend in system.backends)
    found = _structure(system.graph, marginal, same, frontends, backends, (system.rates, served))
    return replace(found, system=system.name)


@checked(same=NOT_NEGATIVE)
def structure_of(
    graph: CompatibilityGraph, marginal_rates: npt.ArrayLike, *, same: float = SAME
) -> Structure:
    """Tiers and TierGraph from marginal rates alone; frontends are f1, f2, ..., backends b1, ...

    Args:
        graph: The compatibility graph.
        marginal_rates: (B,) l'_b, jobs/s per job, 0 or more.
        same: Marginal rates within this share of each other are one.

    Raises:
        UsageError: A marginal rate is missing, negative or not finite.
    """
    given = np.asarray(marginal_rates, dtype=np.float64)
    if given.shape != (graph.sinks,) or not (np.isfinite(given) & (given >= 0.0)).all():
        raise UsageError(
            f"marginal_rates is {marginal_rates!r}; give {graph.sinks} finite numbers, 0 or "
            "more, one for each backend"
        )
    frontends = tuple(f"f{i}" for i in range(1, graph.sources + 1))
    backends = tuple(f"b{i}" for i in range(1, graph.sinks + 1))
    return _structure(graph, given, same, frontends, backends, None)


def as_workloads(system: RoutingSystem, workloads: npt.ArrayLike) -> FloatArray:
    """(B,) workloads as an array; raises UsageError unless there is one, 0 or more, a backend."""
    at = np.asarray(workloads, dtype=np.float64)
    count = len(system.backends)
    if at.shape != (count,) or not (np.isfinite(at) & (at >= 0.0)).all():
        raise UsageError(
            f"workloads is {workloads!r}; give {count} finite numbers, 0 or more, one for each "
            "backend in the order of the system"
        )
    return at


def _structure(
    graph: CompatibilityGraph,
    marginal: FloatArray,
    same: float,
    frontends: tuple[str, ...],
    backends: tuple[str, ...],
    flows: tuple[FloatArray, FloatArray] | None,
) -> Structure:
    with np.errstate(divide="ignore"):
        found = tiers(graph, 1.0 / marginal, same)
    tier_of_source, tier_of_sink = _tier_numbers(graph, found)
    i, j = tier_of_source[graph.source], tier_of_sink[graph.sink]
    arcs = sorted({(int(a), int(b)) for a, b in zip(i[i != j], j[i != j], strict=True)})
    names = [
        (frontends[f], backends[b])
        for f, b in zip(graph.source.tolist(), graph.sink.tolist(), strict=True)
    ]
    # An edge inside a tier leads to the tier's one marginal rate, which is its frontend's best.
    best = np.flatnonzero(i == j)
    return Structure(
        tiers=tuple(_state(tier, marginal, frontends, backends, flows) for tier in found),
        best_edges=tuple(names[e] for e in best),
        edges=tuple(names),
        arcs=tuple(arcs),
    )


def _state(
    tier: Tier,
    marginal: FloatArray,
    frontends: tuple[str, ...],
    backends: tuple[str, ...],
    flows: tuple[FloatArray, FloatArray] | None,
) -> TierState:
    sources, sinks = list(tier.sources), list(tier.sinks)
    return TierState(
        tuple(frontends[f] for f in sources),
        tuple(backends[b] for b in sinks),
        float(marginal[sinks].max()),
        None if flows is None else float(flows[0][sources].sum() - flows[1][sinks].sum()),
    )


def _tier_numbers(
    graph: CompatibilityGraph, found: list[Tier]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    of_source = np.empty(graph.sources, dtype=np.int64)
    of_sink = np.empty(graph.sinks, dtype=np.int64)
    for number, tier in enumerate(found):
        of_source[list(tier.sources)] = number
        of_sink[list(tier.sinks)] = number
    return of_source, of_sink
