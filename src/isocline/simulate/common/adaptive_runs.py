"""Adaptive runs of a comparison of policies, lengthened and repeated until it can be reported.

Replications are added until intervals are as narrow as asked, and a length of our own choosing that
proves too short is ours to mend.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Any, Generic, Self, TypeVar, final

from isocline.errors import RunTooShortError, UsageError
from isocline.policies.parse import label
from isocline.simulate.common.event_budget import BUDGET, Budget
from isocline.simulate.common.executor import (
    Numbered,
    OrderedExecutor,
    Progress,
    Simulator,
    silent,
)
from isocline.simulate.common.results import PolicyComparison
from isocline.simulate.common.run_settings import SharedSettings
from isocline.simulate.common.steady_state import more_replications

# 4, 16, 64 times as long.
LENGTHENING, MOST_LENGTHENINGS = 4.0, 3


C = TypeVar("C", bound=PolicyComparison[Any])
G = TypeVar("G")
L = TypeVar("L", bound=SharedSettings)
P = TypeVar("P")
R = TypeVar("R")
U = TypeVar("U", bound=Numbered)


def chosen_policies(
    policies: Sequence[G], policy_of: Callable[[G], P]
) -> tuple[list[P], list[str]]:
    """Policies and their names in tables.

    Raises:
        PolicyError: As `policy_of` does of one of them.
        UsageError: There is none, or one twice, or one string in place of a list.
    """
    if isinstance(policies, str):
        raise UsageError(f"policies {policies!r}: give a list, as [{policies!r}]")
    if not isinstance(policies, Iterable):
        raise UsageError(f"policies {policies!r}: give a list, with this as its only entry")
    chosen = [policy_of(given) for given in policies]
    labels = [label(given) for given in policies]
    if not chosen or len(set(labels)) < len(labels):
        raise UsageError(f"policies {labels}: give at least one, and each once")
    return chosen, labels


@final
@dataclass(frozen=True)
class Effort:
    """Computing effort of a comparison: replications, threads, budget."""

    replications: int = 10  # to begin with
    precision: float | None = None  # relative half-width to be reached by every mean latency
    threads: int | None = None  # None: one per core
    budget: float = BUDGET  # events of all replications of all policies
    progress: Progress = silent


@dataclass(frozen=True, eq=False, kw_only=True)
class Experiment(ABC, Generic[L, U, R, C]):
    """Comparison of policies, at one length."""

    settings: L  # of all replications
    length_is_given: bool  # so that it is not ours to change
    unit: str = "s"  # of the horizon

    @property
    @abstractmethod
    def runs(self) -> Sequence[U]:
        """First replication of each policy that is run."""

    @property
    @abstractmethod
    def events(self) -> float:
        """Estimate of the events of one replication of one policy."""

    @staticmethod
    @abstractmethod
    def rehearse(run: U) -> None:
        """Compile everything that a replication calls."""

    @staticmethod
    @abstractmethod
    def replicate(run: U, stop: Event) -> R | None:
        """Simulate one replication; None if `stop` was set meanwhile."""

    @abstractmethod
    def analyse(self, work: OrderedExecutor[U, R]) -> C:
        """The comparison, from the replications that are done.

        Raises:
            RunTooShortError: They are too short.
        """

    def longer(self, factor: float) -> Self:
        """The same, with replications so many times as long."""
        settings = replace(self.settings, horizon=factor * self.settings.horizon)
        return replace(self, settings=settings)


def compare(experiment: Experiment[Any, Any, Any, C], effort: Effort) -> C:
    """Run an experiment until it is long and precise enough.

    Raises:
        RunTooShortError: As `Experiment.analyse` does, at the given or the greatest length.
        UsageError: It would take more events than the budget.
    """
    for lengthenings in range(MOST_LENGTHENINGS + 1):
        tried = experiment.longer(LENGTHENING**lengthenings)
        work = _begun(tried, effort)
        try:
            result = _analysed(tried, work)
            while (wanted := _needed(result, effort.precision)) > work.count:
                if work.interrupted:
                    break
                work.extend(wanted)
                result = _analysed(tried, work)
            return result
        except RunTooShortError:
            if tried.length_is_given or lengthenings == MOST_LENGTHENINGS:
                raise
    raise AssertionError("the last turn returns or raises")


def _begun(tried: Experiment[Any, U, R, Any], effort: Effort) -> OrderedExecutor[U, R]:
    """The first replications of an experiment."""
    runs = tried.runs
    limit = Budget(
        tried.events,
        tried.settings.horizon,
        len(runs),
        effort.budget,
        tried.unit,
        tried.length_is_given,
    )
    limit.allow(effort.replications)
    simulator = Simulator(tried.replicate, tried.rehearse)
    work = OrderedExecutor(runs, simulator, effort.threads, effort.progress, limit.allow)
    work.rehearse()
    work.extend(effort.replications)
    return work


def _analysed(tried: Experiment[Any, U, R, C], work: OrderedExecutor[U, R]) -> C:
    if work.kept and work.count < 2:
        raise KeyboardInterrupt  # nothing to report yet
    return tried.analyse(work)


def _needed(result: PolicyComparison[Any], precision: float | None) -> int:
    """Replications that should reach the precision, estimated from the present intervals."""
    return more_replications(widest(result), result.replications, precision)


def widest(result: PolicyComparison[Any]) -> float:
    """Widest half-width of the policies' mean latencies, relative; 0 without one."""
    widths = [p.mean_latency.relative_half_width for p in result.policies if p.mean_latency]
    return max(widths, default=0.0)
