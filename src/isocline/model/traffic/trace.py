"""A recorded sequence of requests: when each came, and how many tokens it read and wrote."""

from dataclasses import dataclass
from typing import Self, final

import numpy as np
import numpy.typing as npt

from isocline.record import brief

FloatArray = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False)
class Trace:
    """n requests in order of arrival; times start at 0."""

    __repr__ = brief

    name: str
    times: FloatArray  # (n,) s, non-decreasing, times[0] == 0
    prompt_tokens: FloatArray  # (n,) tokens read (prefill)
    output_tokens: FloatArray  # (n,) tokens written (decode)

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
        return self.__class__(
            self.name, self.times / factor, self.prompt_tokens, self.output_tokens
        )
