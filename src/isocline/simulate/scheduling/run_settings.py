"""Specification of a cluster's run: length, clock, and the distance that sets durations."""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.simulate.common.slotted_clock import CLOCKS, Clock
from isocline.simulate.routing.run_settings import Run

FloatArray = npt.NDArray[np.float64]

Level = Literal["data", "queue"]
LEVELS: tuple[Level, ...] = ("data", "queue")


@final
@dataclass(frozen=True)
class ClusterRun:
    """Length, clock and reading of the paper of one replication."""

    length: Run
    """Horizon, warm-up, seed, blocks, percentiles; seconds, or slots on the slotted clock."""
    clock: Clock = "continuous"
    level: Level = "data"
    """What makes a task local to the server that runs it. `data`: that the server holds its data.
    `queue`: that it waited in that server's queue (near-data paper, Section 2.2, where
    R_m ~ Bern(gamma) whenever server m serves another queue, even if it holds the data, too)."""

    def __post_init__(self) -> None:
        for name, value, allowed in (("clock", self.clock, CLOCKS), ("level", self.level, LEVELS)):
            if value not in allowed:
                raise UsageError(f"{name} {value!r}: give one of {', '.join(allowed)}")
        if self.length.slots is not None or self.length.slowdowns:
            raise UsageError("slots and slowdowns: not for clusters; the clock is enough")
        if self.clock == "slotted" and self.length.drain:
            raise UsageError("drain: not on the slotted clock; use the continuous one")

    @property
    def ends(self) -> FloatArray:
        """(blocks,) the end of each block; whole slots on the slotted clock."""
        ends = self.length.ends
        return np.rint(ends) if self.clock == "slotted" else ends
