"""Patience of jobs: how long after its arrival a job gives up, if it is not done (reneging)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import require_fields
from isocline.errors import UsageError
from isocline.model.traffic.laws import options_of
from isocline.model.traffic.sizes import (
    DeterministicSizes,
    ExponentialSizes,
    HyperexponentialSizes,
    LognormalSizes,
    Sizes,
)

Until = Literal["start", "end"]
FloatArray = npt.NDArray[np.float64]

EXAMPLES = (
    "exponential:mean=2, deterministic:mean=2, lognormal:mean=2,cv=1.5, "
    "hyperexponential:mean=2,cv=3, exponential:mean=2,until=start"
)


@final
@dataclass(frozen=True)
class Patience:
    """A distribution of the time, s, from a job's arrival until it leaves unfinished.

    Deterministic patience is one timeout for all jobs.
    """

    law: Sizes  # relative to the mean
    mean: float  # s
    until: Until = "end"  # of service; "start": a job in service stays (Erlang-A)

    def __post_init__(self) -> None:
        require_fields(self, "patience")
        if not (math.isfinite(self.mean) and self.mean > 0):
            raise UsageError(
                f"patience: mean is {self.mean}; give a finite number of seconds above 0, or leave "
                "patience out"
            ).within("mean")
        if self.until not in ("start", "end"):
            raise UsageError(f"patience: until is {self.until!r}; give start or end").within(
                "until"
            )

    @property
    def in_words(self) -> str:
        """One phrase for the small print."""
        while_waiting = ", while waiting" if self.until == "start" else ""
        return f"{self.law.type} patience of mean {self.mean:g} s{while_waiting}"

    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:
        """(count,) independent times, s, 0 or more."""
        times = self.mean * np.asarray(self.law.sample(rng, count), dtype=np.float64)
        if times.shape != (count,) or not bool((times >= 0.0).all()):
            raise UsageError(
                f"patience: {self.law.type}.sample(rng, {count}) must give {count} numbers, 0 or "
                "more"
            )
        return times


def patience_of(text: str) -> Patience | None:
    """From `LAW:mean=S`, as on the command line; None from `none`.

    Raises:
        UsageError: The law or an option is unknown, missing or out of range.
    """
    if text == "none":
        return None
    name, options = options_of("patience", text, EXAMPLES)
    if name not in _LAWS:
        raise UsageError(f"patience {text!r}: unknown law {name!r}; examples: {EXAMPLES}")
    until = options.pop("until", "end")
    law, further = _LAWS[name]
    _require_exactly(text, options, ("mean", *further))
    try:
        numbers = {key: float(value) for key, value in options.items()}
    except ValueError:
        raise UsageError(f"patience {text!r}: give numbers; examples: {EXAMPLES}") from None
    mean = numbers.pop("mean")
    try:
        distribution = law(**numbers)
    except UsageError as error:
        raise UsageError(f"patience {text!r}: {error}") from error
    return Patience(distribution, mean, until)  # type: ignore[arg-type]  # which it checks


def _require_exactly(text: str, options: Mapping[str, str], needed: tuple[str, ...]) -> None:
    unknown = [key for key in options if key not in needed]
    missing = [key for key in needed if key not in options]
    if unknown or missing:
        problem = f"{unknown[0]} is unknown" if unknown else f"{missing[0]} is missing"
        raise UsageError(f"patience {text!r}: {problem}; examples: {EXAMPLES}")


_LAWS: dict[str, tuple[type[Sizes], tuple[str, ...]]] = {
    "exponential": (ExponentialSizes, ()),
    "deterministic": (DeterministicSizes, ()),
    "lognormal": (LognormalSizes, ("cv",)),
    "hyperexponential": (HyperexponentialSizes, ("cv",)),
}
"""Each law with the options that it needs beside its mean."""
