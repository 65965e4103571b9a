"""Trajectory of the fluid while it is followed, and the record made of it."""

from collections.abc import Sequence
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.flow import tiers
from isocline.theory.routing.direction import Direction
from isocline.theory.routing.fluid_path import FluidPath, TierChange
from isocline.theory.routing.piecewise_parameters import Period
from isocline.theory.routing.plan_records import Overload, TierPlan

FloatArray = npt.NDArray[np.float64]


@final
class Trajectory:
    """Collector of the reported states, over all periods."""

    def __init__(self, periods: Sequence[Period]) -> None:
        self.system = periods[0].system.name
        self.backends = periods[0].backends
        edges = dict.fromkeys(edge for period in periods for edge in period.edges)
        self.edges = {edge: at for at, edge in enumerate(edges)}
        self.columns = {id(p): [self.edges[edge] for edge in p.edges] for p in periods}
        self.times: list[float] = []
        self.jobs: list[FloatArray] = []
        self.inflow: list[FloatArray] = []
        self.flow: list[FloatArray] = []
        self.speed: list[float] = []
        self.changes: list[TierChange] = []
        self.error, self.steps, self.solves = 0.0, 0, 0

    def report(self, now: float, jobs: FloatArray, here: Direction, period: Period) -> None:
        """Add a state of the path."""
        flow = np.full(len(self.edges), np.nan)
        flow[self.columns[id(period)]] = here.flow
        self.times.append(now)
        self.jobs.append(jobs)
        self.inflow.append(here.inflow)
        self.flow.append(flow)
        self.speed.append(here.lyapunov)

    def stepped(self, error: float) -> None:
        """Add a step with this estimated error, jobs."""
        self.error += error
        self.steps += 1

    def tiers_at(self, now: float, period: Period, gain: FloatArray, same: float) -> None:
        """Add a change of the tiers.

        Args:
            now: s.
            period: Of the system.
            gain: (B,) what one more job gains, jobs/s.
            same: Gains within this factor (less 1) are tied.
        """
        with np.errstate(divide="ignore"):
            price = 1.0 / gain
        found = tuple(
            TierPlan(
                tuple(period.system.frontends[f].name for f in tier.sources),
                tuple(self.backends[b] for b in tier.sinks),
                1.0 / tier.price,
            )
            for tier in tiers(period.graph, price, same)
        )
        self.changes.append(TierChange(now, found))

    def path(
        self, tolerance: float, equilibrium: FloatArray | None, overload: Overload | None
    ) -> FluidPath:
        """Make the record."""
        return FluidPath(
            backends=self.backends,
            edges=tuple(self.edges),
            times=np.array(self.times),
            workloads=np.array(self.jobs),
            inflow=np.array(self.inflow),
            flow=np.array(self.flow),
            lyapunov=np.array(self.speed),
            tiers=tuple(self.changes),
            tolerance=tolerance,
            error=self.error,
            steps=self.steps,
            solves=self.solves,
            equilibrium=equilibrium,
            overload=overload,
            system=self.system,
        )
