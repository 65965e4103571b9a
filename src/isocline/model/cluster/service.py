"""Task durations relative to the mean: job sizes with mean 1, and those of a recorded file.

A task of size x takes x / rate seconds at the rate of the level it is served at. The default,
exponential sizes, is geometric on the slotted clock (near-data paper, Section 2, Services).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np

from isocline.errors import UsageError
from isocline.model.traffic import Sizes
from isocline.model.traffic.rows import fail, text_of
from isocline.model.traffic.sizes import FloatArray

ServiceLaw = Sizes
"""A distribution with mean 1; see `isocline.model.traffic.sizes`."""


@final
@dataclass(frozen=True, eq=False)
class RecordedService(Sizes):
    """Durations that were measured, drawn at random with replacement and scaled to mean 1."""

    type: ClassVar[str] = "recorded"
    durations: FloatArray  # (n,), any unit, > 0

    def __post_init__(self) -> None:
        durations = np.array(self.durations, dtype=np.float64)
        bad = np.flatnonzero(~(np.isfinite(durations) & (durations > 0)))
        if durations.ndim != 1 or not durations.size:
            raise UsageError("recorded service: there are no durations; give at least one")
        if bad.size:
            found = f"duration {bad[0]} is {durations[bad[0]]:g}"
            raise UsageError(f"recorded service: {found}; give finite numbers above 0")
        durations.setflags(write=False)
        object.__setattr__(self, "durations", durations)

    @property
    def cv(self) -> float:
        """Coefficient of variation."""
        return float(self.durations.std() / self.durations.mean())

    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:
        return rng.choice(self.durations / self.durations.mean(), count)


def read_durations(path: Path) -> FloatArray:
    """(n,) the numbers of a file, in its own unit, > 0; empty lines and # comments are skipped.

    Raises:
        TraceError: The file is bad; the message names file and line.
    """
    text = text_of(path, "duration")
    durations = []
    for row, line in enumerate(text.splitlines(), start=1):
        word = line.partition("#")[0].strip()
        if word:
            durations.append(_duration(path, row, word))
    if not durations:
        fail(path, 1, "has no duration; give at least one, a number a line")
    return np.array(durations)


def _duration(path: Path, row: int, word: str) -> float:
    try:
        duration = float(word)
    except ValueError:
        duration = math.nan
    if not 0 < duration < math.inf:
        fail(path, row, f"duration is {word!r:.60}; give a finite number above 0")
    return duration
