"""Plugin of a Dask scheduler that binds tasks late and near their data.

Public hooks tell of graphs, of what becomes of tasks, and of workers that come and go. No hook asks
where a task is to run, so these methods of the scheduler's are replaced while the plugin is there:

- `is_rootish`: no for a task whose place is known, or Dask would not ask where to put it;
- `decide_worker_non_rootish`: the policy's choice; a task for which it is better to wait gets none,
  and Dask keeps it in the state that it calls no-worker;
- `stimulus_queue_slots_maybe_opened`, which Dask calls whenever a thread may have become free and
  all that follows from it has been done: the policy chooses what is to run there;
- `_check_unrunnable_task_timeouts`, by which a task would fail that waits for long;
- the handler of `long-running`: such a task frees its thread.

Whatever fails here is logged, and Dask goes on as if the plugin had never been there.
"""

import asyncio
import functools
import logging
import math
import socket
from collections.abc import Callable, Hashable, Iterable
from time import monotonic, perf_counter, time
from typing import Any, NamedTuple, TypeVar, final

import distributed
from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.http.routing import RoutingApplication
from distributed.http.utils import RequestHandler
from distributed.protocol.pickle import dumps
from distributed.protocol.serialize import Serialize, Serialized, deserialize

from isocline.errors import UsageError
from isocline.integrations.dask.chunks import ChunkLocations, Locations
from isocline.integrations.dask.overrides import Overrides
from isocline.integrations.dask.placement import Placement
from isocline.integrations.dask.places import Places
from isocline.integrations.dask.statistics import Statistics, page
from isocline.model.cluster import Rates
from isocline.policies.scheduling.contract import SchedulingPolicy
from isocline.randomness.draws import stream

NAME = "isocline"
TESTED = ("2026.8.",)
"""Versions of Dask, by their first parts, whose scheduler this is known to fit."""

# Dask's scheduler sends messages to workers every 5 ms, and workers to it every 2 ms: about as long
# as a thread stays idle between two tasks until that is measured.
_BATCHES = 7e-3
_PATIENCE = 5.0  # s that `install` waits for names of hosts
_LOG = logging.getLogger("isocline.dask")
T = TypeVar("T")


def require_tested(version: str, where: str) -> None:
    """Check the version of Dask.

    Raises:
        UsageError: It is not one that this was tested on.
    """
    if not version.startswith(TESTED):
        known = ", ".join(f"{each}x" for each in TESTED)
        raise UsageError(
            f"isocline.integrations.dask: {where} runs Dask {version}, and this was tested on "
            f"{known}: install one of these, or run without it"
        )


def _guarded(hook: Callable[..., T]) -> Callable[..., T | None]:
    """Hook that does nothing once the plugin is gone, and after an error leaves all to Dask.

    Its time is counted.
    """

    @functools.wraps(hook)
    def guarded(self: "NearDataPlugin", *args: Any, **more: Any) -> T | None:
        if not self._is_there():
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
        placement = await asyncio.to_thread(Placement, policy, rates, stream(seed))
        await self._know_hosts()
        before = scheduler.plugins.get(NAME)
        if isinstance(before, NearDataPlugin):
            before.stop()
            scheduler.plugins.pop(NAME, None)
        self._policy = policy.name
        self._placement = placement
        self._named: dict[Hashable, tuple[str, ...]] = {}  # places of the data of known tasks
        self._ends: dict[Hashable, tuple[float | None, bool]] = {}
        self._asked: tuple[Hashable, list[str]] = ("", [])  # the last task, and workers for it
        self._again: set[Hashable] = set()  # recalled tasks, which have waited already
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf
        self._left = self._handed_back = self._recalled = self._failed = 0
        self._seconds = 0.0
        self._asking: set[asyncio.Task[None]] = set()
        self._page: Any = None
        self._overrides = Overrides()
        self._up: set[Any] = set()  # workers of the core
        self._up_at: dict[tuple[str, ...], list[str]] = {}  # by names of places, until one changes
        self._registered = False
        self.is_on = True
        self._replace_methods()
        self._serve_page()
        self._know([each for each in scheduler.workers if not self._places.workers([each])])
        self._see_workers()

    def stop(self) -> None:
        """Give everything back to Dask; waiting tasks are its to place."""
        if not self.is_on:
            return
        self.is_on = False
        self._overrides.undo()
        self._cancel()
        applications = self._scheduler.http_application.applications
        if self._page in applications:
            applications.remove(self._page)
        if self._scheduler.plugins.get(NAME) is self:
            del self._scheduler.plugins[NAME]
        # Dask may be in the middle of something.
        asyncio.get_running_loop().call_soon(self._release)

    def _release(self) -> None:
        """Let Dask place what waits here."""
        waiting = [ts for ts in self._scheduler.unrunnable if ts.key in self._placement]
        waiting.sort(key=lambda ts: ts.priority, reverse=True)  # it takes the last one first
        self._scheduler.transitions({ts.key: "released" for ts in waiting}, _stimulus("uninstall"))

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for asking in self._asking:
            asking.cancel()

    async def close(self) -> None:
        """Stop with the scheduler."""
        self._cancel()

    def statistics(self) -> Statistics:
        """Return the statistics."""
        placement = self._placement
        near, far = placement.seconds
        return Statistics(
            self._policy,
            placement.local,
            placement.remote,
            self._left,
            placement.waiting,
            self._handed_back,
            self._recalled,
            self._failed,
            near,
            far,
            placement.gap,
            self._seconds,
        )

    def workers_at(self, names: Iterable[str]) -> list[str]:
        """Return the addresses of the workers that places with these names stand for."""
        return self._places.workers(names)

    # Public hooks

    @_guarded
    def update_graph(self, scheduler: Any, *, tasks: list[Any], **_: Any) -> None:
        """Look up where new tasks read."""
        states = scheduler.tasks
        specs = {
            key: ts.run_spec
            for key in tasks
            if (ts := states[key]).run_spec is not None
            and not ts.dependencies
            and key not in self._named
            and _is_free(ts)
        }
        if not specs:
            return
        try:
            self._named.update(self._locations.find(specs))
        except Exception:
            self._failed += 1
            _LOG.warning("isocline: locations could not be looked up", exc_info=True)

    def transition(
        self, key: Any, start: str, finish: str, *_: Any, startstops: Any = None, **__: Any
    ) -> None:
        """Note what becomes of a task; one that only waits is none of the core's business."""
        if finish not in {"no-worker", "waiting"} or start == "processing":
            self._note(key, start, finish, startstops)

    @_guarded
    def _note(self, key: Any, start: str, finish: str, startstops: Any) -> None:
        if finish == "processing":
            self._placed(key)
        elif start == "processing":
            self._ends[key] = _seconds(startstops), finish == "memory"
        elif key in self._placement:
            self._placement.ended(key, monotonic(), None, done=False)
            self._later()
        if finish == "forgotten":
            self._named.pop(key, None)
            self._again.discard(key)

    @_guarded
    def add_worker(self, scheduler: Any, worker: str) -> None:  # noqa: ARG002
        """Note a worker that has joined."""
        self._know([worker])
        self._see_workers()

    @_guarded
    def remove_worker(self, scheduler: Any, worker: str, **_: Any) -> None:  # noqa: ARG002
        """Note a worker that has left."""
        self._places.remove(worker)
        self._up_at.clear()
        self._see_workers()
        self._later()

    # Methods of the scheduler's

    def _replace_methods(self) -> None:
        scheduler, replaced = self._scheduler, self._overrides
        replaced.method(scheduler, "is_rootish", self._is_rootish)
        replaced.method(scheduler, "decide_worker_non_rootish", self._decide_worker)
        replaced.method(scheduler, "stimulus_queue_slots_maybe_opened", self._slots_opened)
        replaced.method(scheduler, "_check_unrunnable_task_timeouts", self._check_timeouts)
        replaced.entry(scheduler.stream_handlers, "long-running", self._long_running)

    def _is_rootish(self, original: Callable[[Any], bool]) -> Callable[[Any], bool]:
        def is_rootish(ts: Any) -> bool:
            return not (ts.key in self._named and self._ask_for(ts)) and original(ts)

        return is_rootish

    def _decide_worker(self, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def decide(ts: Any) -> Any:
            decided = self._decide(ts)
            return decided.worker if decided else original(ts)

        return decide

    def _slots_opened(self, original: Callable[..., None]) -> Callable[..., None]:
        def opened(*, stimulus_id: str) -> None:
            self._carry_out(stimulus_id)
            original(stimulus_id=stimulus_id)

        return opened

    def _check_timeouts(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def check(timestamp: float, **more: Any) -> Any:
            unrunnable = self._scheduler.unrunnable
            if self._scheduler.running:
                for ts in [ts for ts in unrunnable if ts.key in self._placement]:
                    del unrunnable[ts]  # to the end, which is the latest
                    unrunnable[ts] = timestamp
            return original(timestamp, **more)

        return check

    def _long_running(self, original: Callable[..., None]) -> Callable[..., None]:
        def long_running(key: Any, worker: str, **more: Any) -> None:
            ts = self._scheduler.tasks.get(key)
            if ts and ts.processing_on and ts.processing_on.address == worker:
                self._ends[key] = None, True
            original(key=key, worker=worker, **more)

        return long_running

    # Decisions

    @_guarded
    def _ask_for(self, ts: Any) -> bool:
        """Whether there are workers that hold what a task reads; its decision is asked for next."""
        self._asked = ts.key, self._holders(ts)
        return bool(self._asked[1])

    @_guarded
    def _decide(self, ts: Any) -> "_Decided | None":
        """Decide for a task, unless that is Dask's."""
        key, placement = ts.key, self._placement
        if key in self._ends:
            self._note_ends()
        self._see_workers()
        if key not in placement:
            asked, holders = self._asked
            self._asked = "", []
            if asked != key or not holders:
                holders = self._holders(ts) or self._holders_of_inputs(ts)
            if not holders:
                return None
            first = bool(ts.dependencies) or key in self._again
            self._again.discard(key)
            placement.submit(key, holders, ts.prefix.name, monotonic(), first=first)
        placement.take_start(key)
        worker = placement.worker_of(key)
        if placement.decided() or (worker is None and self._due == math.inf):
            self._later()
        return _Decided(None if worker is None else self._scheduler.workers[worker])

    def _holders(self, ts: Any) -> list[str]:
        """Workers that hold what a task reads, if they are up and it may run there."""
        names = self._named.get(ts.key)
        if names is None or not _is_free(ts):
            return []
        self._see_workers()
        found = self._up_at.get(names)
        if found is None:
            workers, up = self._scheduler.workers, self._up
            there = self._places.workers(names)
            found = self._up_at[names] = [each for each in there if workers.get(each) in up]
        return found

    def _holders_of_inputs(self, ts: Any) -> list[str]:
        """Workers that hold a task's inputs, if it is worth waiting for them.

        It is not where fetching all inputs takes no longer than a thread would be idle meanwhile.
        A worker counts as a holder that needs no more than that beyond the one that lacks least.
        """
        if not ts.dependencies or not _is_free(ts):
            return []
        idle = max(self._placement.gap, _BATCHES) * self._scheduler.bandwidth  # bytes
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

    def _placed(self, key: Any) -> None:
        """Note that a task is at a worker, by us or by Dask."""
        ts = self._scheduler.tasks[key]
        worker = ts.processing_on
        if worker is None:
            return
        if key in self._placement and self._placement.worker_of(key) == worker.address:
            self._keep(ts)
            return
        if key in self._ends:
            self._note_ends()
        self._left += 1
        self._placement.ended(key, monotonic(), None, done=False)  # it was to go elsewhere
        self._placement.occupy(key, worker.address, monotonic())

    def _keep(self, ts: Any) -> None:
        """Keep a task from being stolen, as Dask knows nothing of where its data is."""
        stealing = self._scheduler.extensions.get("stealing")
        if stealing is not None:
            stealing.remove_key_from_stealable(ts)
            stealing.unknown_durations.get(ts.prefix.name, set()).discard(ts)

    def _note_ends(self) -> None:
        """Tell the core which tasks have ended; as late as may be, after what follows from them."""
        self._see_workers()
        now, ends, self._ends = monotonic(), self._ends, {}
        for key, (seconds, done) in ends.items():
            self._placement.ended(key, now, seconds, done=done)

    def _see_workers(self) -> None:
        """Compare the workers that take tasks with those of the core."""
        running = self._scheduler.running
        if len(running) == len(self._up) and running == self._up:
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
        self._up_at.clear()
        self._later()

    async def _know_hosts(self) -> None:
        """Note the names of workers, and of their hosts if these may be places."""
        scheduler = self._scheduler
        for ws in scheduler.workers.values():
            self._places.add(ws.address, {str(ws.name), ws.host})
        if not (scheduler.workers and self._hosts_matter()):
            return

        async def know(worker: str) -> None:
            host = await self._host_of(worker)
            if host is not None and worker in scheduler.workers:
                self._places.add(worker, {host})

        asking = [asyncio.ensure_future(know(worker)) for worker in scheduler.workers]
        _, late = await asyncio.wait(asking, timeout=_PATIENCE)
        for task in late:
            task.cancel()

    def _know(self, workers: Iterable[str]) -> None:
        """Note the names of workers that have joined; a host's name follows."""
        for worker in workers:
            ws = self._scheduler.workers[worker]
            self._named_anew(worker, {str(ws.name), ws.host})
        if self._hosts_matter():
            for worker in workers:
                asking = asyncio.ensure_future(self._ask(worker))
                self._asking.add(asking)
                asking.add_done_callback(self._asking.discard)

    def _hosts_matter(self) -> bool:
        """Whether places may be named by hosts: at least one is not known by another name."""
        known = self._places.workers
        return self._locations.is_open or not all(known([name]) for name in self._locations.places)

    async def _ask(self, worker: str) -> None:
        host = await self._host_of(worker)
        if host is not None and worker in self._scheduler.workers:
            self._named_anew(worker, {host})

    async def _host_of(self, worker: str) -> str | None:
        """Ask a worker for its host's name."""
        try:
            answers = await self._scheduler.broadcast(
                msg={"op": "run", "function": dumps(socket.gethostname)}, workers=[worker]
            )
            return str(_content(answers[worker]["result"]))
        except Exception:
            _LOG.info("isocline: %s does not tell its host's name", worker, exc_info=True)
            return None

    @_guarded
    def _named_anew(self, worker: str, names: set[str]) -> None:
        """Add names of a worker; tasks that wait for data at one of these may go there."""
        new = self._places.add(worker, names)
        if not new:
            return
        self._up_at.clear()
        self._see_workers()
        now = monotonic()
        # In reverse, as each goes to the front.
        for ts in reversed(self._scheduler.unrunnable):
            at = self._named.get(ts.key, ())
            if self._placement.waits(ts.key) and any(name.lower() in new for name in at):
                self._placement.hold(ts.key, self._holders(ts), now)
        self._later()

    # Acts

    def _later(self) -> None:
        """Carry out decisions when the present event has been dealt with, unless that is done."""
        self._set_timer(0.0)

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
        if self._is_there():
            self._scheduler.stimulus_queue_slots_maybe_opened(stimulus_id=_stimulus("timer"))

    @_guarded
    def _carry_out(self, stimulus_id: str) -> None:
        """Tell the core what has happened, and do what it has decided."""
        self._note_ends()
        now = monotonic()
        if now >= self._due:
            self._placement.tick(now)
        while self._placement.decided():
            self._act(stimulus_id)
        if not now < self._due < math.inf:  # else it is soon enough to look again then
            self._set_timer(self._placement.next_deadline(now))

    def _act(self, stimulus_id: str) -> None:
        """Carry out the decisions."""
        scheduler, decisions = self._scheduler, self._placement.take()
        self._recalled += len(decisions.recalls)
        self._handed_back += len(decisions.dropped)
        self._again.update(decisions.recalls)
        to = dict.fromkeys([*decisions.recalls, *decisions.dropped], "released")
        for key in reversed(decisions.starts):  # Dask takes the last one first
            ts = scheduler.tasks.get(key)
            if ts is not None and ts.state == "no-worker":
                to[key] = "processing"
        began = perf_counter()
        scheduler.transitions(to, stimulus_id)
        self._seconds -= perf_counter() - began  # that is Dask's, and of hooks that count their own
        for key in decisions.starts:
            ts = scheduler.tasks.get(key)
            if ts is None or ts.state != "processing":
                self._placement.ended(key, monotonic(), None, done=False)

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

    # Page

    def _serve_page(self) -> None:
        shown: dict[str, Callable[[], Any]] = {
            "": lambda: page(self.statistics()),
            r"\.json": lambda: self.statistics().to_dict(),
        }
        routes = [
            (rf"(?:/.*)?/{NAME}{ending}", _Page, {"content": content})
            for ending, content in shown.items()
        ]
        self._page = RoutingApplication(routes)
        self._scheduler.http_application.add_application(self._page)


@final
class _Page(RequestHandler):
    """Page of the scheduler's HTTP server; a mapping is sent as JSON."""

    def initialize(self, content: Callable[[], Any]) -> None:
        self._content = content

    def get(self) -> None:
        self.write(self._content())


@final
class _Decided(NamedTuple):
    """Decision for a task: a worker as Dask's scheduler has it, or None to wait."""

    worker: Any


def _seconds(startstops: Any) -> float | None:
    """Time for which a task kept its thread busy, s; None if it is not known."""
    if not startstops:
        return None
    busy = (it for it in startstops if it["action"] in {"compute", "transfer"})
    return float(sum(it["stop"] - it["start"] for it in busy))


def _is_free(ts: Any) -> bool:
    """Whether the user has left to Dask where, and in which order, a task runs."""
    return not (
        ts.worker_restrictions
        or ts.host_restrictions
        or ts.resource_restrictions
        or ts.actor
        or (ts.priority and ts.priority[0])
    )


def _content(answer: Any) -> Any:
    """Content of a worker's answer, which the scheduler does not unpack by itself."""
    if isinstance(answer, Serialized):
        return deserialize(answer.header, answer.frames)
    return answer.data if isinstance(answer, Serialize) else answer


def _stimulus(what: str) -> str:
    return f"isocline-{what}-{time()}"
