"""Queue lengths near the boundary: Theorems 3, 5, 6 and 8 of the near-data paper.

The queues that grow behave as one queue with the arrivals that only they can take and all the
service that they can get. With epsilon the service less the arrivals, sigma^2 and nu^2 their
variances per unit of time, and b the most that can be served at once,

    (sigma^2 + nu^2 + [epsilon^2])/(2 epsilon) - b/2 <= E[sum Q] <= (sigma^2 + nu^2)/(2 epsilon)
                                                                      + o(1/epsilon),

the left for any policy, the right for local tasks first: epsilon E[sum Q] tends to
(sigma^2 + nu^2)/2.

*Locally overloaded* (Theorems 3 and 5): the sum is over the M_b beneficiaries. Arrivals are those
of types only local to them. Service is alpha by each of them and gamma (1 - rho_j) by each helper
j, whose share of time on local tasks is rho_j = nu_j/alpha; epsilon is that of Eq. (10).

*Evenly loaded* (Theorems 6 and 8): the sum is over all servers, and epsilon = M alpha less all
arrivals, Eq. (20). Servers that no types connect are *pools*, each with its own epsilon (the remark
after Theorem 8): each pool has its upper bound, and their sum is one for all.

Slotted clock: a slot's service is a sum of independent Bernoulli variables, so that nu^2 =
M_b alpha (1 - alpha) + sum_j g_j (1 - g_j) with g_j = gamma (1 - rho_j), and up to b = M tasks
complete in one slot. Continuous clock: the limit of ever shorter slots; exponential service at rate
r has variance r, epsilon^2 vanishes, and b = 1 as tasks complete one by one.

Arrivals are Poisson, whose variance is the rate, or on the slotted clock any `SlotArrivals`; then
sigma^2 is that of the tasks in question, which are a random part of all.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.flow.tiers import connected
from isocline.model.cluster import SlotArrivals
from isocline.model.graph import CompatibilityGraph
from isocline.theory.scheduling.decomposition import Decomposition

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

Clock = Literal["continuous", "slotted"]
POISSON = SlotArrivals()


class QueueBounds(NamedTuple):
    """Bounds on the mean number of tasks in a set of queues, those in service included."""

    epsilon: float  # service less arrivals, tasks/s or per slot
    arrival_variance: float  # sigma^2
    service_variance: float  # nu^2
    lower: float  # Theorem 3 or 6, tasks; under any policy; 0 where the theorem says less
    leading: float  # (sigma^2 + nu^2)/(2 epsilon), tasks: Theorem 5 or 8 but for o(1/epsilon)

    @property
    def limit(self) -> float:
        """Limit of epsilon E[sum Q] as epsilon falls to 0, tasks * tasks/s."""
        return 0.5 * (self.arrival_variance + self.service_variance)


def overloaded_bounds(
    decomposition: Decomposition,
    local: float,
    clock: Clock = "continuous",
    law: SlotArrivals = POISSON,
) -> QueueBounds:
    """Theorems 3 and 5: the queues of all beneficiaries together.

    Args:
        decomposition: The ideal load decomposition, with beneficiaries and inside the region.
        local: alpha, tasks/s, or per slot.
        clock: Whether tasks complete one by one or at the ends of slots.
        law: Of the number of all tasks that come in a slot.

    Raises:
        UsageError: There is no beneficiary, the load is not inside the capacity region, or a rate
            is no probability on the slotted clock.
    """
    overloaded = decomposition.overloaded
    if not overloaded.any():
        raise UsageError("no server is overloaded; use even_bounds (Theorems 6 and 8)")
    # Only types that are local to beneficiaries alone send anything there (Eq. (2)).
    arrivals = math.fsum(decomposition.load[overloaded])
    rates = np.where(overloaded, local, decomposition.spare)
    variance = law.variance_of(arrivals, math.fsum(decomposition.load))
    return _bounds(decomposition.slack, variance, rates, clock)


def even_bounds(
    load: FloatArray,
    local: float,
    clock: Clock = "continuous",
    law: SlotArrivals = POISSON,
    total: float | None = None,
) -> QueueBounds:
    """Theorems 6 and 8: all queues of a pool of servers, of which none is overloaded.

    Args:
        load: (M,) loads of the pool's servers, tasks/s, or per slot.
        local: alpha.
        clock: Whether tasks complete one by one or at the ends of slots.
        law: Of the number of all tasks that come in a slot.
        total: All tasks, of which this pool's are a part; by default they are all.

    Raises:
        UsageError: The arrivals reach what the servers serve, or a rate is no probability on the
            slotted clock.
    """
    arrivals = math.fsum(load)
    variance = law.variance_of(arrivals, arrivals if total is None else total)
    return _bounds(local * load.size - arrivals, variance, np.full(load.size, local), clock)


def pools(graph: CompatibilityGraph) -> list[IndexArray]:
    """Servers that types connect, directly or through others; in order of their lowest number.

    Args:
        graph: Types (sources) and their local servers (sinks).
    """
    everything = np.ones(graph.edges, dtype=np.bool_)
    servers = [
        nodes[np.searchsorted(nodes, graph.sources) :] - graph.sources
        for nodes in connected(graph, everything)
    ]
    return sorted((part for part in servers if part.size), key=lambda part: int(part[0]))


def _bounds(epsilon: float, variance: float, rates: FloatArray, clock: Clock) -> QueueBounds:
    if not epsilon > 0.0:
        raise UsageError(
            f"arrivals exceed the service by {-epsilon:g}; queues have bounds only inside the "
            "capacity region: lower the rates"
        )
    slotted = clock == "slotted"
    if slotted and not rates.max() <= 1.0:
        raise UsageError(
            f"on the slotted clock a rate is a probability, and {rates.max():g} is none; "
            "give rates of at most 1, or use the continuous clock"
        )
    service = math.fsum(rates * (1.0 - rates) if slotted else rates)
    at_once, jump = (rates.size, epsilon) if slotted else (1, 0.0)
    leading = 0.5 * (variance + service) / epsilon
    lower = max(leading + 0.5 * (jump - at_once), 0.0)
    return QueueBounds(epsilon, variance, service, lower, leading)
