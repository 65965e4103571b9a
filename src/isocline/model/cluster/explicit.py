"""Task types that are listed one by one, each with its local servers and its rate.

So are those of a finite number of chunks, each placed once, that tasks ask for again and again.
"""

import math
from dataclasses import dataclass
from typing import Self, final

import numpy as np
import numpy.typing as npt

from isocline.errors import GraphError, UsageError
from isocline.model.cluster.placement import Placement
from isocline.model.graph import CompatibilityGraph
from isocline.plural import counted
from isocline.record import brief

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


@final
@dataclass(frozen=True, eq=False)
class ExplicitTasks:
    """L task types. A type is the set of servers that hold its data.

    Near-data paper, Section 2.
    """

    __repr__ = brief

    graph: CompatibilityGraph
    """Types are its sources, servers its sinks."""
    rates: FloatArray
    """(L,) tasks/s of each type, > 0; tasks per slot on the slotted clock."""

    def __post_init__(self) -> None:
        rates = np.array(self.rates, dtype=np.float64)
        _require_rates(rates, self.graph.sources)
        bad = np.flatnonzero(~(np.isfinite(rates) & (rates > 0)))
        if bad.size:
            raise UsageError(
                f"tasks[{bad[0]}]: rate is {rates[bad[0]]:g}; give a finite number above 0"
            )
        rates.setflags(write=False)
        object.__setattr__(self, "rates", rates)

    @classmethod
    def from_rows(cls, servers: int, rows: IntArray, rates: FloatArray) -> Self:
        """Tasks whose replicas are rows of `rows`, (n, replicas); equal sets become one type.

        `rates`, (n,), are tasks/s of each row.

        Raises:
            GraphError: A server number out of range, or twice in one row; rates that do not fit.
            UsageError: There are no rows.
        """
        n, replicas = rows.shape
        _require_rates(rates, n)
        if not 0 <= rows.min() <= rows.max() < servers:
            raise GraphError(f"tasks: a server number outside 0 ... {servers - 1}; correct it")
        ordered = np.sort(rows, axis=1)
        if (ordered[:, 1:] == ordered[:, :-1]).any():
            raise GraphError("tasks: a type names a server twice; name each once")
        order, starts = _runs_of_equal_rows(ordered, servers)
        kept = ordered[order[starts]]
        first = np.arange(len(kept) + 1, dtype=np.int64) * replicas
        sink = np.ascontiguousarray(kept, dtype=np.int32).reshape(-1)
        first.setflags(write=False)
        sink.setflags(write=False)
        return cls(CompatibilityGraph(first, sink, servers), np.add.reduceat(rates[order], starts))

    @property
    def rate(self) -> float:
        """Tasks/s of all types together."""
        return math.fsum(self.rates)

    def sped_up(self, factor: float) -> Self:
        """Every rate times `factor`."""
        return self.__class__(self.graph, self.rates * factor)


def _require_rates(rates: FloatArray, types: int) -> None:
    if rates.shape != (types,):
        raise GraphError(
            f"tasks: {counted(rates.size, 'rate')} for {counted(types, 'type')}; give one for each"
        )
    if not types:
        raise UsageError("tasks: there is no type; give at least one")


def _runs_of_equal_rows(
    rows: IntArray, below: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """An order that brings equal rows together, and where in it each run of them begins.

    All numbers in `rows` are below `below`.
    """
    replicas = rows.shape[1]
    if below**replicas < 2**63:  # one number per row: three times as fast
        keys = rows.astype(np.int64) @ below ** np.arange(replicas, dtype=np.int64)
        order = np.argsort(keys, kind="stable")
        changes = np.diff(keys[order]) != 0
    else:
        order = np.lexsort(rows.T)
        ordered = rows[order]
        changes = (ordered[1:] != ordered[:-1]).any(axis=1)
    return order, np.concatenate(([0], np.flatnonzero(changes) + 1))


def zipf_weights(chunks: int, exponent: float) -> FloatArray:
    """(chunks,) popularities, summing to 1: the i-th chunk's is proportional to i^-exponent.

    Raises:
        UsageError: There is no chunk, or the exponent is negative or not finite.
    """
    if chunks < 1:
        raise UsageError(f"chunks is {chunks}; give a whole number of at least 1")
    if not (math.isfinite(exponent) and exponent >= 0):
        raise UsageError(f"zipf exponent is {exponent:g}; give a finite number, 0 or more")
    weights: FloatArray = np.arange(1, chunks + 1, dtype=np.float64) ** -exponent
    return weights / float(weights.sum())


def popular_tasks(
    placement: Placement, servers: int, rate: float, weights: FloatArray, seed: int = 0
) -> ExplicitTasks:
    """Tasks for chunks placed on M servers, `rate` in all, in proportion to `weights` > 0, (n,).

    Chunks on the same set of servers are one type, as the near-data paper has it (Section 2).
    """
    rows = placement.draw(np.random.default_rng((seed, weights.size)), weights.size)
    return ExplicitTasks.from_rows(servers, rows, rate * weights / weights.sum())
