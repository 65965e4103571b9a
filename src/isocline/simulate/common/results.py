"""Results that both simulators have: one policy, a comparison of several, and a sweep of loads."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from isocline.record import Record, brief, data_frame
from isocline.simulate.common.estimate import Estimate

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PolicyFigures(ABC):
    """One policy on one system; times in seconds, or in slots on the slotted clock of a cluster.

    An unstable policy has no steady state, so all its estimates are None and `overloaded` names
    the backends or servers whose workload grew.

    A run that ends, as of a trace, has figures in any case. Where it brings more than can be
    served, or than a policy's fixed shares allow, the status is `overloaded`, and they hold for a
    run of this length only. It is followed until its last job has left. All the time that jobs
    spend in the system counts, in their mean number as in `mean_latency`, and is divided by the
    length of the trace or by the horizon: so the mean number is arrival_rate * mean_latency.
    """

    __repr__ = brief

    policy: str
    status: Literal["stable", "overloaded", "unstable"]
    mean_latency: Estimate | None
    p50: Estimate | None  # None, as the next two, if percentiles were not asked for
    p95: Estimate | None
    p99: Estimate | None
    ratio_to_bound: Estimate | None  # over the lower bound
    difference: (
        Estimate | None
    )  # mean latency minus the first policy's, paired; None if it has none
    completed: int  # jobs or tasks, in the measured part of all replications
    littles_law: float  # |L - lambda W| / L with L, lambda and W all measured; nan without W
    overloaded: tuple[str, ...]
    total_over_time: FloatArray  # (blocks,) mean number in each block; (0,) if never run
    events: int
    events_per_second: float
    arrival_rate: float = float("nan")  # in the measured part
    finished: float | None = None  # when the last left; None if they come for ever
    # Shares of the jobs, and the latency that each share does not exceed; () without percentiles.
    # For pictures: it has no place in tables or JSON.
    latency_curve: tuple[tuple[float, float], ...] = ()
    # (R,) mean latency of each replication, or (0,) of a policy without a steady state. Those of
    # another run with the same seed have the same numbers: their differences are paired.
    latencies: FloatArray = field(default_factory=lambda: np.empty(0))
    controls: FloatArray | None = None  # (R, q) their deviations from known means

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """One entry of `policies` in the JSON of `isocline simulate`."""

    def flat(self) -> dict[str, Any]:
        """The same in one row, as a CSV can hold it."""
        return flat_row(self.to_dict())

    def _counts(self) -> dict[str, Any]:
        """The end of that entry."""
        return {
            "completed": self.completed,
            "littles_law": None if np.isnan(self.littles_law) else self.littles_law,
            "arrival_rate": None if np.isnan(self.arrival_rate) else self.arrival_rate,
            "finished": self.finished,
            "overloaded": list(self.overloaded),
            "events": self.events,
            "events_per_second": self.events_per_second,
        }


P = TypeVar("P", bound=PolicyFigures)


@dataclass(frozen=True, eq=False, kw_only=True)
class PolicyComparison(Record, Generic[P], ABC):
    """Several policies on one system at one load, with the same arrivals and the bound."""

    kind: ClassVar[str]  # of the system
    system: str
    source: str  # what the arrivals were, in words: "Poisson", "trace azure_llm_code.csv", ...
    load: float  # offered work over what can be served: 1 / capacity_scale
    lower_bound: float  # mean number: no policy has fewer
    lower_bound_latency: float
    policies: tuple[P, ...]
    times: FloatArray  # (blocks,) the end of each block
    horizon: float  # of each replication, warm-up included
    warmup: float  # discarded at the start of each replication
    warmup_rule: str  # "given" or "MSER-5"
    replications: int
    seed: int
    interrupted: bool = False
    percentiles: bool = True  # whether they were asked for

    @property
    def results(self) -> tuple[P, ...]:
        """Results by policy."""
        return self.policies

    def to_frame(self) -> "pd.DataFrame":
        """One row per policy; needs `pip install 'isocline[frame]'`."""
        return data_frame(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """One flat row per policy, as a CSV can hold it."""
        common = self._conditions()
        return [common | policy.flat() for policy in self.policies]

    def _conditions(self) -> dict[str, Any]:
        """What all policies of a row's table have in common."""
        return {
            "system": self.system,
            "load": self.load,
            "lower_bound": self.lower_bound,
            "lower_bound_latency": self.lower_bound_latency,
        }


C = TypeVar("C", bound=PolicyComparison[Any])


@dataclass(frozen=True, eq=False)
class LoadSweep(Record, Generic[C], ABC):
    """Comparisons at several loads, lowest first."""

    kind: ClassVar[str]  # of the system
    comparisons: tuple[C, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `isocline simulate --load a,b,...`."""
        return {"kind": self.kind, "loads": [one.to_dict() for one in self.comparisons]}

    @property
    def results(self) -> tuple[Any, ...]:
        """Results by policy at each load."""
        return tuple(policy for one in self.comparisons for policy in one.results)

    def rows(self) -> list[dict[str, Any]]:
        """One flat row per load and policy, as a CSV can hold it."""
        return [row for one in self.comparisons for row in one.rows()]

    def to_frame(self) -> "pd.DataFrame":
        """One row per load and policy; needs `pip install 'isocline[frame]'`."""
        return data_frame(self.rows())


def estimates(record: object, names: Sequence[str]) -> dict[str, Any]:
    """Each of these estimates as its value and its interval."""
    row: dict[str, Any] = {}
    for name in names:
        found: Estimate | None = getattr(record, name)
        row[name] = None if found is None else found.value
        row[f"{name}_ci95"] = None if found is None else [found.low, found.high]
    return row


def flat_row(row: dict[str, Any]) -> dict[str, Any]:
    """A JSON row as a CSV can hold it: intervals as two columns each, lists as text."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if key.endswith("_ci95"):
            flat[f"{key}_low"], flat[f"{key}_high"] = value or (None, None)
        else:
            flat[key] = " ".join(value) if isinstance(value, list) else value
    return flat
