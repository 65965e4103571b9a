"""Lower bound on every scheduling policy's mean, to stand beside each."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.model.cluster import Cluster
from isocline.model.traffic import ExponentialSizes

FloatArray = npt.NDArray[np.float64]


class Bound(NamedTuple):
    """A lower bound on the mean time from a task's arrival to its end."""

    latency: float  # s, or slots
    in_words: str


def least_latency(cluster: Cluster, load: FloatArray, slotted: bool) -> Bound:
    """The largest of the bounds that hold for every policy on this cluster.

    Args:
        cluster: The cluster, inside its capacity region.
        load: (M,) balanced load of its servers, tasks/s (near-data paper, Lemma 2).
        slotted: Times are slots; tasks complete at their ends.
    """
    bounds = [_service(cluster, load)]
    if isinstance(cluster.service, ExponentialSizes) and not slotted:
        bounds.append(_pool(cluster))
        if cluster.rates.rack is None:
            bounds.append(_drift(cluster, load))
    return max(bounds)


def _service(cluster: Cluster, load: FloatArray) -> Bound:
    """Service alone: what exceeds alpha of the balanced load is served elsewhere in any case.

    No policy serves more than sum min(nu_m, alpha) locally: that is the most the graph carries.
    """
    rates = cluster.rates
    beyond = math.fsum(np.maximum(load - rates.local, 0.0)) / cluster.arrival_rate
    least = (1.0 - beyond) / rates.local + beyond / rates.levels[1]
    if not beyond:
        return Bound(least, "mean service time where the data is")
    return Bound(
        least, f"mean service time if no more tasks than must ({beyond:.1%}) run where no data is"
    )


def _pool(cluster: Cluster) -> Bound:
    """One pool: n tasks leave at a rate of at most alpha min(n, M), wherever their data is.

    So the number of tasks is stochastically at least that of M/M/M (D. Stoyan, Comparison Methods
    for Queues, 1983, Section 4.2), whose mean is Erlang's.
    """
    local, servers = cluster.rates.local, cluster.size
    offered = cluster.arrival_rate / local
    if offered >= servers:
        return Bound(0.0, "")
    waiting = erlang_c(offered, servers) / (servers * local - cluster.arrival_rate)
    return Bound(1.0 / local + waiting, "all servers one pool that has all data (M/M/n)")


def _drift(cluster: Cluster, load: FloatArray) -> Bound:
    """Work in units that all servers serve at a constant rate at most, in heavy traffic.

    With g = gamma/alpha let W count tasks only local to beneficiaries as 1 and others as g. A
    beneficiary lowers W by at most alpha a second and a helper by gamma, whatever they serve. So
    with epsilon = alpha M_b + gamma M_h - lambda_B - g lambda_H, that of Eq. (10) of the near-data
    paper, the balance of W^2 in steady state gives E[W] >= (lambda_B + g^2 lambda_H) / epsilon. The
    number of tasks is W and (1 - g) of the others, of which lambda_H/alpha are in service.
    """
    local, share = cluster.rates.local, cluster.rates.remote / cluster.rates.local
    busy = load >= local * (1.0 - 1e-12)
    hot, rest = math.fsum(load[busy]), math.fsum(load[~busy])
    serves = local * (np.count_nonzero(busy) + share * np.count_nonzero(~busy))
    epsilon = float(serves) - hot - share * rest
    if not hot or epsilon <= 0.0:
        return Bound(0.0, "")
    tasks = (hot + share**2 * rest) / epsilon + (1.0 - share) * rest / local
    return Bound(
        tasks / cluster.arrival_rate, "beneficiaries and their helpers always busy (heavy traffic)"
    )


def erlang_c(offered: float, servers: int) -> float:
    """The probability of waiting in M/M/n, for `offered` < n tasks in service on average.

    By the recursion for the inverse of Erlang's loss B, 1/B_k = 1 + (k/a) / B_{k-1}, which is
    stable upwards and overflows to infinity, that is to no waiting, where it must.
    """
    inverse = 1.0
    for k in range(1, servers + 1):
        inverse = 1.0 + inverse * k / offered
        if math.isinf(inverse):
            return 0.0
    loss = 1.0 / inverse
    busy = offered / servers
    return loss / (1.0 - busy + busy * loss)
