"""Parts of a log's mean latency: how far it is above the optimum, and why.

    latency = least + missing + routing + fluctuation + held + outside

`least` is the optimum if every frontend could use every backend, and `missing` what the connections
that there are not add to it. The others are those of `theory.routing.optimality_gap`.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.audit.frontends import LoggedFrontends
from isocline.audit.learned import LearnedFleet
from isocline.audit.records import AccessRecords
from isocline.audit.workloads import BLOCKS, Occupied
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals
from isocline.theory.routing.equilibrium import fluid_optimum
from isocline.theory.routing.optimality_gap import Measured, optimality_gap

FloatArray = npt.NDArray[np.float64]


class Parts(NamedTuple):
    """Parts of the mean latency, s, which they add up to."""

    least: float
    missing: float
    routing: float
    fluctuation: float
    held: float
    outside: float

    @property
    def latency(self) -> float:
        """Their sum."""
        return sum(self)


@final
@dataclass(frozen=True, eq=False)
class BlockMeans:
    """Sums over each of J blocks of the window, by which requests were served and where."""

    length: float  # s, of a block
    served: FloatArray  # (J, F) requests by their end
    inflow: FloatArray  # (J, B) work done, in mean jobs
    job_seconds: FloatArray  # (J, B)
    latency: FloatArray  # (J,) s, of all that were served, together
    held: FloatArray  # (J,) s, likewise


def block_means(
    records: AccessRecords, frontends: LoggedFrontends, occupied: Occupied
) -> BlockMeans:
    """Sums over blocks, of the requests that were served."""
    edges = occupied.edges
    block = np.searchsorted(edges, records.end, side="right") - 1
    kept = records.served & (block >= 0) & (block < BLOCKS)
    own, count = block[kept], len(frontends.names)
    jobs = occupied.seconds * np.arange(occupied.seconds.shape[2])
    latency = (records.end - records.start)[kept]

    def summed(values: FloatArray) -> FloatArray:
        return np.bincount(own, values, minlength=BLOCKS).astype(np.float64)

    return BlockMeans(
        float(edges[1] - edges[0]),
        np.bincount(own * count + frontends.of[kept], minlength=BLOCKS * count)
        .reshape(BLOCKS, count)
        .astype(np.float64),
        occupied.done.sum(axis=2),
        jobs.sum(axis=2),
        summed(latency),
        summed(records.held[kept]),
    )


def learned_system(
    records: AccessRecords,
    frontends: LoggedFrontends,
    fleet: LearnedFleet,
    rates: FloatArray,
    name: str,
) -> RoutingSystem:
    """The system of a log, at rates (F,) in jobs/s."""
    backends = tuple(
        Backend(called, curve, url=url_of(called))
        for called, curve in zip(records.backends, fleet.curves, strict=True)
    )
    fronts = tuple(
        Frontend(called, PoissonArrivals(float(rate)))
        for called, rate in zip(frontends.names, rates, strict=True)
    )
    return RoutingSystem(fronts, backends, frontends.graph, name=name)


def url_of(backend: str) -> str | None:
    """The url of a backend whose name in the log is an address; None if it is none.

    Of HAProxy's POOL/SERVER the server's name counts, which may be one.
    """
    address = backend.rpartition("/")[2]
    host, colon, port = address.rpartition(":")
    return f"http://{address}" if host and colon and port.isdigit() else None


def parts_of(system: RoutingSystem, means: BlockMeans, weights: FloatArray) -> Parts:
    """Parts of the mean latency over blocks that count `weights` (J,) times.

    Raises:
        InfeasibleError: More was served than the curves can serve.
        UsageError: Nothing was served.
    """
    seconds = means.length * float(weights.sum())
    served = weights @ means.served
    total = max(float(served.sum()), 1e-300)
    measured = Measured(
        served / seconds,
        (weights @ means.inflow) / seconds,
        (weights @ means.job_seconds) / seconds,
        float(weights @ means.latency) / total,
        float(weights @ means.held) / total,
    )
    gap = optimality_gap(system, measured, doubtful=True)
    least = _least(system, measured.rates)
    return Parts(
        min(least, gap.optimum),
        max(gap.optimum - least, 0.0),
        gap.misrouted,
        gap.fluctuation,
        gap.held,
        gap.outside,
    )


def _least(system: RoutingSystem, rates: FloatArray) -> float:
    """Mean latency of the optimum if every frontend could use every backend, s."""
    total = float(rates.sum())
    graph = CompatibilityGraph.from_neighbours(
        len(system.backends), [np.arange(len(system.backends))]
    )
    joined = replace(system, frontends=(Frontend("all", PoissonArrivals(total)),), graph=graph)
    return fluid_optimum(joined).total_jobs / total
