"""Measured durations of tasks: a text file with one number a line."""

import math
from pathlib import Path

import numpy as np

from isocline.model.traffic.rows import fail, text_of
from isocline.model.traffic.trace import FloatArray


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
