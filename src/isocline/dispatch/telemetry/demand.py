"""Counts of tasks by holders and nodes, to explain a run, in bounded memory."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import final

from isocline.dispatch.telemetry.records import LEVELS

Holders = tuple[str, ...]  # names of nodes, sorted

_MOST = 1 << 14  # chunks that are counted one by one


@final
class Demand:
    """Counts of finished tasks; for one thread.

    Attributes:
        types: Tasks by the nodes that held their chunk; those without a chunk under ().
        helped: Tasks that ran elsewhere, by the node that ran them, those holders, and the level.
        tasks: Tasks by level.
        measured: Tasks whose time counts, by level.
        seconds: Time for which these kept their nodes busy, by level, s.
        cold: Tasks whose time does not count, as they were the first of a process or imported
            modules.
        cold_seconds: Time for which these kept their nodes busy, s.
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

    def finished(
        self,
        chunk: str | None,
        holders: Iterable[str],
        node: str,
        level: str,
        seconds: float | None,
    ) -> None:
        """Count a finished task, which kept a node busy for so many s.

        None stands for a time that says nothing of other tasks, as that of a process's first task.
        """
        # A node that has fetched a chunk may hold it by now; when it took the task it did not.
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
        """Add the time of a task that `finished` counted without one."""
        self.cold += 1
        self.cold_seconds += seconds

    def chunks_of(self, holders: Holders, most: int) -> Sequence[str]:
        """Return chunks with these holders, the most frequent first."""
        found = [(count, chunk) for (chunk, at), count in self._chunks.items() if at == holders]
        return [chunk for _, chunk in sorted(found, key=lambda pair: -pair[0])[:most]]

    def _count(self, chunk: tuple[str, Holders]) -> None:
        """Count as Misra and Gries (1982): chunks of more than 1/_MOST of all tasks are kept."""
        if len(self._chunks) >= _MOST and chunk not in self._chunks:
            self._chunks = Counter({known: n - 1 for known, n in self._chunks.items() if n > 1})
        else:
            self._chunks[chunk] += 1
