"""Initial states: jobs at backends, by name or in order."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from isocline.arguments import NOT_NEGATIVE, kind_of, numbers, require
from isocline.errors import UsageError
from isocline.plural import counted

_GREATEST = 1e60  # as of rates in theory/routing/magnitudes.py: squares of it are numbers

FloatArray = npt.NDArray[np.float64]
Start = Mapping[str, float] | npt.ArrayLike | None


def jobs_at_start(backends: Sequence[str], start: Start) -> FloatArray:
    """(B,) jobs: by name with the others empty, (B,) numbers in order, or None for all empty.

    Raises:
        UsageError: A name is unknown, or a number is missing, not finite or below 0.
    """
    jobs = np.zeros(len(backends))
    if isinstance(start, Mapping):
        for name, value in start.items():
            if name not in backends:
                raise UsageError(f"start: no backend {name!r}; there are {', '.join(backends)}")
            require(f"start: {name}", value, kind_of(float), NOT_NEGATIVE)
            jobs[backends.index(name)] = value
    elif start is not None:
        jobs = numbers("start", start)
        if jobs.shape != (len(backends),):
            raise UsageError(
                f"start has shape {jobs.shape}; give a number of jobs for each of "
                f"{counted(len(backends), 'backend')}"
            )
    for name, value in zip(backends, jobs, strict=True):
        if not 0.0 <= value < np.inf:
            raise UsageError(f"start: {name}={value:g}; give a finite number of at least 0")
        if value > _GREATEST:
            raise UsageError(
                f"start: {name}={value:g} jobs is beyond what can be computed with; give at most "
                f"{_GREATEST:g}"
            )
    return jobs
