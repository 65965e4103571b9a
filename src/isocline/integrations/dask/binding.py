"""Ties a placement to its Dask scheduler: what becomes of tasks and workers in, transitions out."""

import asyncio
import math
from collections.abc import Hashable
from time import monotonic, perf_counter, time
from typing import Any, NamedTuple, final

from isocline.integrations.dask.holders import Holders
from isocline.integrations.dask.placement import Placement


@final
class Decided(NamedTuple):
    """Decision for a task: a worker as Dask's scheduler has it, or None to wait."""

    worker: Any


@final
class Binding:
    """Carries out a placement's decisions, and tells it what has happened.

    Ends of tasks are told as late as may be, after what follows from them has been placed.

    Attributes:
        left: Tasks that Dask has placed itself.
        handed_back: Tasks that are Dask's to place as no worker that holds their data was left.
        recalled: Tasks taken back from behind one that took too long.
        dask_seconds: Time that Dask's transitions have taken in here, s.
        starting: Workers of the tasks that Dask is told to start just now, by key.
    """

    def __init__(self, scheduler: Any, placement: Placement, holders: Holders) -> None:
        self.left = self.handed_back = self.recalled = 0
        self.dask_seconds = 0.0
        self.starting: dict[Hashable, str] = {}
        self._scheduler = scheduler
        self._placement = placement
        self._holders = holders
        self._ends: dict[Hashable, tuple[Any, bool]] = {}  # Dask's times, and whether it is done
        self._again: set[Hashable] = set()  # recalled tasks, which have waited already
        self._up: set[Any] = set()  # workers of the placement
        self._is_stale = True  # whether others may be up
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf

    # Tasks

    def decide(self, ts: Any) -> Decided | None:
        """Decide for a task; None: that is Dask's."""
        key, placement = ts.key, self._placement
        if key in self._ends:
            self._note_ends()
        self._see_workers()
        if key not in placement:
            holders = self._holders.of_files(ts) or self._holders.of_inputs(ts, placement.gap)
            if not holders:
                return None
            first = bool(ts.dependencies) or key in self._again
            self._again.discard(key)
            placement.submit(key, holders, ts.prefix.name, monotonic(), first=first)
        placement.take_start(key)
        worker = placement.worker_of(key)
        if placement.decided() or (worker is None and self._due == math.inf):
            self.later()
        return Decided(None if worker is None else self._scheduler.workers[worker])

    def placed(self, key: Hashable) -> None:
        """Note that a task is at a worker, by the placement or by Dask."""
        ts, placement = self._scheduler.tasks[key], self._placement
        worker = ts.processing_on
        if worker is None:
            return
        if placement.has_bound(key) and placement.worker_of(key) == worker.address:
            return
        if key in self._ends:
            self._note_ends()
        self.left += 1
        placement.ended(key, monotonic(), None, done=False)  # it was to go elsewhere
        placement.occupy(key, worker.address, monotonic())

    def ended(self, key: Hashable, startstops: Any, *, done: bool) -> None:
        """Note that a task is no longer at its worker, with the times that Dask has of it."""
        self._ends[key] = startstops, done

    def withdrawn(self, key: Hashable) -> None:
        """Note that a task may no longer wait."""
        if key in self._placement:
            self._placement.ended(key, monotonic(), None, done=False)
            self.later()

    def forget(self, key: Hashable) -> None:
        """Forget a task."""
        self._again.discard(key)

    def hold(self, names: set[str]) -> None:
        """Let tasks that wait for data at places with these new names go to workers there."""
        self._see_workers()
        now = monotonic()
        # In reverse, as each goes to the front.
        for ts in reversed(self._scheduler.unrunnable):
            if self._placement.waits(ts.key) and self._holders.are_among(ts, names):
                self._placement.hold(ts.key, self._holders.of_files(ts), now)
        self.later()

    def waiting(self) -> list[Any]:
        """Tasks that wait, as Dask's scheduler has them."""
        return [ts for ts in self._scheduler.unrunnable if ts.key in self._placement]

    def _note_ends(self) -> None:
        """Tell the placement which tasks have ended."""
        self._see_workers()
        now, ends, self._ends = monotonic(), self._ends, {}
        for key, (startstops, done) in ends.items():
            self._placement.ended(key, now, _seconds(startstops), done=done)

    # Workers

    def workers_changed(self) -> None:
        """Look anew which workers take tasks, before the next decision."""
        self._is_stale = True
        self._holders.workers_changed()

    def see_workers(self) -> None:
        """Look anew which workers take tasks."""
        self.workers_changed()
        self._see_workers()
        self.later()

    def _see_workers(self) -> None:
        """Compare the workers that take tasks with those of the placement, if they may differ."""
        running = self._scheduler.running
        if not self._is_stale and len(running) == len(self._up):
            return
        self._is_stale = False
        if running == self._up:
            return
        now = monotonic()
        for gone in self._up - running:
            self._placement.worker_lost(gone.address, now)
        for new in running - self._up:
            self._placement.worker_up(new.address, new.nthreads, now)
            for ts in new.processing:
                if ts not in new.long_running:
                    self._placement.occupy(ts.key, new.address, now)
        self._up = set(running)
        self._holders.workers_changed()
        self.later()

    # Acts

    def carry_out(self, stimulus_id: str) -> None:
        """Tell the placement what has happened, and do what it has decided."""
        if self._ends:
            self._note_ends()
        now = monotonic()
        if now >= self._due:
            self._placement.tick(now)
        while self._placement.decided():
            self._act(stimulus_id)
        if not now < self._due < math.inf:  # else it is soon enough to look again then
            self._set_timer(self._placement.next_deadline(now))

    def later(self) -> None:
        """Carry out decisions when the present event has been dealt with, unless that is done."""
        self._set_timer(0.0)

    def cancel(self) -> None:
        """Do nothing more at a time of its own."""
        if self._timer is not None:
            self._timer.cancel()

    def release(self) -> None:
        """Let Dask place what waits here."""
        waiting = sorted(self.waiting(), key=lambda ts: ts.priority, reverse=True)
        to = {ts.key: "released" for ts in waiting}  # it takes the last one first
        self._scheduler.transitions(to, _stimulus("uninstall"))

    def _act(self, stimulus_id: str) -> None:
        """Carry out the decisions, of which Dask then asks and tells nothing more."""
        self._see_workers()
        scheduler, decisions = self._scheduler, self._placement.take()
        to: dict[Hashable, str] = {}
        if decisions.recalls or decisions.dropped:
            self.recalled += len(decisions.recalls)
            self.handed_back += len(decisions.dropped)
            self._again.update(decisions.recalls)
            to = dict.fromkeys([*decisions.recalls, *decisions.dropped], "released")
        for key in reversed(decisions.starts):  # Dask takes the last one first
            ts = scheduler.tasks.get(key)
            if ts is not None and ts.state == "no-worker":
                to[key] = "processing"
        began = perf_counter()
        self.starting.update(decisions.starts)
        try:
            scheduler.transitions(to, stimulus_id)
        finally:
            self.starting.clear()
        self.dask_seconds += perf_counter() - began
        for key in decisions.starts:
            ts = scheduler.tasks.get(key)
            if ts is None or ts.state != "processing":
                self._placement.ended(key, monotonic(), None, done=False)

    def _set_timer(self, due: float) -> None:
        if due == self._due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due, self._timer = due, None
        if due < math.inf:
            delay = max(due - monotonic(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(delay, self._timed)

    def _timed(self) -> None:
        self._scheduler.stimulus_queue_slots_maybe_opened(stimulus_id=_stimulus("timer"))


def _seconds(startstops: Any) -> float | None:
    """Time for which a task kept its thread busy, s; None if it is not known."""
    if not startstops:
        return None
    seconds = 0.0
    for it in startstops:
        if it["action"] in {"compute", "transfer"}:
            seconds += it["stop"] - it["start"]
    return seconds


def _stimulus(what: str) -> str:
    return f"isocline-{what}-{time()}"
