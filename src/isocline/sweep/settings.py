"""Settings of a sweep."""

import math
from dataclasses import dataclass
from typing import Literal, final

from isocline.errors import UsageError
from isocline.loadgen.settings import LoadSettings

_MOST = 10_000  # clients: as many connections, each with a descriptor


@final
@dataclass(frozen=True)
class SweepSettings:
    """What to measure, how well, and in what time.

    Raises:
        UsageError: A number is out of range.
    """

    load: LoadSettings  # an empty model: the one that the server lists
    most: int = 64  # highest concurrency
    precision: float = 0.05  # half-width of the 95 % interval, relative
    limit: float = 120.0  # s in all
    unit: Literal["jobs", "tokens"] = "jobs"  # requests, or output tokens
    ignore_eos: bool = False  # have answers as long as was asked: vLLM, SGLang and llama.cpp do

    def __post_init__(self) -> None:
        if not 1 <= self.most <= _MOST:
            raise UsageError(f"most is {self.most}; give a whole number from 1 to {_MOST}")
        if not 0 < self.precision < 1:
            raise UsageError(f"precision is {self.precision}; give a share such as 0.05")
        if not (math.isfinite(self.limit) and self.limit > 0):
            raise UsageError(f"limit is {self.limit} s; give a finite time above 0")

    @property
    def timeout(self) -> float:
        """Of a request, s."""
        return min(self.load.timeout, self.limit)

    @property
    def fields(self) -> dict[str, object]:
        """Fields of each request's body beside the usual ones."""
        found: dict[str, object] = {"ignore_eos": True} if self.ignore_eos else {}
        if self.unit == "tokens" and self.load.streams:
            found["stream_options"] = {"include_usage": True}
        return found
