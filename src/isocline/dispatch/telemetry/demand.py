"""Counts of tasks by holders and nodes, in bounded memory, to explain a run."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from copy import copy
from typing import Self, final

from isocline.dispatch.telemetry.records import LEVELS

Holders = tuple[str, ...]  # names of nodes, sorted

_MOST = 1 << 14  # chunks counted individually


@final
class Demand:
    """Counts of finished tasks; not safe for several threads.

    Attributes:
        types: Tasks by the nodes that held their chunk; () for tasks without a chunk.
        helped: Tasks that did not run locally, by node, holders and level.
        tasks: Tasks by level.
        measured: Tasks whose time counts, by level.
        seconds: Time for which these kept nodes busy, by level, s.
        cold: Tasks whose time does not count, because they were the first of a process or imported
            modules.
        cold_seconds: Time for which these kept nodes busy, s.
        lost_seconds: The same for attempts without a result, s.
    """

    def __init__(self) -> None:
        self.types: Counter[Holders] = Counter()
        self.helped: Counter[tuple[str, Holders, str]] = Counter()
        self.tasks: Counter[str] = Counter()
        self.measured: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.cold = 0
        self.cold_seconds = 0.0
        self.lost_seconds = 0.0
        self._chunks: Counter[tuple[str, Holders]] = Counter()

    def means(self) -> dict[str, float]:
        """Mean time for which a task kept a node busy, s, by level; only where it was measured."""
        return {level: self.seconds[level] / count for level, count in self.measured.items()}

    def copy(self) -> Self:
        """Copy all counts, for another thread."""
        other = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, dict):
                setattr(other, name, value.copy())
        return other

    def finished(
        self,
        chunk: str | None,
        holders: Iterable[str],
        node: str,
        level: str,
        seconds: float | None,
    ) -> None:
        """Count a finished task that kept a node busy for `seconds` s.

        None stands for a time that is not representative, such as that of a process's first task.
        """
        # By level, as a node that fetched the chunk for this task may now be among the holders.
        away = level != LEVELS[0]
        at = tuple(sorted(holder for holder in holders if not (away and holder == node)))
        self.types[at] += 1
        self.tasks[level] += 1
        if seconds is not None:
            self.measured[level] += 1
            self.seconds[level] += seconds
        if at and away:
            self.helped[node, at, level] += 1
        if at and chunk is not None:
            self._count((chunk, at))

    def finished_cold(self, seconds: float) -> None:
        """Add the time of a task that was counted by `finished` without one."""
        self.cold += 1
        self.cold_seconds += seconds

    def chunks_of(self, holders: Holders, most: int) -> Sequence[str]:
        """Return chunks with these holders, the most frequent first."""
        found = [(count, chunk) for (chunk, at), count in self._chunks.items() if at == holders]
        return [chunk for _, chunk in sorted(found, key=lambda pair: -pair[0])[:most]]

    def _count(self, chunk: tuple[str, Holders]) -> None:
        """Count by Misra and Gries (1982): chunks of more than 1/_MOST of all tasks are kept."""
        if len(self._chunks) >= _MOST and chunk not in self._chunks:
            self._chunks = Counter({known: n - 1 for known, n in self._chunks.items() if n > 1})
        else:
            self._chunks[chunk] += 1
