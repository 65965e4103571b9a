"""Worker: a proxy with its core, learner, monitor and recorder; reload and stop."""

import asyncio
import gc
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, time
from typing import final

from isocline.errors import IsoclineError
from isocline.gateway.access_log import AccessLog, Observer
from isocline.gateway.core.core import Core
from isocline.gateway.health_checks import Monitor
from isocline.gateway.health_checks.probe import Client
from isocline.gateway.load_reports import ReportError, jobs_in_header
from isocline.gateway.metrics import Recorder, Snapshot
from isocline.gateway.models import ModelDirectory
from isocline.gateway.proxy import Proxy
from isocline.gateway.serve.config import Serving
from isocline.gateway.serve.health_events import CoreHealthEvents
from isocline.gateway.serve.learned_curves import LearnedCurves
from isocline.gateway.serve.learning import learned_by, learner_of, measure_for
from isocline.gateway.serve.log import LOG
from isocline.gateway.serve.log_file import LogFile
from isocline.gateway.serve.worker_core import make_core, warm
from isocline.gateway.shared_counts import SharedCounts

# s between two exchanges of counts with other processes: an eighth of a per cent of a core, and at
# 1000 requests/s five of them.
_COUNTS_PERIOD = 0.005


@final
@dataclass(frozen=True)
class _Version:
    """Objects made from one reading of the file."""

    serving: Serving
    core: Core
    health_events: CoreHealthEvents
    monitor: Monitor
    models: ModelDirectory | None

    async def close(self) -> None:
        """Stop health checks, polls and requests for models."""
        await self.monitor.close()
        if self.models is not None:
            await self.models.close()


@final
class Worker:
    """Worker that serves on the event loop in which it is started."""

    def __init__(
        self,
        serving: Serving,
        known: LearnedCurves | None = None,
        counts: SharedCounts | None = None,
        clock: Callable[[], float] = monotonic,
        unix_time: Callable[[], float] = time,
    ) -> None:
        """Initialise; raises an IsoclineError if settings cannot be used.

        Args:
            serving: Settings.
            known: Curves to go on from.
            counts: Shared counts, if this is one of several processes.
            clock: Seconds of a clock that does not go back.
            unix_time: Seconds since 1970.
        """
        self._clock, self._unix_time = clock, unix_time
        warm(serving)
        self._log_file = None if serving.access_log is None else LogFile(serving.access_log)
        self._announces = counts is None or counts.worker == 0
        self._version = _version(serving, known, None, self._announces, clock)
        self._recorder = Recorder(serving.system, serving.proxy, serving.policy)
        core, observers = self._version.core, self._observers(serving)
        self._proxy = Proxy(
            core,
            serving.proxy,
            observers,
            read_load,
            clock,
            unix_time,
            directory=self._version.models,
        )
        self._version.health_events.bridge = self._proxy.router
        self._counts = counts
        self._reloading = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def addresses(self) -> list[tuple[str, str, int]]:
        """(listener, host, port) of each, once started."""
        return self._proxy.addresses

    @property
    def in_flight(self) -> int:
        """Number of requests under way."""
        return self._proxy.in_flight

    async def start(self, reuse_port: bool = False) -> None:
        """Start; raises UsageError if the address of a listener is not available."""
        await self._proxy.start(reuse_port)
        await self._version.monitor.start()
        if self._version.models is not None:
            await self._version.models.start()
        self._share_counts()
        # Objects made so far stay: full collections need not visit them again and again.
        gc.collect()
        gc.freeze()

    async def reload(self, serving: Serving) -> None:
        """Reload other settings; requests under way end as they began.

        Raises:
            IsoclineError: The settings cannot be used; nothing has changed then.
        """
        async with self._reloading:
            await asyncio.to_thread(warm, serving)
            await self._reload(serving)

    def snapshot(self) -> Snapshot:
        """Return the worker's snapshot."""
        return self._recorder.snapshot(self._version.core, self._clock(), self._proxy)

    def learned(self) -> LearnedCurves | None:
        """Return the learned curves; None if it does not learn."""
        feedback = self._version.core.feedback
        return None if feedback is None else learned_by(self._version.serving, feedback)

    async def stop(self, grace: float) -> None:
        """Drain; requests under way have `grace` s to end."""
        await self._proxy.stop(grace)
        if self._timer is not None:
            self._timer.cancel()
        await self._version.close()
        if self._log_file is not None:
            self._log_file.close()

    async def _reload(self, serving: Serving) -> None:
        before = self._version
        # In a thread: to fit the curves of 1000 backends takes 0.4 s.
        after = await asyncio.to_thread(
            _version, serving, self.learned(), before, self._announces, self._clock
        )
        if self._log_file is not None:
            self._log_file.reopen()
        await after.monitor.start()  # reports to the new core which backends are down
        if after.models is not None:
            await after.models.start()
        same = _same_backends(serving, before.serving)
        after.core.availability.take_over(before.core.availability, same, self._clock())
        try:
            observers = self._observers(serving)
            self._proxy.replace(after.core, serving.proxy, observers, after.models)
        except IsoclineError:
            await after.close()
            raise
        self._recorder.reloaded(
            before.core, self._clock(), serving.system, serving.proxy, serving.policy
        )
        after.health_events.bridge = self._proxy.router
        self._version = after
        self._share_counts()
        await before.close()

    def _share_counts(self) -> None:
        """Begin to exchange jobs in flight with other processes, for the present core."""
        if self._counts is not None:
            urls = [address.url for address in self._version.serving.proxy.backends]
            self._counts.join(self._version.core, urls)
            if self._timer is None:
                self._exchange_counts()

    def _exchange_counts(self) -> None:
        assert self._counts is not None
        self._proxy.router.act(self._counts.step(self._version.core, self._clock()))
        self._timer = asyncio.get_running_loop().call_later(_COUNTS_PERIOD, self._exchange_counts)

    def _observers(self, serving: Serving) -> list[Observer]:
        """Make observers: the recorder lasts through reloads, a log has the numbers of one core."""
        observers: list[Observer] = [self._recorder]
        if self._log_file is not None:
            frontends = [frontend.name for frontend in serving.system.frontends]
            backends = [backend.name for backend in serving.system.backends]
            clocks = self._clock, self._unix_time
            log = AccessLog(self._log_file, frontends, backends, serving.policy, *clocks)
            observers.append(log)
        return observers


def _version(
    serving: Serving,
    known: LearnedCurves | None,
    before: _Version | None,
    announces: bool,
    clock: Callable[[], float],
) -> _Version:
    """Build the objects; of several workers only one announces how backends report their load."""
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
    return _Version(serving, core, health_events, monitor, _directory(serving, before, clock))


def _directory(
    serving: Serving, before: _Version | None, clock: Callable[[], float]
) -> ModelDirectory | None:
    if serving.models is None:
        return None
    graph = serving.system.graph
    neighbours = [graph.neighbours(f).tolist() for f in range(len(serving.proxy.frontends))]
    known = None if before is None else before.models
    return ModelDirectory(serving.proxy.backends, neighbours, serving.models, known, clock)


def _same_backends(after: Serving, before: Serving) -> dict[int, int]:
    """Match the backends of two settings by address; returns their numbers."""
    numbers = {address.url: b for b, address in enumerate(before.proxy.backends)}
    found = ((b, numbers.get(address.url)) for b, address in enumerate(after.proxy.backends))
    return {b: number for b, number in found if number is not None}


def read_load(value: bytes) -> int | None:
    """Read the jobs in a response's load report; None if there is none, or it is malformed."""
    try:
        return jobs_in_header(value.decode("latin-1"))
    except ReportError as error:
        LOG.debug("a load report cannot be read: %s", error)
        return None
