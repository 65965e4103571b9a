"""A recorded sequence of requests: when each came, how large it was, and where it came in."""

from dataclasses import dataclass, replace
from typing import Self, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import numbers
from isocline.errors import UsageError
from isocline.model.traffic.prompt_blocks import PromptBlocks
from isocline.plural import counted
from isocline.record import brief

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


@final
@dataclass(frozen=True, eq=False)
class Mix:
    """The label of each of n requests: the name of its frontend, or of its model."""

    labels: tuple[str, ...]  # distinct
    of: IntArray  # (n,) number of each request's label
    column: str  # "frontend" or "model"
    required: bool = True  # else labels that no frontend has are ignored, all of them

    def taken(self, order: npt.NDArray[np.int64]) -> Self:
        """The same labels of the requests in another order."""
        return replace(self, of=self.of[order])


@final
@dataclass(frozen=True, eq=False)
class Trace:
    """n requests in order of arrival; times start at 0."""

    __repr__ = brief

    name: str
    times: FloatArray  # (n,) s, non-decreasing, times[0] == 0
    prompt_tokens: FloatArray  # (n,) tokens read (prefill)
    output_tokens: FloatArray  # (n,) tokens written (decode)
    work: FloatArray | None = None  # (n,) in the unit of the curves, in place of tokens
    mix: Mix | None = None
    sized: bool = True  # False: the trace has times alone
    blocks: PromptBlocks | None = None  # of the prompts; None: they share nothing

    def __post_init__(self) -> None:
        for column in ("times", "prompt_tokens", "output_tokens", "work"):
            if (given := getattr(self, column)) is not None:
                found = _column(f"trace {self.name}: {column}", given)
                object.__setattr__(self, column, found)
        if self.times.size == 0:
            raise UsageError(f"trace {self.name}: it holds no request; give at least one")
        if (np.diff(self.times) < 0.0).any():
            raise UsageError(f"trace {self.name}: times go back; sort the requests by time")
        labels = None if self.mix is None else self.mix.of
        for column, values in (
            ("prompt_tokens", self.prompt_tokens),
            ("output_tokens", self.output_tokens),
            ("work", self.work),
            ("mix", labels),
            ("blocks", self.blocks),
        ):
            if values is not None and len(values) != len(self.times):
                raise UsageError(
                    f"trace {self.name}: {column} has {counted(len(values), 'value')}, and times "
                    f"has {len(self.times)}; give one for each request"
                )

    @property
    def length(self) -> float:
        """Seconds covered: n mean gaps, so that n / length is the rate."""
        n = self.times.size
        return float(self.times[-1]) * n / (n - 1) if n > 1 else 1.0

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.times.size / self.length

    def sped_up(self, factor: float) -> Self:
        """The same requests, `factor` times as close together."""
        return replace(self, times=self.times / factor)

    def spread(self, tick: float) -> Self:
        """The same requests, those of one time evenly over the `tick`, s, that begins with it.

        For traces whose clock is coarse. Where the next time is nearer than a tick, over the gap.

        Raises:
            UsageError: The tick is not a finite number above 0.
        """
        if not 0.0 < tick < float("inf"):
            raise UsageError(f"tick {tick:g}: give a finite number of s above 0")
        found, first, count = np.unique(self.times, return_index=True, return_counts=True)
        gap = np.minimum(np.diff(found, append=np.inf), tick)
        place = np.arange(self.times.size) - np.repeat(first, count)
        return replace(self, times=self.times + place * np.repeat(gap / count, count))


def _column(label: str, given: object) -> FloatArray:
    """(n,) finite numbers, 0 or more; raises UsageError where they are others."""
    found: FloatArray = numbers(label, given)
    if found.ndim != 1 or not (np.isfinite(found) & (found >= 0.0)).all():
        raise UsageError(f"{label}: give a row of finite numbers, 0 or more")
    return found
