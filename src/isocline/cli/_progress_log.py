"""Progress of a run as lines, for a stderr that is a file or a pipe.

A line is written with each tenth of the tasks, though not within 5 s of the last one, and else each
minute: a run of a second writes none, and one of a day a few for each hour.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from isocline.dispatch.coordinator.run_statistics import RunStatistics

_STEPS = 10  # lines of a run whose number of tasks is known, if it takes neither long nor short
_LEAST, _MOST = 5.0, 60.0  # s between two lines


@final
class ProgressLog:
    """Decides when to write a line, and what it says."""

    def __init__(
        self,
        total: int | None,
        write: Callable[[str, "RunStatistics"], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Initialise.

        Args:
            total: Number of tasks; None: unknown.
            write: Called with each line and the figures in it.
            clock: Time, s.
        """
        self._total = total
        self._write = write
        self._clock = clock
        self._last = clock()  # time of the last line, s
        self._step = 0

    def watch(self, found: "RunStatistics") -> None:
        """Write a line if one is due."""
        now = self._clock()
        step = _STEPS * found.ended // self._total if self._total else 0
        waited = now - self._last
        over = self._total is not None and found.ended >= self._total
        if over or waited < _LEAST or (step == self._step and waited < _MOST):
            return
        self._last, self._step = now, step
        self._write(self._line(found), found)

    def _line(self, found: "RunStatistics") -> str:
        from isocline.report.tables.dispatch import rate, shares

        parts = [f"{found.ended:,} tasks", rate(found), shares(found)]
        if self._total:
            share = 100 * found.ended // self._total
            parts[0] = f"{found.ended:,} of {self._total:,} tasks ({share} %)"
        if found.failed:
            parts.append(f"{found.failed:,} failed")
        if self._total and found.ended - found.resumed > 0:
            left = found.elapsed * (self._total - found.ended) / (found.ended - found.resumed)
            parts.append(f"about {_duration(left)} left")
        return ", ".join(part for part in parts if part)


def _duration(seconds: float) -> str:
    if seconds < 100.0:
        return f"{seconds:.0f} s"
    minutes = seconds / 60.0
    return f"{minutes:.0f} min" if minutes < 100.0 else f"{minutes / 60.0:.1f} h"
