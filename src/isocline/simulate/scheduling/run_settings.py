"""Settings of a run of the scheduling simulator."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.simulate.common.run_settings import CLOCKS, Clock, SharedSettings

FloatArray = npt.NDArray[np.float64]

Level = Literal["data", "queue"]
LEVELS: tuple[Level, ...] = ("data", "queue")


@final
@dataclass(frozen=True)
class ClusterRunSettings(SharedSettings):
    """Length, clock and reading of the paper of one replication.

    Times are seconds, or slots on the slotted clock.
    """

    clock: Clock = "continuous"
    level: Level = "data"
    """What makes a task local to the server that runs it. `data`: that the server holds its data.
    `queue`: that it waited in that server's queue (near-data paper, Section 2.2, where
    R_m ~ Bern(gamma) whenever server m serves another queue, even if it holds the data, too)."""
    common_arrivals: bool = False
    """Whether times of arrivals, works and holders are drawn apart from what servers do, so that
    another cluster with the same seed gets the same tasks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value, allowed in (("clock", self.clock, CLOCKS), ("level", self.level, LEVELS)):
            if value not in allowed:
                raise UsageError(f"{name} {value!r}: give one of {', '.join(allowed)}")
        if self.slotted and self.drain:
            raise UsageError("drain: not on the slotted clock; use the continuous one")

    @property
    def slotted(self) -> bool:
        """Whether time goes in slots."""
        return self.clock == "slotted"

    @cached_property
    def ends(self) -> FloatArray:
        """(blocks,) the end of each block; whole slots on the slotted clock."""
        ends = super().ends
        return np.rint(ends) if self.slotted else ends
