"""Settings of a run that both simulators have: its length, and the blocks into which it is cut."""

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from isocline.arguments import POSITIVE, Range, in_one_line
from isocline.errors import UsageError

FloatArray = npt.NDArray[np.float64]

ONE_LOAD = Range(
    "a finite number above 0, such as 0.8; for several loads call it once for each, or use "
    "`isocline simulate --load 0.5,0.8`",
    POSITIVE.holds,
)
Clock = Literal["continuous", "slotted"]
CLOCKS: tuple[Clock, ...] = ("continuous", "slotted")

# Means are kept per block, latencies per batch of five blocks: what MSER-5 truncates by.
BATCH = 5
BATCHES = 48  # MSER's remedy for noise is averaging; 48 points leave it at least 24 to choose from

# A default run is long enough for a 1 % half-width at moderate load, and for systems of any size
# goes on for 200 times the mean latency, so that a start from empty is forgotten.
_DEFAULT_JOBS = 200_000
_DEFAULT_LATENCIES = 200.0


@dataclass(frozen=True)
class SharedSettings(ABC):
    """Length of one replication, warm-up included, and what is kept of it.

    Times are seconds, or slots on the slotted clock of a cluster.
    """

    horizon: float
    warmup: float | None = None  # None: found afterwards by MSER-5
    seed: int = 0
    percentiles: bool = True
    drain: bool = False  # after the horizon, finish the jobs that are there and time them, too

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

    @cached_property
    def discarded_blocks(self) -> int:
        """Blocks before the given warm-up's end; a multiple of BATCH, 0 if there is none."""
        if not self.warmup:
            return 0
        share = self.warmup / (self.horizon - self.warmup)
        return BATCH * int(np.clip(round(BATCHES * share), 1, BATCHES))

    @cached_property
    def ends(self) -> FloatArray:
        """(blocks,) the end of each block; one of them is the end of the warm-up."""
        measured = BATCHES * BATCH
        if not self.warmup:
            return np.linspace(0.0, self.horizon, measured + 1)[1:]
        before = np.linspace(0.0, self.warmup, self.discarded_blocks + 1)[1:]
        after = np.linspace(self.warmup, self.horizon, measured + 1)[1:]
        return np.concatenate((before, after))


def usual_horizon(rate: float, latency: float) -> float:
    """Horizon where none is given, for jobs at this `rate` that stay `latency` or so."""
    return max(_DEFAULT_JOBS / rate, _DEFAULT_LATENCIES * latency)


def ascending(loads: Sequence[float]) -> list[float]:
    """Return the loads of a sweep, lowest first.

    Raises:
        UsageError: There is none, or one of them twice.
    """
    if len(loads) == 0:
        raise UsageError("loads []: give at least one, as a share of what can be served")
    found = sorted(loads)
    for one, following in pairwise(found):
        if one == following:
            raise UsageError(
                f"loads {in_one_line(list(loads))}: {one:g} is given twice; give it once"
            )
    return found
