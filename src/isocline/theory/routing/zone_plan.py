"""Plan of a system with zones: the fewest jobs at backends and on their way together.

A job on its way is a job in the system, so the best split keeps jobs near until prices differ by
more than the ways (`work_flow`).
"""

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.fleet import RoutingSystem
from isocline.theory.routing.active_frontends import with_arrivals
from isocline.theory.routing.plan_records import SplitRate, ZonePlan
from isocline.theory.routing.work_flow import WorkFlow, work_flow

FloatArray = npt.NDArray[np.float64]

# Share of a frontend's rate below which an edge is not used: the flow is that of an interior point.
_UNUSED = 1e-6
# Each step solves a dense system of equations, one for each frontend.
MOST_FRONTENDS = 2000


def zone_flow(system: RoutingSystem) -> WorkFlow:
    """The split with the fewest jobs at backends and on their way.

    Args:
        system: The system; each frontend has a rate above 0.

    Raises:
        UsageError: There are too many frontends, or the load cannot be served.
        NumericalError: The load is too close to the capacity.
    """
    frontends = len(system.frontends)
    if frontends > MOST_FRONTENDS:
        raise UsageError(
            f"distances of zones: no plan of {frontends} frontends, more than {MOST_FRONTENDS}; "
            "give frontends that are alike as one, or leave serve.distance out"
        )
    return work_flow(system, np.ones(system.graph.edges), system.ways)


def zone_plan(system: RoutingSystem) -> ZonePlan | None:
    """Plan a load that can be served; None where all backends are as near.

    Raises:
        UsageError, NumericalError: As `zone_flow`.
    """
    if not system.ways.size:
        return None
    system = with_arrivals(system)
    if not system.ways.size:
        return None
    found, rates, graph = zone_flow(system), system.rates, system.graph
    used = found.flow > _UNUSED * rates[graph.source]
    flow = np.where(used, found.flow, 0.0)
    ends = zip(graph.source.tolist(), graph.sink.tolist(), flow.tolist(), strict=True)
    total = float(rates.sum())
    return ZonePlan(
        total_jobs=found.total_jobs,
        least_jobs=found.least_jobs,
        on_their_way=float(system.ways @ found.flow),
        mean_latency=found.total_jobs / total,
        crossing=float(flow[system.ways > 0.0].sum()) / total,
        split=tuple(
            SplitRate(system.frontends[f].name, system.backends[b].name, rate)
            for f, b, rate in ends
            if rate > 0.0
        ),
    )
