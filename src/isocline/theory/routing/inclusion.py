"""The fluid model of GMSR: the differential inclusion, Eq. (3) of the paper, followed in time.

    dN_b/dt = sum_f lambda_f x_fb - l_b(N_b),   x_f among f's backends of the greatest l'_b(N_b)

It has one equilibrium, the optimum of Eq. (1) (Lemma 4), and reaches it from everywhere
(Theorem 2). `implicit_step` makes one step of it; here steps are made as long as the
tolerance allows.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from isocline.arguments import POSITIVE, Range, at_least, checked
from isocline.compilation.interpretable import interpreted_if_small
from isocline.errors import InfeasibleError, UsageError
from isocline.model.fleet import RoutingSystem
from isocline.model.starts import Start, jobs_at_start
from isocline.plural import counted
from isocline.theory.routing.equilibrium import fluid_optimum
from isocline.theory.routing.fluid_path import FluidPath
from isocline.theory.routing.implicit_step import Stepper
from isocline.theory.routing.magnitudes import extremes_named
from isocline.theory.routing.overload import overload
from isocline.theory.routing.piecewise_parameters import Period, periods
from isocline.theory.routing.plan_records import Overload
from isocline.theory.routing.secant_step import SecantStepper
from isocline.theory.routing.trajectory import Trajectory

FloatArray = npt.NDArray[np.float64]
MaskArray = npt.NDArray[np.bool_]

# Half of the tolerance belongs to the time that a step covers, the other half to kinks: where tiers
# merge any method is of first order, and a step may spend this share of what is left for them.
_KINK_SHARE = 0.01

# Tiers of larger systems change hundreds of times; when, is then known to a step, not sought.
_LOCATED = 64

# Without a horizon T the time before this many mean latencies has half of all, as most paths are
# near their end then, and time t to t + dt has T dt / (T + t)^2 of it.
_LATENCIES = 20.0

# Two half steps are a quarter as wrong as a whole one, for a method of second order: their
# difference is three times the error of the former.
_DOUBLING = 3.0

_GROW, _SHRINK, _SAFE = 5.0, 0.2, 0.9
_POINTS = 200

# A hundred times what 1000 frontends and backends take to rest, and more than a tolerance of 1e-7
# takes on a small system. Some 1000 level flows of a small system take a second.
BUDGET = 100_000

STEPPERS: dict[str, type[Stepper | SecantStepper]] = {
    "gmsr": Stepper,
    "gmsr_secant": SecantStepper,
}

# Called after each step with the time reached, s, the steps so far, and V, jobs/s.
Progress = Callable[[float, int, float], None]


def silent(now: float, steps: int, speed: float) -> None:
    """Ignore progress: the default for callers that do not watch."""


_TOLERANCE = Range("a number above 0 and at most 0.1", lambda value: 0 < value <= 0.1)


@checked(horizon=POSITIVE, step=POSITIVE, tolerance=_TOLERANCE, budget=at_least(1))
def fluid(
    system: RoutingSystem,
    *,
    start: Start = None,
    horizon: float | None = None,
    step: float | None = None,
    tolerance: float = 1e-3,
    changes: Sequence[tuple[float, RoutingSystem]] = (),
    policy: str = "gmsr",
    budget: int = BUDGET,
    progress: Progress = silent,
) -> FluidPath:
    """Follow the fluid from a start.

    Args:
        system: The system; its curves must be strictly concave (Assumption 1).
        start: Jobs at backends by name, others empty; or (B,) jobs; None for all empty.
        horizon: s; None to follow it until it is at rest.
        step: s between the times reported; by default a 200th of the horizon. Without a horizon,
            every step made is reported.
        tolerance: Bound on the sum over backends of the errors of N_b, relative to the jobs in the
            system, or at the equilibrium if those are fewer. Steps are chosen so that the estimated
            errors of all steps add up to less (the fluid forgets: trajectories do not diverge).
            Half the tolerance, half the error.
        changes: From each time on, s, the system is another. Backends are known by name; one that
            is missing gets no more jobs and serves what it holds, a new one begins empty.
        policy: `gmsr`, or `gmsr_secant`, whose frontends have seen nothing at the start.
        budget: Level flows to solve at most; a step takes about 6.
        progress: Called after each step.

    Raises:
        UsageError: A curve is not strictly concave, an argument is out of range, or the budget is
            spent.
        InfeasibleError: No horizon is given and the load cannot be served: there is no rest.
    """
    if policy not in STEPPERS:
        raise UsageError(f"policy {policy!r} has no fluid here; give one of {', '.join(STEPPERS)}")
    _require_horizon(horizon, step, budget)
    parts = periods(system, changes, horizon)
    last = parts[-1]
    equilibrium = _equilibrium(last, required=horizon is None)
    beyond = _overload(last) if equilibrium is None else None
    trajectory = Trajectory(parts)
    jobs = jobs_at_start(trajectory.backends, start)
    integration = _Integration(trajectory, tolerance, horizon, equilibrium, budget, progress)
    served: FloatArray | None = None
    for period in parts:
        times = None if horizon is None else period.times(step or horizon / _POINTS)
        with extremes_named(period.system):
            stepper = STEPPERS[policy](period.graph, period.rates, period.curves)
            state = integration.follow(period, stepper, stepper.begin(jobs, served), times)
            jobs, served = stepper.jobs(state), stepper.served(state)
    return trajectory.path(tolerance, equilibrium, beyond)


def _require_horizon(horizon: float | None, step: float | None, budget: int) -> None:
    if horizon is None and step is not None:
        raise UsageError("a step between the times reported needs a horizon: give both")
    if horizon is not None and step is not None and step > horizon:
        raise UsageError(
            f"step {step:g} s is longer than the horizon of {horizon:g} s; give a shorter step, or "
            "a longer horizon"
        )
    if horizon is not None and step is not None and horizon / step > budget:
        raise UsageError(
            f"a step of {step:g} s makes {horizon / step:.3g} states of a horizon of {horizon:g} "
            f"s, more than the budget of {counted(budget, 'level flow')}; give a longer step, a "
            "shorter horizon, or a larger budget"
        )


def _equilibrium(period: Period, *, required: bool) -> FloatArray | None:
    try:
        optimum = fluid_optimum(period.system)
    except InfeasibleError:
        if required:
            raise
        return None
    jobs = np.zeros(len(period.backends))
    jobs[period.present] = optimum.workloads
    return jobs


def _overload(period: Period) -> Overload | None:
    system = period.system
    with extremes_named(system):
        return interpreted_if_small(system.graph.edges, lambda: overload(system))


class _Integration:
    """Walk through the periods, from the start to the end."""

    def __init__(
        self,
        trajectory: Trajectory,
        tolerance: float,
        horizon: float | None,
        equilibrium: FloatArray | None,
        budget: int,
        progress: Progress,
    ) -> None:
        self.trajectory = trajectory
        self.budget = budget
        self.progress = progress
        self.tolerance = tolerance
        self.horizon = horizon
        self.most_jobs = np.inf if equilibrium is None else float(equilibrium.sum())
        self.for_kinks = 0.5 * tolerance  # not spent yet
        self.now = 0.0
        self.length = 0.0  # of the next step, s
        self.unit = 0.0  # s: the horizon or what stands for it
        self.speed = np.inf  # V where it was last reported, jobs/s

    def follow(
        self,
        period: Period,
        stepper: Stepper | SecantStepper,
        state: FloatArray,
        times: FloatArray | None,
    ) -> FloatArray:
        """Step to the last of the times, reporting at each; or to rest, reporting every step."""
        self.period = period
        self.stepper = stepper
        mask = stepper.best(state)
        self.trajectory.tiers_at(self.now, period, stepper.gain(state), stepper.same)
        total = float(period.rates.sum())
        self.speed = self._report(state)
        held = float(stepper.jobs(state).sum())
        self.unit = self.horizon or _LATENCIES * max(held, self.most_jobs) / total
        self.length = 1e-3 * self.unit
        for index in itertools.count(1) if times is None else range(1, times.size):
            if times is None and (self.speed <= stepper.rest * total or self.now >= period.end):
                break
            until = period.end if times is None else float(times[index])
            while self.now < until:
                state, passed, fresh = self._step(state, until - self.now, mask)
                self.now = until if passed == until - self.now else self.now + passed
                if (fresh != mask).any():
                    mask = fresh
                    self.trajectory.tiers_at(self.now, period, stepper.gain(state), stepper.same)
                if times is None:
                    break
            self.speed = self._report(state)
        self.trajectory.solves += stepper.solves
        return state

    def _report(self, state: FloatArray) -> float:
        here = self.stepper.direction(state)
        self.trajectory.report(self.now, self.stepper.jobs(state), here, self.period)
        return self.stepper.speed(state, here)

    def _step(
        self, state: FloatArray, room: float, mask: MaskArray
    ) -> tuple[FloatArray, float, MaskArray]:
        """One step that keeps to the tolerance, or up to the next change of tiers if sooner."""
        held = float(self.stepper.jobs(state).sum())
        while True:
            length = min(self.length, room, self.stepper.longest(state))
            self._require_budget()
            after, error = self._doubled(state, length)
            scale = min(max(float(self.stepper.jobs(after).sum()), held), self.most_jobs)
            usual = 0.5 * self.tolerance * self._share(length) * scale
            rounding = self.stepper.noise * held
            allowed = max(usual, _KINK_SHARE * self.for_kinks * scale, rounding)
            ratio = _SAFE * np.sqrt(allowed / error) if error > 0.0 else _GROW
            wanted = length * min(max(ratio, _SHRINK), _GROW)
            if error <= allowed:
                break
            self.length = wanted
        if length < room or wanted < self.length:
            self.length = wanted
        fresh = self.stepper.best(after)
        if (fresh != mask).any() and len(self.period.backends) <= _LOCATED:
            after, length, fresh = self._located(state, length, mask, after, fresh)
        if error > max(usual, rounding):
            self.for_kinks -= error / scale
        self.trajectory.stepped(error)
        self.progress(self.now + length, self.trajectory.steps, self.speed)
        return after, length, fresh

    def _require_budget(self) -> None:
        """Raise UsageError once the budget is spent."""
        solves = self.trajectory.solves + self.stepper.solves
        if solves < self.budget:
            return
        reached, sooner = f"{self.now:.6g} s", "a horizon"
        if self.horizon is not None:
            reached, sooner = f"{reached} of {self.horizon:.6g} s", "a shorter horizon"
        steps = counted(self.trajectory.steps, "step")
        raise UsageError(
            f"the fluid is at {reached} after {steps} and has spent "
            f"its budget of {counted(self.budget, 'level flow')}; give a larger tolerance than "
            f"{self.tolerance:g}, {sooner}, or a larger budget"
        )

    def _share(self, length: float) -> float:
        """Share of the horizon, or of all time, that a step covers."""
        if self.horizon is not None:
            return length / self.horizon
        late = self.unit + self.now
        return self.unit * length / (late * (late + length))

    def _doubled(self, state: FloatArray, length: float) -> tuple[FloatArray, float]:
        """State after two half steps, and the estimated error: inf where a step is too long."""
        step = self.stepper.step
        whole, half = step(state, length, 0), step(state, 0.5 * length, 1)
        after = None if half is None else step(half, 0.5 * length, 2)
        if whole is None or after is None:
            return state, np.inf
        return after, float(np.abs(after - whole).sum()) / _DOUBLING

    def _located(
        self,
        state: FloatArray,
        length: float,
        mask: MaskArray,
        after: FloatArray,
        fresh: MaskArray,
    ) -> tuple[FloatArray, float, MaskArray]:
        """The end of the shortest part of a step by which the tiers have changed."""
        before = 0.0
        while length - before > _KINK_SHARE * self.tolerance * self.unit:
            middle = 0.5 * (before + length)
            there = self.stepper.step(state, middle, 3)
            if there is None:
                break
            best = self.stepper.best(there)
            if (best == mask).all():
                before = middle
            else:
                length, after, fresh = middle, there, best
        return after, length, fresh
