"""Plugin of a Dask scheduler that binds tasks late and near their data.

Public hooks tell of graphs, of what becomes of tasks, and of workers that come and go. No hook asks
where a task is to run, so these methods of the scheduler's are replaced while the plugin is there:

- `is_rootish`: no for a task whose place is known, or Dask would not ask where to put it;
- `decide_worker_non_rootish`: the policy's choice; a task for which it is better to wait gets none,
  and Dask keeps it in the state that it calls no-worker;
- `stimulus_queue_slots_maybe_opened`, which Dask calls whenever a thread may have become free and
  all that follows from it has been done: the policy chooses what is to run there;
- `handle_worker_status_change`, also as a handler: workers that pause, or go on, are looked at;
- `_check_unrunnable_task_timeouts`, by which a task would fail that waits for long;
- the handler of `long-running`: such a task frees its thread;
- `put_key_in_stealable` of the extension that steals: not tasks that the policy has bound.

Whatever fails here is logged, and Dask goes on as if the plugin had never been there.
"""

import asyncio
import functools
import logging
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any, TypeVar, final

import distributed
from distributed.diagnostics.plugin import SchedulerPlugin

from isocline.integrations.dask.binding import Binding, Decided
from isocline.integrations.dask.chunks import ChunkLocations, Locations
from isocline.integrations.dask.holders import Holders
from isocline.integrations.dask.host_names import HostNames
from isocline.integrations.dask.overrides import Overrides
from isocline.integrations.dask.placement import Placement
from isocline.integrations.dask.places import Places
from isocline.integrations.dask.statistics import Statistics
from isocline.integrations.dask.statistics_page import StatisticsPage
from isocline.integrations.dask.versions import require_tested
from isocline.model.cluster import Rates
from isocline.policies.scheduling.contract import SchedulingPolicy
from isocline.randomness.draws import stream

NAME = "isocline"
_LOG = logging.getLogger("isocline.dask")
T = TypeVar("T")


def _guarded(hook: Callable[..., T]) -> Callable[..., T | None]:
    """Hook that does nothing once the plugin is gone, and after an error leaves all to Dask.

    Its time is counted.
    """

    @functools.wraps(hook)
    def guarded(self: "NearDataPlugin", *args: Any, **more: Any) -> T | None:
        is_known = self._registered and self._scheduler.plugins.get(NAME) is self
        if not (is_known or self._is_there()):
            return None
        began = perf_counter()
        try:
            return hook(self, *args, **more)
        except Exception:
            _LOG.exception("isocline: left to Dask from here on, after an error")
            self.stop()
            return None
        finally:
            self._seconds += perf_counter() - began

    return guarded


@final
class NearDataPlugin(SchedulerPlugin):
    """Scheduler plugin; `install` sends it to the scheduler, where `start` puts it to work."""

    name = NAME

    def __init__(
        self, locations: Locations | None, policy: SchedulingPolicy, rates: Rates, seed: int
    ) -> None:
        self._given = (locations, policy, rates, seed)

    # Life

    async def start(self, scheduler: Any) -> None:
        """Begin to decide; compiles the policy in a thread, as that may take seconds.

        Dask registers the plugin as soon as this returns, and tells it of nothing before: so all
        that waits for others comes first.
        """
        require_tested(distributed.__version__, "the scheduler")
        locations, policy, rates, seed = self._given
        self._scheduler = scheduler
        self._locations = ChunkLocations(locations)
        self._places = Places()
        self._hosts = HostNames(scheduler, self._places, self._hosts_matter, self._named_anew)
        placement = await asyncio.to_thread(Placement, policy, rates, stream(seed))
        await self._hosts.ask_all()
        before = scheduler.plugins.get(NAME)
        if isinstance(before, NearDataPlugin):
            before.stop()
            scheduler.plugins.pop(NAME, None)
        self._policy = policy.name
        self._placement = placement
        self._holders = Holders(scheduler, self._locations, self._places)
        self._binding = Binding(scheduler, placement, self._holders)
        self._seconds = 0.0
        self._overrides = Overrides()
        self._registered = False
        self.is_on = True
        self._replace_methods()
        self._page = StatisticsPage(scheduler, NAME, self.statistics)
        self._hosts.joined([it for it in scheduler.workers if not self._places.workers([it])])
        self._binding.see_workers()

    def stop(self) -> None:
        """Give everything back to Dask; waiting tasks are its to place."""
        if not self.is_on:
            return
        self.is_on = False
        self._overrides.undo()
        self._cancel()
        self._page.remove()
        if self._scheduler.plugins.get(NAME) is self:
            del self._scheduler.plugins[NAME]
        # Dask may be in the middle of something.
        asyncio.get_running_loop().call_soon(self._binding.release)

    def _cancel(self) -> None:
        self._binding.cancel()
        self._hosts.cancel()

    async def close(self) -> None:
        """Stop with the scheduler."""
        self._cancel()

    def _is_there(self) -> bool:
        """Whether this is still a plugin of the scheduler; if not, everything is given back."""
        if not self.is_on:
            return False
        registered = self._scheduler.plugins.get(NAME)
        if registered is self:
            self._registered = True
        elif self._registered or registered is not None:
            self.stop()
        return self.is_on

    def statistics(self) -> Statistics:
        """Return the statistics."""
        placement, binding = self._placement, self._binding
        near, far = placement.seconds
        return Statistics(
            self._policy,
            placement.local,
            placement.remote,
            binding.left,
            placement.waiting,
            binding.handed_back,
            binding.recalled,
            self._holders.failed,
            near,
            far,
            placement.gap,
            self._seconds - binding.dask_seconds,
        )

    def workers_at(self, names: Iterable[str]) -> list[str]:
        """Return the addresses of the workers that places with these names stand for."""
        return self._places.workers(names)

    def _hosts_matter(self) -> bool:
        """Whether places may be named by hosts: at least one is not known by another name."""
        known = self._places.workers
        return self._locations.is_open or not all(known([name]) for name in self._locations.places)

    # Public hooks

    @_guarded
    def update_graph(self, scheduler: Any, *, tasks: list[Any], **_: Any) -> None:  # noqa: ARG002
        """Look up where new tasks read."""
        self._holders.look_up(tasks)

    def transition(
        self, key: Any, start: str, finish: str, *_: Any, startstops: Any = None, **__: Any
    ) -> None:
        """Note what becomes of a task; most steps of one are none of the placement's business."""
        if finish == "processing":
            if key not in self._binding.starting:
                self._placed(key)
        elif start == "processing":
            self._binding.ended(key, startstops, done=finish == "memory")
        elif finish == "forgotten":
            if key in self._placement:
                self._withdrawn(key)
            self._binding.forget(key)
            self._holders.forget(key)
        elif start in {"no-worker", "waiting"} and finish not in {"no-worker", "waiting"}:
            self._withdrawn(key)

    @_guarded
    def _placed(self, key: Any) -> None:
        self._binding.placed(key)

    @_guarded
    def _withdrawn(self, key: Any) -> None:
        self._binding.withdrawn(key)

    @_guarded
    def add_worker(self, scheduler: Any, worker: str) -> None:  # noqa: ARG002
        """Note a worker that has joined."""
        self._hosts.joined([worker])
        self._binding.see_workers()

    @_guarded
    def remove_worker(self, scheduler: Any, worker: str, **_: Any) -> None:  # noqa: ARG002
        """Note a worker that has left."""
        self._places.remove(worker)
        self._binding.see_workers()

    @_guarded
    def _named_anew(self, worker: str, names: set[str]) -> None:  # noqa: ARG002
        """Note new names of a worker."""
        self._binding.workers_changed()
        self._binding.hold(names)

    # Methods of the scheduler's

    def _replace_methods(self) -> None:
        scheduler, replaced = self._scheduler, self._overrides
        replaced.method(scheduler, "is_rootish", self._is_rootish)
        replaced.method(scheduler, "decide_worker_non_rootish", self._decide_worker)
        replaced.method(scheduler, "stimulus_queue_slots_maybe_opened", self._slots_opened)
        replaced.method(scheduler, "handle_worker_status_change", self._status_change)
        replaced.method(scheduler, "_check_unrunnable_task_timeouts", self._check_timeouts)
        handlers = scheduler.stream_handlers
        replaced.entry(handlers, "worker-status-change", self._status_change)
        replaced.entry(handlers, "long-running", self._long_running)
        if (stealing := scheduler.extensions.get("stealing")) is not None:
            replaced.method(stealing, "put_key_in_stealable", self._stealable)

    def _is_rootish(self, original: Callable[[Any], bool]) -> Callable[[Any], bool]:
        def is_rootish(ts: Any) -> bool:
            return not (ts.key in self._holders and self._is_near(ts)) and original(ts)

        return is_rootish

    @_guarded
    def _is_near(self, ts: Any) -> bool:
        """Whether workers hold what a task reads."""
        return bool(self._holders.of_files(ts))

    def _decide_worker(self, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        workers, starting = self._scheduler.workers, self._binding.starting

        def decide(ts: Any) -> Any:
            if (worker := starting.get(ts.key)) is not None:
                return workers.get(worker)
            decided = self._decide(ts)
            return decided.worker if decided else original(ts)

        return decide

    @_guarded
    def _decide(self, ts: Any) -> Decided | None:
        return self._binding.decide(ts)

    def _slots_opened(self, original: Callable[..., None]) -> Callable[..., None]:
        def opened(*, stimulus_id: str) -> None:
            self._carry_out(stimulus_id)
            original(stimulus_id=stimulus_id)

        return opened

    @_guarded
    def _carry_out(self, stimulus_id: str) -> None:
        self._binding.carry_out(stimulus_id)

    def _status_change(self, original: Callable[..., None]) -> Callable[..., None]:
        def change(*args: Any, **more: Any) -> None:
            self._binding.workers_changed()
            original(*args, **more)

        return change

    def _check_timeouts(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def check(timestamp: float, **more: Any) -> Any:
            unrunnable = self._scheduler.unrunnable
            if self._scheduler.running:
                for ts in self._binding.waiting():
                    del unrunnable[ts]  # to the end, which is the latest
                    unrunnable[ts] = timestamp
            return original(timestamp, **more)

        return check

    def _long_running(self, original: Callable[..., None]) -> Callable[..., None]:
        def long_running(key: Any, worker: str, **more: Any) -> None:
            ts = self._scheduler.tasks.get(key)
            if ts and ts.processing_on and ts.processing_on.address == worker:
                self._binding.ended(key, None, done=True)
            original(key=key, worker=worker, **more)

        return long_running

    def _stealable(self, original: Callable[[Any], None]) -> Callable[[Any], None]:
        """As Dask knows nothing of where the data of bound tasks is."""

        def put(ts: Any) -> None:
            if not self._placement.has_bound(ts.key):
                original(ts)

        return put
