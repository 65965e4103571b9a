"""Findings on a system for its page: plan, policies over load, and fluid, within a budget of time.

Loads are simulated one after the other, the file's first, the others by how informative they are.
When the time is over, finished results are kept, and the findings list what is missing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, final

from isocline.errors import InfeasibleError, IsoclineError, OverBudgetError
from isocline.model.cluster import Cluster
from isocline.model.fleet import RoutingSystem
from isocline.policies.parse import routing_policy, scheduling_policy
from isocline.report.tables.curves import knee_of
from isocline.report.words import number
from isocline.simulate.common.adaptive_runs import chosen_policies
from isocline.simulate.common.results import PolicyComparison
from isocline.simulate.routing import compare as routing
from isocline.simulate.routing.results import Comparison
from isocline.simulate.scheduling import compare as scheduling
from isocline.simulate.scheduling.results import ClusterComparison
from isocline.theory.routing.equilibrium import plan as routing_plan
from isocline.theory.routing.fluid_path import FluidPath
from isocline.theory.routing.inclusion import fluid
from isocline.theory.routing.plan_records import Plan
from isocline.theory.scheduling.near_data_plan import near_data_plan
from isocline.theory.scheduling.plan_records import NearDataPlan

# Called with a description of what is being computed, and how far.
Progress = Callable[[str], None]

# Assumed speed of a core that times every job; kernels reach 1e6 to 1e7.
_EVENTS_PER_SECOND = 5e6
_ALIKE = 0.02  # loads no further apart count as one
# Without an equilibrium, the fluid is followed for this multiple of the time to fill all knees.
_KNEES = 20.0


@final
@dataclass(frozen=True)
class Effort:
    """Amount of computation for a page.

    Attributes:
        seconds: Time for the simulations; half as much is for the fluid. The compilation of kernels
            does not count.
        loads: Loads besides the file's, most informative first.
        policies: Policies to compare; () for the usual ones.
        replications: Independent runs of each policy at each load.
        seed: Seed of all random numbers.
    """

    seconds: float = 40.0
    loads: tuple[float, ...] = (0.9, 0.5, 0.8, 0.95, 0.3, 0.7)
    policies: tuple[str, ...] = ()
    replications: int = 10
    seed: int = 0


FULL = Effort()
# An eighth of the default.
QUICK = Effort(seconds=10.0, loads=(0.9, 0.5), replications=3)


@final
class OutOfTime(KeyboardInterrupt):
    """Signals that the time is over: simulations keep finished results, as at Ctrl-C."""


@final
@dataclass
class Stopwatch:
    """Stopwatch with a limit."""

    most: float  # s
    clock: Callable[[], float] = time.monotonic
    spent: float = field(default=0.0, init=False)
    _since: float | None = field(default=None, init=False)

    @property
    def is_over(self) -> bool:
        """Whether no time is left."""
        running = 0.0 if self._since is None else self.clock() - self._since
        return self.spent + running > self.most

    def tick(self) -> None:
        """Start or continue; raises OutOfTime when no time is left."""
        if self._since is None:
            self._since = self.clock()
        if self.is_over:
            raise OutOfTime

    def pause(self) -> None:
        """Stop counting."""
        if self._since is not None:
            self.spent += self.clock() - self._since
            self._since = None


C = TypeVar("C", bound=PolicyComparison[Any])


@final
@dataclass(frozen=True)
class Policies(Generic[C]):
    """Comparisons of policies over load.

    Attributes:
        own: Comparison at the load of the file; None without a steady state, or if left out.
        all: Comparisons at all loads, lowest first.
        left_out: Sentences on why there are no more.
    """

    own: C | None
    all: tuple[C, ...]
    left_out: tuple[str, ...] = ()


@final
@dataclass(frozen=True)
class RoutingFindings:
    """Contents of a page on a routing system."""

    plan: Plan
    policies: Policies[Comparison]
    fluid: FluidPath | None
    left_out: tuple[str, ...]  # besides those of `policies`

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `isocline report`."""
        return {
            "kind": "routing",
            "plan": self.plan.to_dict(),
            "loads": [one.to_dict() for one in self.policies.all],
            "fluid": None if self.fluid is None else self.fluid.to_dict(),
            "left_out": [*self.policies.left_out, *self.left_out],
        }


@final
@dataclass(frozen=True)
class ClusterFindings:
    """Contents of a page on a cluster."""

    plan: NearDataPlan
    policies: Policies[ClusterComparison]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `isocline report`."""
        return {
            "kind": "near-data",
            "plan": self.plan.to_dict(),
            "loads": [one.to_dict() for one in self.policies.all],
            "left_out": list(self.policies.left_out),
        }


def silent(what: str) -> None:
    """Ignore progress; the default."""


def routing_findings(
    system: RoutingSystem, effort: Effort, progress: Progress = silent
) -> RoutingFindings:
    """Plan, simulate and follow the fluid of a routing system.

    Raises:
        UsageError: The system has no plan, or `effort` does not suit it.
        PolicyError: There is no such policy.
        KeyboardInterrupt: Ctrl-C.
    """
    names = effort.policies or routing.DEFAULT_POLICIES
    chosen_policies(names, routing_policy)  # unknown policies must raise here
    progress("planning")
    plan = routing_plan(system)
    load = 1.0 / plan.capacity_scale

    def simulate(**options: Any) -> Comparison:
        return routing.simulate(system, names, **options)

    path, why = _fluid(system, plan, Stopwatch(effort.seconds / 2.0), progress)
    policies = _over_loads(simulate, load, effort, progress)
    return RoutingFindings(plan, policies, path, why)


def cluster_findings(
    cluster: Cluster, effort: Effort, progress: Progress = silent
) -> ClusterFindings:
    """Plan and simulate a cluster.

    Raises:
        UsageError: `effort` does not suit the cluster.
        PolicyError: There is no such policy.
        KeyboardInterrupt: Ctrl-C.
    """
    names = effort.policies or scheduling.DEFAULT_POLICIES
    chosen_policies(names, scheduling_policy)
    progress("planning")
    # A dispersion is that of numbers per slot.
    slotted = cluster.arrivals.dispersion != 1.0
    plan = near_data_plan(cluster, clock="slotted" if slotted else "continuous")

    def simulate(**options: Any) -> ClusterComparison:
        clock: Any = "slotted" if slotted else "continuous"
        return scheduling.simulate_cluster(cluster, names, clock=clock, **options)

    return ClusterFindings(plan, _over_loads(simulate, 1.0 / plan.capacity_scale, effort, progress))


def _over_loads(
    simulate: Callable[..., C], own: float, effort: Effort, progress: Progress
) -> Policies[C]:
    """Simulate at the file's load, `own`, and at others, until the time is over."""
    work = _Work(simulate, effort, Stopwatch(effort.seconds), progress)
    at_own = work.attempt(None, own)
    others = [work.attempt(load, load) for load in effort.loads if abs(load - own) > _ALIKE]
    found = [one for one in (at_own, *others) if one is not None]
    return Policies(at_own, tuple(sorted(found, key=lambda one: one.load)), work.left_out)


@final
@dataclass
class _Work(Generic[C]):
    """Simulations of one page."""

    simulate: Callable[..., C]
    effort: Effort
    watch: Stopwatch
    progress: Progress
    missed: list[float] = field(default_factory=list)  # loads not reached before the time was over
    too_long: list[float] = field(default_factory=list)  # loads whose runs take too long
    reasons: list[str] = field(default_factory=list)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Sentences on why there are no more loads."""
        said = list(self.reasons)
        for loads, why in (
            (self.too_long, "where a run of the usual length has too many events for the time"),
            (self.missed, f"as the {self.effort.seconds:g} s for simulations were over"),
        ):
            if loads:
                shown = ", ".join(number(load, 3) for load in sorted(loads))
                said.append(f"Not simulated: load {shown}, {why}; give more --seconds")
        return tuple(said)

    def attempt(self, load: float | None, shown: float) -> C | None:
        """Simulate at a load, None for the file's; returns None, with a reason, if impossible."""
        if self.watch.is_over:
            self.missed.append(shown)
            return None

        def count(done: int, total: int) -> None:
            at = number(shown, 3)
            self.progress(f"simulating at load {at}: {done:,} of {total:,} replications")
            self.watch.tick()

        options: dict[str, Any] = {
            "load": load,
            "replications": self.effort.replications,
            "seed": self.effort.seed,
            "progress": count,
            # The time is checked between replications, which therefore must not take too long.
            "budget": _EVENTS_PER_SECOND * self.effort.seconds,
        }
        try:
            found = self.simulate(**options)
        except KeyboardInterrupt:
            if not self.watch.is_over:
                raise
            self.missed.append(shown)
            return None
        except OverBudgetError:
            self.too_long.append(shown)
            return None
        except InfeasibleError:
            if load is not None:
                said = f"Not simulated: load {number(shown, 3)}, which no policy can serve"
                self.reasons.append(said)
            return None
        except IsoclineError as error:
            self.reasons.append(f"Not simulated at load {number(shown, 3)}: {error}")
            return None
        finally:
            self.watch.pause()
        if found.interrupted and not self.watch.is_over:
            raise KeyboardInterrupt
        return found


def _fluid(
    system: RoutingSystem, plan: Plan, watch: Stopwatch, progress: Progress
) -> tuple[FluidPath | None, tuple[str, ...]]:
    """Fluid from empty backends, to its equilibrium or for a while; or sentences on why not."""

    def follow(now: float, steps: int, _: float) -> None:
        progress(f"following the fluid: {now:.3g} s after {steps:,} steps")
        watch.tick()

    try:
        return fluid(system, horizon=_horizon(plan), progress=follow), ()
    except OutOfTime:
        return None, ("The fluid was not followed to its end in the time for it; "
                      "isocline fluid has no limit",)  # fmt: skip
    except IsoclineError as error:
        return None, (f"The fluid was not followed: {error}",)


def _horizon(plan: Plan) -> float | None:
    """Time to follow a fluid without an equilibrium, s; None if it has one."""
    if plan.overload is None:
        return None
    system = plan.system
    return _KNEES * sum(map(knee_of, system.curves)) / float(system.capacities.sum())
