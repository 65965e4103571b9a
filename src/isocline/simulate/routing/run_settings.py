"""Specification of a run: length, start, arrivals, and the blocks into which it is cut."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.simulate.common.batches import BATCH, BATCHES
from isocline.simulate.common.slotted_clock import Slots
from isocline.simulate.routing.changing_fleet import CurveChange
from isocline.simulate.routing.failure import BackendFailure
from isocline.simulate.routing.slowdown import Slowdown, require_slowdowns_fit

FloatArray = npt.NDArray[np.float64]


@final
@dataclass(frozen=True)
class Run:
    """Length and start of one replication."""

    horizon: float  # s, warm-up included
    warmup: float | None = None  # s; None: found afterwards by MSER-5
    seed: int = 0
    start: Literal["empty", "fluid"] | tuple[int, ...] = "empty"  # or jobs at each backend
    percentiles: bool = True
    drain: bool = False  # after the horizon, finish the jobs that are there and time them, too
    slots: Slots | None = None  # of the slotted clock; None: the continuous one
    slowdowns: tuple[Slowdown, ...] = ()
    changes: tuple[CurveChange, ...] = ()  # of a fleet that changes
    failures: tuple[BackendFailure, ...] = ()  # of such a fleet
    listed: bool = False  # arrivals are listed in advance, as engines that hold jobs need them
    scale: float = 1.0  # a job counts 1 / scale in what is reported
    interrupted: bool = False  # jobs may leave unfinished: they have patience, or backends fail
    deadline: float | None = None  # s: a latency above it counts as late

    def __post_init__(self) -> None:
        if not (np.isfinite(self.horizon) and self.horizon > 0):
            raise UsageError(f"horizon {self.horizon} s: give a time above 0")
        if self.warmup is not None and not 0 <= self.warmup < self.horizon:
            raise UsageError(
                f"warm-up {self.warmup:g} s: give 0 or more, and less than the horizon "
                f"{self.horizon:g} s"
            )
        if self.seed < 0:
            raise UsageError(f"seed {self.seed}: give 0 or more")
        if self.deadline is not None:
            require_deadline(self.deadline, self.percentiles)
        require_slowdowns_fit(self.slowdowns, self.horizon)
        if self.slowdowns and self.slots is not None:
            raise UsageError("slowdown: not simulated by the slotted clock; use the continuous one")

    @cached_property
    def discarded_blocks(self) -> int:
        """Blocks before the given warm-up's end; a multiple of BATCH, 0 if there is none."""
        if not self.warmup:
            return 0
        share = self.warmup / (self.horizon - self.warmup)
        return BATCH * int(np.clip(round(BATCHES * share), 1, BATCHES))

    @cached_property
    def ends(self) -> FloatArray:
        """(blocks,) the end of each block, s; one of them is the end of the warm-up."""
        measured = BATCHES * BATCH
        if not self.warmup:
            return np.linspace(0.0, self.horizon, measured + 1)[1:]
        before = np.linspace(0.0, self.warmup, self.discarded_blocks + 1)[1:]
        after = np.linspace(self.warmup, self.horizon, measured + 1)[1:]
        return np.concatenate((before, after))


def require_deadline(deadline: float, percentiles: bool) -> None:
    """Raise UsageError for a deadline that latencies cannot be compared with."""
    if not (np.isfinite(deadline) and deadline > 0):
        raise UsageError(f"deadline {deadline:g} s: give a finite time above 0")
    if not percentiles:
        raise UsageError("deadline: it is compared with every latency; leave --means-only out")
