"""A collector of OTLP over HTTP, for tests, which may be slow, down or talk nonsense."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATIENCE = 300.0  # s for anything that should happen, on a busy machine
OK: tuple[int, dict[str, str], bytes] = (200, {}, b"")


def values(attributes: Any) -> dict[str, Any]:
    """Attributes as a dict."""
    found: dict[str, Any] = {}
    each: KeyValue
    for each in attributes:
        kind = each.value.WhichOneof("value")
        assert kind is not None, each
        assert each.key not in found, each
        found[each.key] = getattr(each.value, kind)
    return found


@dataclass
class Collector:
    """What came, decoded, with the headers; `answer` says what is answered, by number."""

    url: str = ""
    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answer: Callable[[int], tuple[int, dict[str, str], bytes]] = lambda _: OK

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in list(self.traces)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resources(self) -> list[dict[str, Any]]:
        """Attributes of the processes that have sent spans."""
        return [
            values(resource.resource.attributes)
            for request in list(self.traces)
            for resource in request.resource_spans
        ]

    def points(self, name: str) -> list[HistogramDataPoint]:
        """Points of one metric in the last message that has it."""
        for request in reversed(list(self.metrics)):
            found = [
                point
                for resource in request.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
                if metric.name == name
                for point in metric.histogram.data_points
            ]
            if found:
                return found
        return []

    def until(self, true: Callable[[], object]) -> None:
        """Wait for it."""
        end = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < end, (self.spans, self.metrics)
            time.sleep(0.02)


@contextmanager
def collecting(port: int = 0) -> Iterator[Collector]:
    """A collector on a port of its own."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.headers["Content-Type"] == "application/x-protobuf"
            status, fields, answer = collector.answer(len(collector.headers))
            collector.headers.append(dict(self.headers))
            if status == 200 and self.path.endswith("/v1/traces"):
                collector.traces.append(ExportTraceServiceRequest.FromString(body))
            elif status == 200:
                assert self.path.endswith("/v1/metrics")
                collector.metrics.append(ExportMetricsServiceRequest.FromString(body))
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of clients that have gone."""

    server = Server(("127.0.0.1", port), Handler)
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
