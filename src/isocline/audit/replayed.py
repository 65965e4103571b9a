"""The arrivals of a log under other policies, simulated on its learned curves.

Each request comes when it came, at its frontend, with the work that it had by its time at its
backend. What a latency holds besides, as the way to the client, stays as it was; waiting in the
router's own queue does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.audit.frontends import LoggedFrontends
from isocline.audit.learned import LearnedFleet, last_attempts, service_had
from isocline.audit.records import AccessRecords
from isocline.audit.workloads import Occupied
from isocline.errors import PolicyError
from isocline.model.curves import Curve
from isocline.model.fleet import RoutingSystem
from isocline.model.traffic import Mix, Trace
from isocline.policies.parse import routing_policy
from isocline.policies.routing.contract import RoutingPolicy, Setting
from isocline.policies.wrapped import Wrapped
from isocline.simulate.common.percentiles import percentiles
from isocline.simulate.routing.experiment import RoutingExperiment
from isocline.simulate.routing.options import Length, Options, Traffic, experiment_of
from isocline.simulate.routing.replicate import Replication

FloatArray = npt.NDArray[np.float64]

POLICIES = (
    "gmsr_secant",
    "weighted_least_connections",
    "jsq",
    "least_request",
    "power_of_d",
    "round_robin",
)
# Requests that are replayed: the last ones of a longer log.
MOST = 100_000


@final
@dataclass(frozen=True, eq=False)
class Replayed:
    """The requests that are replayed, and what they took."""

    kept: npt.NDArray[np.int64]  # numbers of the requests
    latency: float  # s, mean of what they took
    p99: float  # s
    elsewhere: float  # s, mean of what was neither at the last backend nor in the router's queue


class PolicyRuns(NamedTuple):
    """Mean latencies of one policy, s, and the 99th percentile; `elsewhere` is in them."""

    policy: str
    means: FloatArray  # (R,)
    p99: float | None


@final
@dataclass(frozen=True)
class Believing(Wrapped):
    """A policy that goes by the learned curves, whatever those of the backends are."""

    policy: RoutingPolicy
    curves: tuple[Curve, ...]  # (B,)

    @property
    def name(self) -> str:  # type: ignore[override]  # of one policy here, not of a class
        return self.policy.name

    @property
    def may_hold(self) -> bool:  # type: ignore[override]  # likewise
        return self.policy.may_hold

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return self.policy.table(self._believed(setting), workloads)

    def parameter(self, setting: Setting) -> FloatArray:
        return self.policy.parameter(self._believed(setting))

    def _believed(self, setting: Setting) -> Setting:
        first = [int(np.argmax(setting.row == row)) for row in range(len(setting.curves))]
        return replace(setting, curves=tuple(self.curves[b] for b in first))


def replayed(records: AccessRecords, window: tuple[float, float]) -> Replayed:
    """Choose the requests that were served, and began before the window ends."""
    kept = np.flatnonzero(records.served & (records.start <= window[1]))[-MOST:]
    tried, last = records.attempts, last_attempts(records)[kept]
    whole = (records.end - records.start)[kept]
    there = (tried.end - tried.begin)[last]
    return Replayed(
        kept,
        float(whole.mean()),
        float(np.quantile(whole, 0.99)),
        float((whole - there - records.held[kept]).mean()),
    )


@final
class PolicyReplay:
    """Replays of the same requests under several policies."""

    def __init__(
        self,
        records: AccessRecords,
        frontends: LoggedFrontends,
        occupied: Occupied,
        policies: Sequence[str],
    ) -> None:
        self.chosen = replayed(records, occupied.window)
        self._records, self._frontends, self._occupied = records, frontends, occupied
        self._policies: dict[str, RoutingPolicy] = {}
        for name in policies:
            if name in self._policies:
                raise PolicyError(f"policy {name} is given twice; give it once")
            self._policies[name] = routing_policy(name)

    def run(
        self,
        learned: LearnedFleet,
        systems: Sequence[tuple[RoutingSystem, LearnedFleet]],
        seed: int,
    ) -> list[PolicyRuns]:
        """Replay once on each system, with policies that go by the learned curves.

        So what is lost as these are not quite right is in the figures.

        Args:
            learned: The curves that were learned.
            systems: Systems, with the curves they have, as drawn.
            seed: Key of all randomness.
        """
        found: dict[str, list[Replication]] = {name: [] for name in self._policies}
        for number, (system, fleet) in enumerate(systems):
            experiment = self._experiment(learned, system, fleet, seed)
            for name, run in zip(self._policies, experiment.runs, strict=True):
                if number == 0:
                    experiment.rehearse(run)
                made = experiment.replicate(run.numbered(number), Event())
                assert made is not None  # nobody stops it
                found[name].append(made)
        return [self._runs(name, reps) for name, reps in found.items()]

    def _runs(self, name: str, reps: Sequence[Replication]) -> PolicyRuns:
        means = np.array([rep.sojourn.sum() / max(rep.timed.sum(), 1) for rep in reps])
        p99 = percentiles(reps, 0)[2]
        elsewhere = self.chosen.elsewhere
        return PolicyRuns(name, means + elsewhere, None if p99 is None else p99.value + elsewhere)

    def _experiment(
        self, learned: LearnedFleet, system: RoutingSystem, fleet: LearnedFleet, seed: int
    ) -> RoutingExperiment:
        records, kept = self._records, self.chosen.kept
        work = service_had(records, self._occupied, fleet)[kept]
        times = records.start[kept]
        none = np.zeros(kept.size)
        mix = Mix(self._frontends.names, self._frontends.of[kept].astype(np.int32), "frontend")
        trace = Trace(system.name, times - times[0], none, none, work, mix)
        options = Options(Traffic(trace=trace), Length(seed=seed))
        policies = {name: Believing(it, learned.curves) for name, it in self._policies.items()}
        return experiment_of(system, policies, options)
