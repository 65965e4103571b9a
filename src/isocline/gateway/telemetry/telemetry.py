"""Telemetry of one process: an observer of finished requests, and tasks that export them.

On the hot path a request is only put into a queue. Everything else is done later, in short pieces,
so that neither the collector nor the conversion delays requests. While the queue is full, further
requests are dropped and counted.
"""

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from typing import final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics, ScopeMetrics
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from isocline.gateway.access_log import Access, Observer
from isocline.gateway.telemetry.attributes import Value, attributes
from isocline.gateway.telemetry.environment import TelemetrySettings
from isocline.gateway.telemetry.exporter import Exporter
from isocline.gateway.telemetry.gen_ai_metrics import GenAiMetrics
from isocline.gateway.telemetry.spans import Names, spans_of

_PIECE = 16  # requests converted at a time: about 1 ms
_BATCH = 64  # requests counted at a time: twice as fast as one by one, thanks to warm CPU caches
_SCHEMA = "https://opentelemetry.io/schemas/1.42.0"  # schema of the HTTP conventions
EXPORTED, QUEUE_FULL, REFUSED, LOST = "exported", "queue_full", "refused", "lost"
"""Fates of spans; the last two: refused by the collector, or not accepted in time."""


@final
class Telemetry:
    """Telemetry of one process, across reloads.

    Attributes:
        spans: Numbers of spans by fate.
    """

    def __init__(
        self,
        settings: TelemetrySettings,
        instance: str,
        clock: Callable[[], float],
        unix_time: Callable[[], float],
    ) -> None:
        """Initialise; raises UsageError if certificates of a collector cannot be read.

        Args:
            settings: Settings.
            instance: Id of this process, `service.instance.id`.
            clock: Clock of the times in Access, s.
            unix_time: Clock in s since 1970.
        """
        self.spans: dict[str, int] = dict.fromkeys((EXPORTED, QUEUE_FULL, REFUSED, LOST), 0)
        self._settings = settings
        self._clock, self._unix_time = clock, unix_time
        self._resource = Resource(attributes=attributes(_resource(settings, instance)))
        self._scope = InstrumentationScope(name="isocline", version=version("isocline"))
        self._queue: deque[tuple[Access, Names]] = deque()
        self._uncounted: list[tuple[Access, Names]] = []
        self._gen_ai = GenAiMetrics(unix_time(), settings.delta)
        self._full = asyncio.Event()  # set when a batch is complete
        patience = settings.patience
        self._span_exporter, self._metrics_exporter = (
            None if collector is None else Exporter(collector, patience, clock, unix_time)
            for collector in (settings.spans, settings.metrics)
        )
        self._tasks: list[asyncio.Task[None]] = []

    def observer(self, names: Names) -> Observer:
        """Make an observer of requests served under settings with these names."""
        queue, uncounted = self._queue, self._uncounted
        most, batch = self._settings.queue, self._settings.batch
        traces = self._span_exporter is not None
        counts = self._metrics_exporter is not None

        def observe(access: Access) -> None:
            if counts:
                uncounted.append((access, names))
                if len(uncounted) >= _BATCH:
                    self._count()
            trace = access.trace
            if trace is None or not trace.sampled or not traces:
                return
            if len(queue) >= most:
                self.spans[QUEUE_FULL] += 1 + len(trace.attempts)
                return
            queue.append((access, names))
            if len(queue) >= batch:
                self._full.set()

        return observe

    def start(self) -> None:
        """Start sending, on the running event loop."""
        loop = asyncio.get_running_loop()
        if self._span_exporter is not None:
            self._tasks.append(loop.create_task(self._send_spans(self._span_exporter)))
        if self._metrics_exporter is not None:
            self._tasks.append(loop.create_task(self._send_metrics(self._metrics_exporter)))

    async def close(self, seconds: float) -> None:
        """Send what is left, within `seconds` s; a second call may shorten that."""
        for exporter in (self._span_exporter, self._metrics_exporter):
            if exporter is not None:
                exporter.closing.set()
        self._full.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while self._queue:
            access, _ = self._queue.popleft()
            self.spans[LOST] += 1 + len(access.trace.attempts) if access.trace else 0
        for exporter in (self._span_exporter, self._metrics_exporter):
            if exporter is not None:
                await exporter.close()

    # Spans

    async def _send_spans(self, exporter: Exporter) -> None:
        while not exporter.closing.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._full.wait(), self._settings.delay)
            while self._queue:
                await self._send_batch(exporter)
            if not exporter.closing.is_set():
                self._full.clear()
        while self._queue:  # including requests that finish meanwhile
            await self._send_batch(exporter)

    async def _send_batch(self, exporter: Exporter) -> None:
        """Send the oldest requests of the queue."""
        since = self._unix_time() - self._clock()
        spans: list[Span] = []
        try:
            for number in range(min(len(self._queue), self._settings.batch)):
                access, names = self._queue.popleft()
                if access.trace is not None:
                    spans += spans_of(access, access.trace, names, since)
                if number % _PIECE == _PIECE - 1:
                    await asyncio.sleep(0)  # let requests run first
            answer = await exporter.send(self._message(spans))
        except asyncio.CancelledError:
            self.spans[LOST] += len(spans)
            raise
        if answer is None:
            self.spans[LOST] += len(spans)
            return
        rejected = min(_rejected(answer), len(spans))
        self.spans[EXPORTED] += len(spans) - rejected
        self.spans[REFUSED] += rejected

    def _message(self, spans: list[Span]) -> bytes:
        scope = ScopeSpans(scope=self._scope, spans=spans, schema_url=_SCHEMA)
        resource = ResourceSpans(resource=self._resource, scope_spans=[scope])
        message: bytes = ExportTraceServiceRequest(resource_spans=[resource]).SerializeToString()
        return message

    # Metrics

    def _count(self) -> None:
        for access, names in self._uncounted:
            self._gen_ai.add(access, names)
        self._uncounted.clear()

    async def _send_metrics(self, exporter: Exporter) -> None:
        closing = False
        while not closing:
            with suppress(TimeoutError):
                await asyncio.wait_for(exporter.closing.wait(), self._settings.every)
            closing = exporter.closing.is_set()
            self._count()
            metrics = self._gen_ai.collect(self._unix_time())
            if metrics:
                scope = ScopeMetrics(scope=self._scope, metrics=metrics)
                resource = ResourceMetrics(resource=self._resource, scope_metrics=[scope])
                request = ExportMetricsServiceRequest(resource_metrics=[resource])
                await exporter.send(request.SerializeToString())


def _resource(settings: TelemetrySettings, instance: str) -> Mapping[str, Value]:
    """Resource attributes of this process; configured ones take precedence."""
    return {
        "service.version": version("isocline"),
        "host.name": socket.gethostname(),
        "process.pid": os.getpid(),
        "telemetry.sdk.name": "isocline",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": version("isocline"),
        **dict(settings.resource),
        "service.instance.id": instance,
    }


def _rejected(answer: bytes) -> int:
    """Return the number of spans that a collector rejected; 0 if its answer is unreadable."""
    response = ExportTraceServiceResponse()
    try:
        response.ParseFromString(answer)
    except DecodeError:
        return 0
    return max(response.partial_success.rejected_spans, 0)
