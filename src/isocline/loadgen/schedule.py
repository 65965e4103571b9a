"""Schedule of requests: due times and sizes."""

import math
from dataclasses import dataclass, replace
from typing import Self, final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.traffic import PoissonArrivals, PromptBlocks, Trace

_ALIKE = 1024  # of one size, after which they are numbered on
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
    blocks: PromptBlocks | None = None  # of the prompts; None: no two begin alike
    block_tokens: int = 0  # tokens of a block
    first: int = 0  # number of the first request, of which others do not come twice
    step: int = 1  # between numbers

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
    def alike(cls, prompt_tokens: int, output_tokens: int) -> Self:
        """Requests of one size, all due at once: for a closed loop, which sends them in turn.

        Raises:
            UsageError: A number is not above 0.
        """
        _require(prompt=prompt_tokens, output=output_tokens)
        sizes = np.ones(_ALIKE, np.int64)
        return cls("alike", 1.0, np.zeros(_ALIKE), sizes * prompt_tokens, sizes * output_tokens)

    @classmethod
    def of_trace(cls, trace: Trace, duration: float | None = None) -> Self:
        """The requests of a trace that come in its first `duration` s; of all of it by default.

        Raises:
            UsageError: The duration is not above 0.
        """
        length = trace.length if duration is None else duration
        _require(duration=length)
        n = int(np.searchsorted(trace.times, length))
        prompts, outputs = (
            np.maximum(np.rint(column[:n]), 1.0).astype(np.int64)
            for column in (trace.prompt_tokens, trace.output_tokens)
        )
        blocks, block_tokens = trace.blocks and trace.blocks.taken(np.arange(n)), 0
        if blocks is not None:
            # All but the last block of a prompt are whole.
            each = np.ceil(prompts / np.maximum(blocks.counts, 1))
            block_tokens = int(each[blocks.counts > 0].max(initial=0))
        name = f"trace {trace.name}"
        return cls(name, length, trace.times[:n], prompts, outputs, blocks, block_tokens)

    @classmethod
    def for_sizes(cls, trace: Trace, seed: int = 0) -> Self:
        """Sizes of a trace for a closed loop: in a random order, as their times do not count.

        Where prompts share blocks they stay in order, which is what a prefix cache lives on.
        """
        found = cls.of_trace(trace)
        return found if found.blocks is not None else found.shuffled(seed)

    def shuffled(self, seed: int) -> Self:
        """The same requests in a random order, their sizes at the times of others."""
        order = np.random.default_rng(seed).permutation(self.times.size)
        return replace(
            self,
            prompt_tokens=self.prompt_tokens[order],
            output_tokens=self.output_tokens[order],
            blocks=self.blocks and self.blocks.taken(order),
        )

    def part(self, number: int, of: int) -> Self:
        """Every `of`-th request, from that with this number on."""
        mine = slice(number, None, of)
        return self.__class__(
            self.source,
            self.duration,
            self.times[mine],
            self.prompt_tokens[mine],
            self.output_tokens[mine],
            self.blocks and self.blocks.taken(np.arange(self.times.size)[mine]),
            self.block_tokens,
            number,
            of,
        )


def _require(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise UsageError(f"{name} is {value}; give a finite number above 0")
