"""Counts of what a run asked of which nodes, to explain it, in bounded memory."""

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
        tasks: By level.
        measured: Those of them whose time counts, by level.
        seconds: That these kept their nodes busy, by level.
        cold: Those whose time does not count, as they were the first of a process or imported
            modules.
        cold_seconds: That these kept their nodes busy.
        lost_seconds: That attempts without a result did.
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
        """A task ended well at a node, which it kept busy for so many s.

        None: longer than its like, as a process's first task does, which says nothing of others.
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
        """Such a task, of which `finished` was told without a time, took so long."""
        self.cold += 1
        self.cold_seconds += seconds

    def chunks_of(self, holders: Holders, most: int) -> Sequence[str]:
        """Chunks with these holders, those that were asked for most often first."""
        found = [(count, chunk) for (chunk, at), count in self._chunks.items() if at == holders]
        return [chunk for _, chunk in sorted(found, key=lambda pair: -pair[0])[:most]]

    def _count(self, chunk: tuple[str, Holders]) -> None:
        """As Misra and Gries (1982): what has more than 1/_MOST of all tasks is always there."""
        if len(self._chunks) >= _MOST and chunk not in self._chunks:
            self._chunks = Counter({known: n - 1 for known, n in self._chunks.items() if n > 1})
        else:
            self._chunks[chunk] += 1
