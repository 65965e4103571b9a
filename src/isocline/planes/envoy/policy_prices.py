"""Prices of a routing policy, for a table that is read where the policy itself does not run."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, final

import numpy as np
import numpy.typing as npt

from isocline.compilation.compiled import kernel
from isocline.errors import PolicyError
from isocline.model.curves import Curve
from isocline.model.graph import CompatibilityGraph
from isocline.policies.arrays import memory_of, option_of, parameter_of, table_of
from isocline.policies.routing.contract import FloatArray, RoutingPolicy, Setting
from isocline.policies.routing.gmsr_secant import (
    RATES,
    GmsrSecant,
    choose_level,
    keep_up,
    secant,
    take_in,
)
from isocline.policies.routing.least_work import LeastWork
from isocline.policies.routing.linear_cost import LinearCost
from isocline.policies.routing.lmetric import Lmetric
from isocline.policies.routing.picks import least

# Policies that count tokens. To a plane, which does not, all jobs are alike: then each of them
# takes the least of this, by the curve of a backend and the jobs there.
_OF_JOBS_ALIKE: dict[type[RoutingPolicy], Callable[[Any, Curve, FloatArray], FloatArray]] = {
    LeastWork: lambda policy, curve, jobs: (jobs + float(policy.join)) / curve.supremum,
    LinearCost: lambda _policy, _curve, jobs: jobs,
    Lmetric: lambda _policy, _curve, jobs: jobs + 1.0,
}


def require_prices(policy: RoutingPolicy) -> None:
    """Raise PolicyError unless a policy draws among the backends of the least price."""
    if type(policy) in _OF_JOBS_ALIKE:
        return
    if not isinstance(policy, GmsrSecant) and policy.functions()[0] is not least:
        raise PolicyError(
            f"policy {policy.name} is no table of prices, by backend and workload, which is all "
            "that a plane knows; give gmsr_secant, gmsr, least_expected_latency, least_work, "
            "weighted_least_connections, jsq or another that is, or leave --plane out"
        )
    require_random_ties(policy)


def prices(policy: RoutingPolicy, setting: Setting, limit: int) -> FloatArray:
    """(B, limit + 1) price of one more job at each backend, with 0 .. limit jobs there.

    Args:
        policy: One that takes the least entry of a table, as gmsr, jsq or least_expected_latency,
            or that would where jobs are alike, as least_work; for gmsr_secant see `SecantPrices`.
        setting: Graph and curves.
        limit: Largest workload.

    Raises:
        PolicyError: A policy that decides otherwise, or does not draw ties at random.
    """
    require_prices(policy)
    jobs = np.arange(limit + 1.0)
    if one := _OF_JOBS_ALIKE.get(type(policy)):
        return np.array([one(policy, curve, jobs) for curve in setting.curves])[setting.row]
    return table_of(policy, setting, jobs)[setting.row, : limit + 1]


def require_random_ties(policy: RoutingPolicy) -> None:
    """Raise PolicyError unless a policy draws among tied backends, as modules do."""
    if option_of(policy)[0] == 0.0:
        raise PolicyError(f"policy {policy.name}:ties=first: a plane draws ties; give ties=random")


@final
class SecantPrices:
    """Prices of gmsr_secant, whose memory is kept up to date by looks at the workloads.

    Where the policy runs itself it looks with each request. Here somebody else looks, a few times
    in the time that a backend takes to settle, and writes a new table after each look. All
    frontends see the same workloads, and so the same prices. At a workload n the price is that of
    the first level of the memory whose window is as long as the price: what the policy would choose
    if it looked just now and saw n jobs.
    """

    def __init__(self, policy: GmsrSecant, setting: Setting, limit: int) -> None:
        """Begin with backends that have not been looked at.

        Args:
            policy: Its options.
            setting: Curves; frontends do not matter.
            limit: Largest workload that is priced.

        Raises:
            PolicyError: Options that cannot be followed, or curves.
        """
        require_random_ties(policy)
        self._policy = policy
        self._workloads = np.arange(limit + 2.0)  # one more: prices look at half a job above
        self._take(setting)
        self._memory = memory_of(policy, self._setting)

    def change(self, setting: Setting) -> None:
        """Price by other curves of the same backends; what they served stays known."""
        self._take(setting)

    def look(self, now: float, workloads: npt.ArrayLike) -> None:
        """Take in that there are so many jobs now.

        Args:
            now: s, not before that of the last look.
            workloads: (B,) jobs at each backend.
        """
        jobs = np.asarray(workloads, np.int64)
        _look(self._memory, self._parameter, self._table, jobs, now)

    def prices(self) -> FloatArray:
        """(B, limit + 1) of one more job; those of GMSR before the first look."""
        backends = self._memory.shape[0]
        found = np.empty((backends, self._workloads.size - 1))
        _price(self._memory.copy(), self._parameter, self._table, found)
        return found

    def _take(self, setting: Setting) -> None:
        count = setting.row.size
        everywhere = CompatibilityGraph.from_neighbours(count, [range(count)])
        self._setting = replace(setting, graph=everywhere)
        self._table = table_of(self._policy, self._setting, self._workloads)
        self._parameter = parameter_of(self._policy, self._setting)


@kernel
def _look(memory: Any, parameter: Any, table: Any, jobs: Any, now: float) -> None:
    """Bring the memory up to date.

    Args:
        memory: (B, SIZE) of `gmsr_secant`; written.
        parameter: (B, CONSTANTS).
        table: (2 R, K) of `GmsrSecant.table`.
        jobs: (B,) at each backend.
        now: s.
    """
    for b in range(jobs.size):
        own, about = memory[b], parameter[b]
        rates = table[int(about[RATES])]
        keep_up(own, about, rates, jobs[b], jobs[b] + 0.5, 0.0, now)
        take_in(own, about, rates, jobs[b], 0, now)  # the policy itself does so less often


@kernel
def _price(memory: Any, parameter: Any, table: Any, found: Any) -> None:
    """Price each backend at each workload.

    Args:
        memory: As of `_look`; the level in use is written.
        parameter: As of `_look`.
        table: As of `_look`.
        found: (B, K - 1) prices, in the unit of the policy's; written.
    """
    for b in range(found.shape[0]):
        own, about = memory[b], parameter[b]
        rates = table[int(about[RATES])]
        for n in range(found.shape[1]):
            choose_level(own, about, rates, n + 0.5, 0.0)
            found[b, n] = secant(own, rates, n + 0.5)
