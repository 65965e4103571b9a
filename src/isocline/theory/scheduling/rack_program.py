"""The linear program of three levels: local alpha, rack beta, remote gamma.

Variables are what each type sends to each local server, how much of it is served in its racks and
by which of them; the rest is served anywhere. Servers of a rack can stand in for one another
there, so only the time that is left in each rack matters. Types with replicas in the same racks
form a class and share their variables at rack level.

The program's prices are a proof that can be checked apart from the solver. Any pi_m = p_m +
q_rack(m) + g >= 0 (prices of a server's, a rack's and everybody's time) show

    s <= sum_m pi_m / sum_L lambda_L min(min_{m in L} pi_m/alpha,
                                        min_{racks k of L} (q_k + g)/beta, g/gamma),

as every task costs at least that much time at these prices wherever it is served.
"""

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.errors import NumericalError
from isocline.model.cluster import Rates
from isocline.model.graph import CompatibilityGraph

if TYPE_CHECKING:
    from scipy.sparse import csr_array

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
IndexArray = npt.NDArray[np.int64]

# The least that HiGHS takes; the numbers of the program are near 1.
_TOLERANCE = 1e-10

# s, of HiGHS. 2000 servers and 200 000 sampled types take it 2 s, 10 000 and as many more than 100.
MOST_SECONDS = 600.0
_OUT_OF_TIME = 1  # linprog's status


class Sinks(NamedTuple):
    """Servers, or groups of servers that are alike and stand in one rack."""

    sizes: FloatArray  # (G,) servers in each group
    rack: IntArray  # (G,) the rack of each group

    @property
    def racks(self) -> int:
        """K."""
        return int(self.rack.max()) + 1


def distinct_sets(graph: CompatibilityGraph) -> tuple[CompatibilityGraph, IndexArray]:
    """Every set of sinks once, and (S,) the number of each source's set."""
    ends, width = graph.sink.tobytes(), graph.sink.itemsize
    number: dict[bytes, int] = {}
    kinds = [
        number.setdefault(ends[low:high], len(number))
        for low, high in pairwise((graph.first * width).tolist())
    ]
    rows = [np.frombuffer(row, graph.sink.dtype) for row in number]
    return CompatibilityGraph.from_neighbours(graph.sinks, rows), np.array(kinds, dtype=np.int64)


@final
class RackProgram:
    """Maximise s. Times are in units of 1/alpha, rates in units that make s about 1.

    Columns: s; local service on each edge (E); what each type has served in its racks (L); what
    each rack serves of each class (P). Rows: a type has no more served near than comes (L); a class
    has served in its racks what these serve of it; and the time of each server (G), of each rack
    (K), and of all servers, where what is not served near takes alpha/gamma.
    """

    def __init__(
        self, graph: CompatibilityGraph, rates: FloatArray, sinks: Sinks, speed: Rates
    ) -> None:
        _, self.rack_rate, self.remote_rate = (rate / speed.local for rate in speed.levels)
        self.unit = speed.local * float(sinks.sizes.sum() / rates.sum())
        self.graph, self.sinks, self.supply = graph, sinks, rates * (self.unit / speed.local)
        self.classes, self.class_of = distinct_sets(_racks_of_types(graph, sinks))
        self._limits()
        self._balance()

    def _limits(self) -> None:
        from scipy.sparse import vstack  # noqa: PLC0415 - scipy is slow, and most need no program

        graph, sinks, classes = self.graph, self.sinks, self.classes
        groups, racks, types = graph.sinks, sinks.racks, np.arange(graph.sources)
        rack_time, remote_time = 1.0 / self.rack_rate, 1.0 / self.remote_rate
        of_rack = _ones(sinks.rack[graph.sink], racks)
        of_type, of_server = _ones(graph.source, types.size), _ones(graph.sink, groups)
        in_rack = rack_time * _ones(classes.sink, racks)
        total = np.array([[remote_time * self.supply.sum()]])
        local_saves = np.full((1, graph.edges), 1.0 - remote_time)
        rack_saves = np.full((1, classes.edges), rack_time - remote_time)
        self.limits = vstack(
            (
                self._row(types.size, -self.supply[:, None], of_type, _ones(types, types.size)),
                self._row(groups, None, of_server),
                self._row(racks, None, of_rack, None, in_rack),
                self._row(1, total, local_saves, None, rack_saves),
            ),
            format="csr",
        )
        rack_sizes = np.bincount(sinks.rack, sinks.sizes, racks)
        servers = sinks.sizes.sum()
        self.room = np.concatenate((np.zeros(types.size), sinks.sizes, rack_sizes, [servers]))

    def _balance(self) -> None:
        count = self.classes.sources
        served = -1.0 * _ones(self.classes.source, count)
        self.balance = self._row(count, None, None, _ones(self.class_of, count), served)

    def _row(self, height: int, *parts: Any) -> Any:
        """A block row; None for what does not enter it."""
        from scipy.sparse import csr_array, hstack  # noqa: PLC0415

        widths = (1, self.graph.edges, self.graph.sources, self.classes.edges)
        given = dict(enumerate(parts))
        blocks = [
            csr_array((height, width)) if given.get(i) is None else csr_array(given[i])
            for i, width in enumerate(widths)
        ]
        return hstack(blocks, format="csr")

    def largest_scale(self, most_seconds: float = MOST_SECONDS) -> tuple[float, float]:
        """The largest s, and the bound on s that the prices prove.

        Raises:
            NumericalError: HiGHS gives up.
            TimeoutError: It does not find them in time.
        """
        from scipy.optimize import linprog  # noqa: PLC0415

        cost = np.zeros(self.limits.shape[1])
        cost[0] = -1.0
        nothing = np.zeros(self.balance.shape[0])
        found = linprog(
            cost,
            self.limits,
            self.room,
            self.balance,
            nothing,
            method="highs",
            options={
                "primal_feasibility_tolerance": _TOLERANCE,
                "dual_feasibility_tolerance": _TOLERANCE,
                "time_limit": most_seconds,
            },
        )
        if found.status == _OUT_OF_TIME:
            raise TimeoutError(found.message)
        if found.status != 0 or found.x is None:
            raise NumericalError(f"rack capacity: {found.message}; please report it")
        return float(found.x[0]) * self.unit, self.bound(-found.ineqlin.marginals)

    def bound(self, prices: FloatArray) -> float:
        """Bound derived in the module's docstring, from the prices of all limits."""
        graph, sinks, classes = self.graph, self.sinks, self.classes
        priced = np.maximum(prices[graph.sources :], 0.0)
        server, rack, everybody = np.split(priced, [graph.sinks, graph.sinks + sinks.racks])
        time = server + rack[sinks.rack] + everybody
        near = (rack + everybody) / self.rack_rate
        local = np.minimum.reduceat(time[graph.sink], graph.first[:-1])
        in_racks = np.minimum.reduceat(near[classes.sink], classes.first[:-1])[self.class_of]
        least = np.minimum(np.minimum(local, in_racks), everybody / self.remote_rate)
        return float(sinks.sizes @ time / (self.supply @ least)) * self.unit


def _racks_of_types(graph: CompatibilityGraph, sinks: Sinks) -> CompatibilityGraph:
    """Types and the racks that hold their data."""
    pairs = np.unique(graph.source.astype(np.int64) * sinks.racks + sinks.rack[graph.sink])
    source, rack = np.divmod(pairs, sinks.racks)
    first = np.searchsorted(source, np.arange(graph.sources + 1)).astype(np.int64)
    return CompatibilityGraph(first, rack.astype(np.int32), sinks.racks)


def _ones(row: npt.NDArray[np.integer], height: int) -> "csr_array":
    """One 1 in each column, in the row given."""
    from scipy.sparse import csr_array  # noqa: PLC0415

    columns = np.arange(row.size)
    return csr_array((np.ones(row.size), (row, columns)), shape=(height, row.size))
