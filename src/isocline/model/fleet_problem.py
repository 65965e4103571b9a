"""Fleet problems: machine types with a price each, who may use which, and demands to be served.

A system has backends that are there; a fleet problem asks how many machines of each type to have.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import NOT_NEGATIVE, at_least, kind_of, require
from isocline.errors import GraphError, UsageError
from isocline.model.curves import Curve
from isocline.model.curves.own import require_usable
from isocline.model.fleet import Backend, Frontend, RoutingSystem, Work
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import ExponentialSizes, PoissonArrivals, Sizes
from isocline.plural import counted
from isocline.record import brief
from isocline.user_code import is_own

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@final
@dataclass(frozen=True)
class MachineType:
    """Machines that are alike, of which a fleet may have some."""

    name: str
    curve: Curve  # of one machine
    price: float  # money per hour
    at_least: int = 0  # machines that the fleet has in any case
    at_most: int | None = None  # None: as many as it takes
    url: str | None = None  # of a machine, with {n} for its number; needed only to serve

    def __post_init__(self) -> None:
        label = f"type {self.name!r}"
        require("type name", self.name, kind_of(str))
        require(f"{label}: price", self.price, kind_of(float), NOT_NEGATIVE)
        require(f"{label}: at_least", self.at_least, kind_of(int), at_least(0))
        require(f"{label}: at_most", self.at_most, kind_of(int | None), at_least(0))
        require(f"{label}: url", self.url, kind_of(str | None))
        if not isinstance(self.curve, Curve):
            raise UsageError(
                f"{label}: curve is {self.curve!r}; give a curve, such as "
                "isocline.HyperbolicCurve(peak=40.0, half=12.0)"
            )
        if is_own(type(self.curve)):
            require_usable(self.curve)
        if not self.curve.strictly_concave:
            raise UsageError(
                f"{label}: a {self.curve.type} curve is not strictly concave (Assumption 1), so "
                "that many splits are optimal; give it a hyperbolic or knee curve to plan with"
            ).within("curve")
        if self.at_most is not None and self.at_most < self.at_least:
            raise UsageError(
                f"{label}: at_most is {self.at_most}, below at_least, {self.at_least}; swap them"
            ).within("at_most")
        if self.price == 0 and self.at_most is None:
            raise UsageError(
                f"{label}: it costs nothing and may be had without end; give at_most: how many "
                "there are"
            ).within("at_most")


@final
@dataclass(frozen=True)
class Demand:
    """Rates at which jobs come at all frontends at one time, such as an hour of a day."""

    name: str
    rates: tuple[float, ...]  # jobs/s of each frontend
    work: float = 1.0  # mean work of its jobs, over that of the problem's

    def __post_init__(self) -> None:
        for rate in self.rates:
            if not 0.0 <= rate < math.inf:
                raise UsageError(
                    f"demand {self.name!r}: a rate is {rate}; give finite numbers, 0 or more"
                )
        if not any(self.rates):
            raise UsageError(
                f"demand {self.name!r}: every rate is 0; give at least one frontend a rate above 0"
            )
        if not 0.0 < self.work < math.inf:
            raise UsageError(
                f"demand {self.name!r}: work is {self.work}; give a finite number above 0"
            )

    @property
    def rate(self) -> float:
        """Jobs/s of all frontends together."""
        return math.fsum(self.rates)


@final
@dataclass(frozen=True, eq=False)
class FleetProblem:
    """K machine types, F frontends, who may use which, and demands that must all be served."""

    __repr__ = brief

    types: tuple[MachineType, ...]
    frontends: tuple[str, ...]
    graph: CompatibilityGraph  # frontends are its sources, types its sinks
    demands: tuple[Demand, ...]
    work: Work = field(default_factory=Work)
    sizes: Sizes = field(default_factory=ExponentialSizes)
    # (E,) mean work of a job by each edge, over that of the problem's; None: 1 by all
    edge_work: FloatArray | None = None
    name: str = "fleet"

    def __post_init__(self) -> None:
        expected = len(self.frontends), len(self.types)
        if (self.graph.sources, self.graph.sinks) != expected:
            raise GraphError(
                f"graph joins {counted(self.graph.sources, 'frontend')} and "
                f"{counted(self.graph.sinks, 'machine type')}; the problem has {expected[0]} and "
                f"{expected[1]}"
            )
        if not self.demands:
            raise UsageError("no demand is given; give at least one")
        for demand in self.demands:
            if len(demand.rates) != expected[0]:
                raise UsageError(
                    f"demand {demand.name!r} has {counted(len(demand.rates), 'rate')}; give one "
                    f"for each of the {counted(expected[0], 'frontend')}"
                )
        if self.edge_work is not None:
            work = np.asarray(self.edge_work, np.float64)
            if work.shape != (self.graph.edges,) or not (np.isfinite(work) & (work > 0)).all():
                raise UsageError(
                    f"edge_work: give {self.graph.edges} finite numbers above 0, one for each edge"
                )
            object.__setattr__(self, "edge_work", work)

    @cached_property
    def curves(self) -> tuple[Curve, ...]:
        """(K,) curve of one machine of each type, in mean jobs/s."""
        if self.work.mean == 1.0:
            return tuple(each.curve for each in self.types)
        return tuple(each.curve.scaled(1.0 / self.work.mean) for each in self.types)

    @cached_property
    def prices(self) -> FloatArray:
        """(K,) money per hour."""
        return np.array([each.price for each in self.types])

    @property
    def has_like_jobs(self) -> bool:
        """Whether the jobs of all frontends are of one mean work, whichever type serves them."""
        return self.edge_work is None

    def cost(self, counts: Sequence[int] | IntArray) -> float:
        """Money per hour of so many machines of each type."""
        return math.fsum(n * each.price for n, each in zip(counts, self.types, strict=True))

    def with_demands(self, demands: Sequence[Demand]) -> Self:
        """The same problem with other demands."""
        return replace(self, demands=tuple(demands))

    def system(self, counts: Sequence[int] | IntArray, demand: Demand) -> RoutingSystem:
        """The routing system of so many machines of each type, under one demand.

        Its backends are `type-1`, `type-2`, ...; frontends without a rate are left out. Where
        frontends have work of their own, jobs have that of the mean job.

        Raises:
            GraphError: A frontend with a rate has no machine.
        """
        first = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        backends = tuple(
            Backend(
                f"{each.name}-{i}",
                each.curve,
                None if each.url is None else each.url.replace("{n}", str(i)),
            )
            for each, count in zip(self.types, counts, strict=True)
            for i in range(1, int(count) + 1)
        )
        used = [f for f, rate in enumerate(demand.rates) if rate > 0.0]
        neighbours = [
            [b for k in self.graph.neighbours(f) for b in range(first[k], first[k + 1])]
            for f in used
        ]
        return RoutingSystem(
            frontends=tuple(
                Frontend(self.frontends[f], PoissonArrivals(demand.rates[f])) for f in used
            ),
            backends=backends,
            graph=CompatibilityGraph.from_neighbours(len(backends), neighbours),
            work=replace(self.work, mean=self.work.mean * demand.work * self._mean_work(demand)),
            sizes=self.sizes,
            name=self.name if len(self.demands) == 1 else f"{self.name}, {demand.name}",
        )

    def _mean_work(self, demand: Demand) -> float:
        """Of the jobs of a demand, each by all its edges alike, over that of the problem's."""
        if self.edge_work is None:
            return 1.0
        each = np.add.reduceat(self.edge_work, self.graph.first[:-1]) / np.diff(self.graph.first)
        return float(each @ np.array(demand.rates)) / demand.rate
