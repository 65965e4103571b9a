"""Settings of a run of the routing simulator."""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from isocline.errors import UsageError
from isocline.simulate.common.run_settings import SharedSettings
from isocline.simulate.routing.changing_fleet import CurveChange
from isocline.simulate.routing.failure import BackendFailure
from isocline.simulate.routing.slotted_clock import Slots
from isocline.simulate.routing.slowdown import Slowdown, require_slowdowns_fit


@final
@dataclass(frozen=True)
class RunSettings(SharedSettings):
    """Length, start and changes of one replication; times in seconds."""

    start: Literal["empty", "fluid"] | tuple[int, ...] = "empty"  # or jobs at each backend
    slots: Slots | None = None  # of the slotted clock; None: the continuous one
    slowdowns: tuple[Slowdown, ...] = ()
    changes: tuple[CurveChange, ...] = ()  # of a fleet that changes
    failures: tuple[BackendFailure, ...] = ()  # of such a fleet
    listed: bool = False  # arrivals are listed in advance, as engines that hold jobs need them
    scale: float = 1.0  # a job counts 1 / scale in what is reported
    interrupted: bool = False  # jobs may leave unfinished: they have patience, or backends fail
    deadline: float | None = None  # s: a latency above it counts as late

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.deadline is not None:
            require_deadline(self.deadline, self.percentiles)
        require_slowdowns_fit(self.slowdowns, self.horizon)


def require_deadline(deadline: float, percentiles: bool) -> None:
    """Raise UsageError for a deadline that latencies cannot be compared with."""
    if not (np.isfinite(deadline) and deadline > 0):
        raise UsageError(f"deadline {deadline:g} s: give a finite time above 0")
    if not percentiles:
        raise UsageError("deadline: it is compared with every latency; leave --means-only out")
