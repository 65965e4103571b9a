"""Worker: a proxy with its core, learner, monitor and recorder; reload and stop."""

import asyncio
import gc
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from time import monotonic, time
from typing import final

from isocline.compilation.compiler_pages import release_compiler
from isocline.errors import IsoclineError
from isocline.gateway.access_log import AccessLog, Observer
from isocline.gateway.cache_events import CacheEventReader
from isocline.gateway.core.core import Core
from isocline.gateway.core.key_limits import Buckets
from isocline.gateway.health_checks import Monitor
from isocline.gateway.health_checks.probe import Client
from isocline.gateway.load_reports import ReportError, jobs_in_header
from isocline.gateway.metrics import Recorder, Snapshot, merged
from isocline.gateway.models import ModelDirectory, ModelLoader
from isocline.gateway.proxy import Proxy
from isocline.gateway.proxy.core_bridge import CoreBridge
from isocline.gateway.serve.config import Serving
from isocline.gateway.serve.controls import Controls, apply
from isocline.gateway.serve.data_plane import Plane
from isocline.gateway.serve.health_events import CoreHealthEvents
from isocline.gateway.serve.learned_curves import LearnedCurves
from isocline.gateway.serve.learning import learned_by, learner_of, measure_for, remembering
from isocline.gateway.serve.log import LOG
from isocline.gateway.serve.log_file import LogFile
from isocline.gateway.serve.process_telemetry import observer_of, telemetry_of
from isocline.gateway.serve.worker_core import make_core, warm
from isocline.gateway.shared_counts import SharedCounts

# s between two exchanges of counts with other processes: 0.125 % of a CPU core; counts are then at
# most 5 requests old at 1000 requests/s.
_COUNTS_PERIOD = 0.005
# s, bounds on the time for the last telemetry, which is the rest of that for requests.
_LAST, _FLUSH = 0.5, 5.0


@final
@dataclass(frozen=True)
class _Version:
    """Objects made from one version of the settings."""

    serving: Serving
    core: Core
    health_events: CoreHealthEvents
    monitor: Monitor
    cache_events: CacheEventReader
    models: ModelDirectory | None
    loader: ModelLoader | None

    async def close(self) -> None:
        """Stop health checks, polls, readers of cache events, and requests for models."""
        await self.monitor.close()
        await self.cache_events.close()
        if self.loader is not None:
            await self.loader.close()
        if self.models is not None:
            await self.models.close()


@final
class Worker:
    """Worker that serves on the event loop on which it is started.

    Its data plane is the router's own, or another with the same calls.
    """

    def __init__(
        self,
        serving: Serving,
        known: LearnedCurves | None = None,
        counts: SharedCounts | None = None,
        buckets: Buckets | None = None,
        clock: Callable[[], float] = monotonic,
        unix_time: Callable[[], float] = time,
        plane: Plane = Proxy,
    ) -> None:
        """Initialise; raises an IsoclineError if settings cannot be used.

        Args:
            serving: Settings.
            known: Curves learned so far.
            counts: Shared counts, if there are several processes.
            buckets: Shared buckets of the key limits, if there are several processes.
            clock: Monotonic clock, s.
            unix_time: Seconds since 1970.
            plane: Makes the data plane.
        """
        self._clock, self._unix_time = clock, unix_time
        warm(serving)
        self._log_file = None if serving.access_log is None else LogFile(serving.access_log)
        self._announces = counts is None or counts.worker == 0
        self._known = known  # curves of present and removed backends
        self._version = _version(serving, known, None, self._announces, clock)
        self._telemetry = telemetry_of(serving, counts and counts.worker, clock, unix_time)
        self._recorder = Recorder(serving.system, serving.proxy, serving.policy)
        core, observers = self._version.core, self._observers(serving, self._recorder.observer)
        self._proxy = plane(
            core,
            serving.proxy,
            observers,
            read_load,
            clock,
            unix_time,
            directory=self._version.models,
            buckets=buckets,
        )
        self._join()
        self._counts = counts
        self._reloading = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def addresses(self) -> list[tuple[str, str, int]]:
        """(listener, host, port) of each listener, once started."""
        return self._proxy.addresses

    @property
    def in_flight(self) -> int:
        """Number of requests in flight."""
        return self._proxy.in_flight

    async def start(self, reuse_port: bool = False) -> None:
        """Start serving; raises UsageError if the address of a listener is not available."""
        await self._proxy.start(reuse_port)
        await self._version.monitor.start()
        await self._version.cache_events.start()
        if self._version.models is not None:
            await self._version.models.start()
        if self._version.loader is not None:
            await self._version.loader.start()
        self._share_counts()
        if self._telemetry is not None:
            self._telemetry.start()
        # Objects made so far stay alive: full collections need not visit them.
        gc.collect()
        gc.freeze()
        release_compiler()

    async def reload(self, serving: Serving, forgotten: Collection[str] = ()) -> None:
        """Apply new settings; requests in flight finish under the previous ones.

        Learned curves of the backends named in `forgotten` are discarded.

        Raises:
            IsoclineError: The settings cannot be used; nothing has changed.
        """
        async with self._reloading:
            await asyncio.to_thread(warm, serving)
            await self._reload(serving, forgotten)
            release_compiler()

    async def control(self, controls: Controls) -> None:
        """Apply controls of backends.

        Raises:
            IsoclineError: The policy cannot use a weight.
        """
        async with self._reloading:
            version, now = self._version, self._clock()
            names = [backend.name for backend in version.serving.system.backends]
            self._proxy.bridge.act(apply(controls, version.core, names, now))
            for backend, name in enumerate(names):
                version.health_events.draining(backend, controls.of(name).draining)
            self._version = replace(version, serving=replace(version.serving, controls=controls))

    def snapshot(self) -> Snapshot:
        """Return the worker's snapshot."""
        snapshot = self._recorder.snapshot(self._version.core, self._clock(), self._proxy)
        if self._telemetry is None:
            return snapshot
        return merged([Snapshot(spans=dict(self._telemetry.spans)), snapshot])

    def learned(self) -> LearnedCurves | None:
        """Return the learned curves, of removed backends too; None if curves are not learned."""
        feedback = self._version.core.feedback
        if feedback is None:
            return None
        self._known = remembering(learned_by(self._version.serving, feedback), self._known)
        return self._known

    async def stop(self, grace: float) -> None:
        """Drain: requests in flight have `grace` s to finish."""
        end = self._clock() + grace
        await self._proxy.stop(grace)
        if self._telemetry is not None:
            await self._telemetry.close(min(max(end - self._clock(), _LAST), _FLUSH))
        if self._timer is not None:
            self._timer.cancel()
        await self._version.close()
        if self._log_file is not None:
            self._log_file.close()

    async def _reload(self, serving: Serving, forgotten: Collection[str]) -> None:
        before, known = self._version, self.learned() or self._known
        if known is not None and forgotten:
            known = self._known = known.without(forgotten)
        # In a thread, as fitting the curves of 1000 backends takes 0.4 s.
        after = await asyncio.to_thread(
            _version, serving, known, before, self._announces, self._clock
        )
        if self._log_file is not None:
            self._log_file.reopen()
        await after.monitor.start()  # reports to the new core which backends are down
        if after.models is not None:
            await after.models.start()
        same = _same_backends(serving, before.serving)
        _take_over(after, before, same, self._clock())
        await after.cache_events.start()
        if after.core.residency is not None and before.core.residency is not None:
            after.core.residency.take_over(before.core.residency, same)
        bridge_before = self._proxy.bridge
        try:
            observer = self._recorder.observer_of(serving.system, serving.proxy)
            observers = self._observers(serving, observer)
            self._proxy.replace(after.core, serving.proxy, observers, after.models)
        except IsoclineError:
            await after.close()
            raise
        self._recorder.reloaded(before.core, self._clock(), observer, serving.policy)
        self._version = after
        if isinstance(bridge_before, CoreBridge):
            bridge_before.make_calls = None  # the memories are those of the present core, too
        self._join()
        if after.loader is not None:
            await after.loader.start()
        self._share_counts()
        if after.core.residency is None:
            bridge_before.act(before.core.models_unmanaged(self._clock()))
        elif before.core.residency is not None:
            for backend in set(range(len(before.serving.system.backends))) - set(same.values()):
                bridge_before.act(before.core.models_lost(backend, self._clock()))
        await before.close()

    def _join(self) -> None:
        """Let the present version reach its bridge, and the bridge its loader."""
        version, bridge = self._version, self._proxy.bridge
        version.health_events.bridge = bridge
        if version.loader is not None and isinstance(bridge, CoreBridge):
            bridge.make_calls = version.loader.carry_out

    def _share_counts(self) -> None:
        """Start exchanging jobs in flight with other processes, for the present core."""
        if self._counts is not None:
            urls = [address.url for address in self._version.serving.proxy.backends]
            self._counts.join(self._version.core, urls)
            if self._timer is None:
                self._exchange_counts()

    def _exchange_counts(self) -> None:
        assert self._counts is not None
        self._proxy.bridge.act(self._counts.step(self._version.core, self._clock()))
        self._timer = asyncio.get_running_loop().call_later(_COUNTS_PERIOD, self._exchange_counts)

    def _observers(self, serving: Serving, counts: Observer) -> list[Observer]:
        """Return `counts` with the access log, if any, and telemetry, if any, for one core."""
        observers: list[Observer] = [counts]
        if self._log_file is not None:
            frontends = [frontend.name for frontend in serving.system.frontends]
            backends = [backend.name for backend in serving.system.backends]
            clocks = self._clock, self._unix_time
            log = AccessLog(self._log_file, frontends, backends, serving.policy, *clocks)
            observers.append(log)
        if self._telemetry is not None:
            observers.append(observer_of(self._telemetry, serving))
        return observers


def _version(
    serving: Serving,
    known: LearnedCurves | None,
    before: _Version | None,
    announces: bool,
    clock: Callable[[], float],
) -> _Version:
    """Build the objects of a version; only one worker announces how backends report their load."""
    core = make_core(serving, learner_of(serving, known), measure_for(serving, known))
    names = [backend.name for backend in serving.system.backends]
    if before is None:
        health_events, monitor_before = CoreHealthEvents(core, names, clock=clock), None
    else:
        same = _same_backends(serving, before.serving)
        health_events, monitor_before = (
            CoreHealthEvents(core, names, before.health_events, same, clock),
            before.monitor,
        )
    backends = serving.proxy.backends
    client = Client(backends, clock)
    monitor = Monitor(backends, serving.checks, health_events, monitor_before, client, announces)
    reader = CacheEventReader(
        serving.cache_events, names, core.cache_changed, core.cache_message_expected
    )
    directory = _directory(serving, before, clock)
    loader = _loader(serving, health_events, directory, clock)
    return _Version(serving, core, health_events, monitor, reader, directory, loader)


def _loader(
    serving: Serving,
    events: CoreHealthEvents,
    directory: ModelDirectory | None,
    clock: Callable[[], float],
) -> ModelLoader | None:
    if serving.residency is None:
        return None
    backends = serving.system.backends
    return ModelLoader(
        [backend.name for backend in backends],
        [b for b, backend in enumerate(backends) if backend.memory is not None],
        serving.residency,
        events,
        Client(serving.proxy.backends, clock),
        None if directory is None else directory.learned,
        clock,
    )


def _directory(
    serving: Serving, before: _Version | None, clock: Callable[[], float]
) -> ModelDirectory | None:
    if serving.models is None:
        return None
    graph = serving.system.graph
    neighbours = [graph.neighbours(f).tolist() for f in range(len(serving.proxy.frontends))]
    known = None if before is None else before.models
    return ModelDirectory(serving.proxy.backends, neighbours, serving.models, known, clock)


def _take_over(after: _Version, before: _Version, same: Mapping[int, int], now: float) -> None:
    """Let a new core go on from what the one before knows of frontends and backends that stay."""
    core, past = after.core, before.core
    frontends = _same_frontends(after.serving, before.serving)
    core.availability.take_over(past.availability, same, now)
    turns = past.availability.candidates
    core.availability.candidates.take_over_turns(turns, same, frontends)
    if core.distances is not None and past.distances is not None:
        core.distances.take_over(past.distances, same)
    if core.prompts is not None and past.prompts is not None:
        core.prompts.take_over(past.prompts, same, frontends)


def _same_backends(after: Serving, before: Serving) -> dict[int, int]:
    """Match the backends of two settings by address; returns their numbers."""
    numbers = {address.url: b for b, address in enumerate(before.proxy.backends)}
    found = ((b, numbers.get(address.url)) for b, address in enumerate(after.proxy.backends))
    return {b: number for b, number in found if number is not None}


def _same_frontends(after: Serving, before: Serving) -> dict[int, int]:
    """Match the frontends of two settings by name; returns their numbers."""
    numbers = {frontend.name: f for f, frontend in enumerate(before.system.frontends)}
    names = [frontend.name for frontend in after.system.frontends]
    return {f: numbers[name] for f, name in enumerate(names) if name in numbers}


def read_load(value: bytes) -> int | None:
    """Read the jobs in a response's load report; None if it is missing or malformed."""
    try:
        return jobs_in_header(value.decode("latin-1"))
    except ReportError as error:
        LOG.debug("malformed load report: %s", error)
        return None
