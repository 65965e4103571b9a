"""Workers that hold the data of a Dask scheduler's tasks: their files, or their inputs."""

import logging
from collections.abc import Hashable, Iterable
from typing import Any, final

from isocline.integrations.dask.chunks import ChunkLocations
from isocline.integrations.dask.places import Places

# Dask's scheduler sends messages to workers every 5 ms, and workers to it every 2 ms: about as long
# as a thread stays idle between two tasks until that is measured.
_BATCHES = 7e-3
_LOG = logging.getLogger("isocline.dask")


@final
class Holders:
    """Workers near the data of each task, if it is left to Dask where the task runs.

    Attributes:
        failed: Look-ups of locations that failed.
    """

    def __init__(self, scheduler: Any, locations: ChunkLocations, places: Places) -> None:
        self.failed = 0
        self._scheduler = scheduler
        self._locations = locations
        self._places = places
        self._named: dict[Hashable, tuple[str, ...]] = {}  # places of the files of known tasks
        self._at: dict[tuple[str, ...], list[str]] = {}  # workers up at places, until one changes

    def __contains__(self, key: Hashable) -> bool:
        """Whether it is known where the files of a task are."""
        return key in self._named

    def look_up(self, keys: Iterable[Hashable]) -> None:
        """Look up where tasks without inputs read."""
        states, named = self._scheduler.tasks, self._named
        specs = {
            key: ts.run_spec
            for key in keys
            if not (ts := states[key]).dependencies
            and ts.run_spec is not None
            and key not in named
            and _is_free(ts)
        }
        if not specs:
            return
        try:
            named.update(self._locations.find(specs))
        except Exception:
            self.failed += 1
            _LOG.warning("isocline: locations could not be looked up", exc_info=True)

    def forget(self, key: Hashable) -> None:
        """Forget a task."""
        self._named.pop(key, None)

    def workers_changed(self) -> None:
        """Look anew which workers are up, and under which names."""
        self._at.clear()

    def of_files(self, ts: Any) -> list[str]:
        """Workers that are up and hold a task's files; none if it is not known where they are."""
        names = self._named.get(ts.key)
        if names is None or not _is_free(ts):
            return []
        found = self._at.get(names)
        if found is None:
            workers, up = self._scheduler.workers, self._scheduler.running
            there = self._places.workers(names)
            found = self._at[names] = [each for each in there if workers.get(each) in up]
        return found

    def are_among(self, ts: Any, names: set[str]) -> bool:
        """Whether a task's files are at any of these places, by their names in lower case."""
        return any(name.lower() in names for name in self._named.get(ts.key, ()))

    def of_inputs(self, ts: Any, gap: float) -> list[str]:
        """Workers that hold a task's inputs, if it is worth waiting for them.

        It is not where fetching all inputs takes no longer than a thread would be idle meanwhile:
        `gap`, s, but at least the time of two messages. A worker counts as a holder that needs no
        more than that beyond the one that lacks least.
        """
        if not ts.dependencies or not _is_free(ts):
            return []
        idle = max(gap, _BATCHES) * self._scheduler.bandwidth  # bytes
        total = 0
        held: dict[Any, int] = {}
        for dependency in ts.dependencies:
            size = dependency.get_nbytes()
            total += size
            for worker in dependency.who_has or ():
                held[worker] = held.get(worker, 0) + size
        if total <= idle or not held:
            return []
        least = max(held.values()) - idle
        up = self._scheduler.running
        return [worker.address for worker, size in held.items() if size >= least and worker in up]


def _is_free(ts: Any) -> bool:
    """Whether the user has left to Dask where, and in which order, a task runs."""
    return not (
        ts.worker_restrictions
        or ts.host_restrictions
        or ts.resource_restrictions
        or ts.actor
        or (ts.priority and ts.priority[0])
    )
