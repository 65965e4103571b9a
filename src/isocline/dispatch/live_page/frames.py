"""Frames of a run's live page: figures of one interval, from the snapshots at its ends.

Times are in s, rates in tasks/s; None is unknown. Columns are in the order of the layout; levels
are local, rack and remote.
"""

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

from isocline.dispatch.explain import help_given
from isocline.dispatch.live_page.changes import changes_before, changes_between
from isocline.dispatch.live_page.layout import RunLayout, layout_of
from isocline.dispatch.live_page.observer import NodeSnapshot, RunSnapshot
from isocline.dispatch.live_page.progress import time_left
from isocline.dispatch.telemetry.records import LEVELS, Outcome
from isocline.dispatch.telemetry.timeline import FAILED
from isocline.pages.live import Event, Frame, short

_RECENT = 60.0  # s over which rate and time left are estimated
_MOST_PAIRS = 400  # pairs of helper and beneficiary, those with the most tasks
_LEVEL = {level: number for number, level in enumerate(LEVELS)}


@final
@dataclass
class _Tally:
    """Counts of a node's ended attempts."""

    done: list[int] = field(default_factory=lambda: [0, 0, 0])  # finished tasks, by level
    failed: int = 0


@final
class FrameMaker:
    """Maker of frames from successive snapshots."""

    def __init__(self, run: str, policy: str, total: int | None) -> None:
        """Initialise; `total` is the total number of tasks, if known."""
        self._run = run
        self._policy = policy
        self._total = total
        self._before: RunSnapshot | None = None
        self._layout = RunLayout()
        self._version = self._number = 0
        self._tallies: dict[str, _Tally] = {}
        self._missed = 0
        self._intervals: deque[tuple[float, int]] = deque()

    def frame(
        self, snapshot: RunSnapshot, time: float, full: bool, explanation: Sequence[str]
    ) -> Frame | None:
        """Frame from the previous snapshot to this one; None for the first.

        Args:
            snapshot: State of the run.
            time: Time in s since 1970.
            full: Whether to make the full document, for viewers.
            explanation: Sentences for viewers.
        """
        before, self._before = self._before, snapshot
        self._count(snapshot)
        if before is None:
            return None
        seconds = max(snapshot.now - before.now, 1e-6)
        layout = layout_of(snapshot, self._run, self._policy)
        if layout != self._layout:
            self._layout, self._version = layout, self._version + 1
        self._number += 1
        ended = snapshot.statistics.ended - before.statistics.ended
        self._intervals.append((seconds, ended))
        while sum(length for length, _ in self._intervals) > _RECENT and len(self._intervals) > 1:
            self._intervals.popleft()
        failures = snapshot.statistics.failed - before.statistics.failed
        busy, broken = busy_shares(before, snapshot)
        head = {"number": self._number, "version": self._version, "time": round(time, 3)}
        kept = head | {
            "rate": short(ended / seconds),
            "failing": short(failures / seconds),
            "running": snapshot.statistics.running,
            "waiting": snapshot.statistics.waiting,
            "busy": busy,
            "broken": broken,
        }
        events = (*self._first_events(before), *changes_between(before, snapshot))
        whole = kept | self._whole(snapshot, explanation) if full else None
        return Frame(self._number, self._version, layout, kept, whole, events)

    def _first_events(self, before: RunSnapshot) -> list[Event]:
        if self._number > 1:
            return []
        began = Event("began", "", f"with {len(before.nodes)} nodes, by {self._policy}", "idle")
        return [began, *changes_before(before)]

    def _count(self, snapshot: RunSnapshot) -> None:
        """Add attempts that have ended to the tallies of their nodes."""
        self._missed += snapshot.missed
        for one in snapshot.attempts:
            if not one.node:
                continue
            tally = self._tallies.setdefault(one.node, _Tally())
            if one.outcome is Outcome.FINISHED:
                tally.done[_LEVEL[one.level]] += 1
            elif one.outcome in FAILED:
                tally.failed += 1

    def _whole(self, snapshot: RunSnapshot, explanation: Sequence[str]) -> dict[str, Any]:
        found = snapshot.statistics
        seconds, ended = (sum(column) for column in zip(*self._intervals, strict=True))
        left = None
        if self._total is not None and not snapshot.over:
            left = time_left(tuple(self._intervals), max(self._total - found.ended, 0))
        return {
            "state": _state(snapshot),
            "total": self._total,
            "elapsed": short(found.elapsed),
            "mean_rate": short(ended / seconds),
            "left": left and [short(it) for it in left],
            "finished": found.finished + found.resumed,
            "resumed": found.resumed,
            "failed": found.failed,
            "cancelled": found.cancelled,
            "levels": [found.levels[level] for level in LEVELS],
            "copies": found.copies,
            "copies_first": found.copies_first,
            "unplaceable": snapshot.unplaceable,
            "missed": self._missed,
            "nodes": [self._node(it, snapshot.now) for it in snapshot.nodes],
            "helped": self._helped(snapshot),
            "explanation": list(explanation),
        }

    def _node(self, node: NodeSnapshot, now: float) -> dict[str, Any]:
        tally = self._tallies.get(node.name, _Tally())
        return {
            "state": node.state,
            "reason": node.reason,
            "tasks": [
                [it.key, it.level, None if it.began == math.inf else short(now - it.began), it.copy]
                for it in node.tasks
            ],
            "waiting": node.waiting,
            "done": tally.done,
            "failed": tally.failed,
        }

    def _helped(self, snapshot: RunSnapshot) -> list[list[float | None]]:
        """(helper, beneficiary, tasks); a task with several holders counts in part at each."""
        number = {name: n for n, name in enumerate(self._layout.nodes)}
        return [
            [number[it.helper], number[it.beneficiary], short(it.tasks)]
            for it in help_given(snapshot.helped)[:_MOST_PAIRS]
            if it.helper in number and it.beneficiary in number
        ]


def busy_shares(before: RunSnapshot, after: RunSnapshot) -> tuple[list[list[float]], list[int]]:
    """Share of an interval in which each node ran tasks, by level, and its failed attempts."""
    number = {it.name: n for n, it in enumerate(after.nodes)}
    seconds = [[0.0, 0.0, 0.0] for _ in number]
    failed: Counter[int] = Counter()
    first, last = before.now, after.now
    for one in after.attempts:
        if one.node in number:
            began, ended = one.started + after.began, one.ended + after.began
            overlap = min(ended, last) - max(began, first)
            seconds[number[one.node]][_LEVEL[one.level]] += max(overlap, 0.0)
            failed[number[one.node]] += one.outcome in FAILED
    for n, node in enumerate(after.nodes):
        for task in node.tasks[:1]:
            seconds[n][task.level] += max(last - max(task.began, first), 0.0)
    length = max(last - first, 1e-6)
    shares = [[round(min(it / length, 1.0), 2) for it in levels] for levels in seconds]
    return shares, [failed[n] for n in range(len(shares))]


def _state(snapshot: RunSnapshot) -> str:
    """State of a run in one word."""
    if not snapshot.over:
        return "running"
    found = snapshot.statistics
    if found.cancelled or found.waiting or found.running:
        return "stopped"
    return "failed" if found.failed else "finished"
