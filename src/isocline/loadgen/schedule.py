"""Schedule of requests: due times and sizes."""

import math
from dataclasses import dataclass
from typing import Self, final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.traffic import PoissonArrivals, Trace

_MOST = 20_000_000  # requests; half a gigabyte of times and sizes


@final
@dataclass(frozen=True, eq=False)
class Schedule:
    """n requests in order of their times."""

    source: str  # in words
    duration: float  # s; no request is due later
    times: npt.NDArray[np.float64]  # (n,) s from the start
    prompt_tokens: npt.NDArray[np.int64]  # (n,) > 0
    output_tokens: npt.NDArray[np.int64]  # (n,) > 0

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.times.size / self.duration

    @classmethod
    def poisson(
        cls, rate: float, duration: float, prompt_tokens: int, output_tokens: int, seed: int = 0
    ) -> Self:
        """Poisson arrivals at `rate`/s for `duration` s; the same for the same seed.

        Raises:
            UsageError: A number is not above 0, or that would be too many requests.
        """
        _require(rate=rate, duration=duration, prompt=prompt_tokens, output=output_tokens)
        if rate * duration > _MOST:
            raise UsageError(
                f"{rate:g}/s for {duration:g} s are {rate * duration:.3g} requests; "
                f"give a rate and a duration for at most {_MOST:,}"
            )
        times = PoissonArrivals(rate).sample(np.random.default_rng(seed), duration)
        sizes = np.ones(times.size, np.int64)
        return cls("Poisson", duration, times, sizes * prompt_tokens, sizes * output_tokens)

    @classmethod
    def of_trace(cls, trace: Trace, duration: float | None = None) -> Self:
        """The requests of a trace that come in its first `duration` s; of all of it by default.

        Raises:
            UsageError: The duration is not above 0.
        """
        length = trace.length if duration is None else duration
        _require(duration=length)
        n = int(np.searchsorted(trace.times, length))
        tokens = (
            np.maximum(np.rint(column[:n]), 1.0).astype(np.int64)
            for column in (trace.prompt_tokens, trace.output_tokens)
        )
        return cls(f"trace {trace.name}", length, trace.times[:n], *tokens)

    def part(self, number: int, of: int) -> Self:
        """Every `of`-th request, from that with this number on."""
        mine = slice(number, None, of)
        return self.__class__(
            self.source,
            self.duration,
            self.times[mine],
            self.prompt_tokens[mine],
            self.output_tokens[mine],
        )


def _require(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise UsageError(f"{name} is {value}; give a finite number above 0")
