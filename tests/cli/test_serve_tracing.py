"""A router as a process that traces: what a collector gets of it."""

import asyncio
import re
import signal
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.cli.served import PATIENCE, Served, served
from tests.gateway.proxies import (
    Backend,
    Client,
    Handler,
    listening,
    ok,
    refusing_port,
    saying,
    serving,
    value_of,
)
from tests.gateway.telemetry.collector import Collector, collecting, values

TRACE, SPAN = "12345678901234567890123456789012", "1234567890123456"
QUICK = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_METRIC_EXPORT_INTERVAL": "100"}
PATH = "/v1/chat/completions"
EVENT = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":%d}}\n\n'
DONE = b"data: [DONE]\n\n"


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(3 * PATIENCE):
            await scenario

    asyncio.run(bounded())


def streaming(tokens: int) -> Callable[[Backend], Handler]:
    """A backend that streams so many events, and says so."""
    events = EVENT * tokens + USAGE % tokens + DONE
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    return saying(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(events), events))


def write(file: Path, ports: list[int], tracing: str, more: str = "") -> None:
    """A system file with these backends; clients' models tell frontends apart."""
    lines = [
        f'  - {{name: b{i}, url: "http://127.0.0.1:{port}", report: none, '
        f"curve: {{type: hyperbolic, peak: {1000 * (len(ports) - i)}, half: 10}}}}"
        for i, port in enumerate(ports)
    ]
    rest = [
        "frontends: [{name: chat, backends: ['*'], match: {model: 'm*'}}]",
        "serve:",
        "  listen: 127.0.0.1:0",
        "  admin: 127.0.0.1:0",
        "  retries: {share: 1, least: 1000000}",
        "  ejection: {failures: 1000000, rate: 1}",
        f"  tracing: {tracing}",
        more,
    ]
    file.write_text("\n".join(["kind: routing", "backends:", *lines, *rest]))


def post(*fields: bytes, model: bytes = b"m-1", path: bytes = PATH.encode()) -> bytes:
    body = b'{"model": "%b"}' % model
    lines = [b"POST %b?key=secret HTTP/1.1" % path, b"Host: api.test:81", *fields]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


async def ask(port: int, *requests: bytes) -> list[int]:
    """Statuses of the answers, one after the other on one connection."""
    client = Client(*await asyncio.open_connection("127.0.0.1", port))
    try:
        return [(await client.ask(request))[0] for request in requests]
    finally:
        client.close()


def routed(
    file: Path, collector: Collector, *options: str, **more: str
) -> AbstractContextManager[Served]:
    variables = QUICK | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url} | more
    return served(file, *options, variables=variables)


def of_kind(spans: list[Span], kind: "Span.SpanKind.ValueType") -> list[Span]:
    return [span for span in spans if span.kind == kind]


def spans_metric(router: Served) -> dict[str, float]:
    text = router.asked("/metrics")
    found = re.findall(r'^isocline_spans_total\{outcome="(\w+)"\} (\S+)$', text, re.MULTILINE)
    return {outcome: float(number) for outcome, number in found}


def test_a_request_is_a_span_with_one_for_each_attempt(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"

    async def scenario(collector: Collector) -> None:
        with refusing_port() as closed:
            async with serving(streaming(5)) as backend:
                # The first one is the fastest, so that an idle router asks it first.
                write(file, [closed, backend.port], "{usage: true, service: router}")
                with routed(file, collector, OTEL_RESOURCE_ATTRIBUTES="zone=a%20b") as router:
                    parent = f"traceparent: 00-{TRACE}-{SPAN}-01".encode()
                    fields = parent, b"tracestate: a=1", b"User-Agent: test/1", b"X-Request-Id: 17"
                    assert await ask(router.port, *3 * [post(*fields)]) == [200] * 3
                    await asyncio.to_thread(collector.until, lambda: len(collector.spans) == 9)
                    await asyncio.to_thread(collector.until, lambda: all_counted(collector, 3))
                    assert spans_metric(router)["exported"] == 9
                    check_heads(collector, backend)

    with collecting() as collector:
        run(scenario(collector))
        check_spans(collector)
        check_points(collector)
        resource = collector.resources[0]
        assert resource["service.name"] == "router"
        assert resource["zone"] == "a b"
        assert resource["telemetry.sdk.language"] == "python"
        assert len({it["service.instance.id"] for it in collector.resources}) == 1


def all_counted(collector: Collector, requests: int) -> bool:
    points = collector.points("gen_ai.server.request.duration")
    return sum(point.count for point in points) == requests


def servers(collector: Collector) -> list[Span]:
    return of_kind(collector.spans, Span.SPAN_KIND_SERVER)


def check_heads(collector: Collector, backend: Backend) -> None:
    """Each attempt's span is the parent that its backend was told."""
    told = [value_of(head, b"traceparent") for head in backend.heads]
    good = [it for it in of_kind(collector.spans, Span.SPAN_KIND_CLIENT) if not it.status.code]
    assert Counter(told) == Counter(f"00-{TRACE}-{span.span_id.hex()}-01".encode() for span in good)
    assert {value_of(head, b"tracestate") for head in backend.heads} == {b"a=1"}
    assert {value_of(head, b"x-request-id") for head in backend.heads} == {b"17"}


def check_spans(collector: Collector) -> None:
    spans = collector.spans
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert len({span.span_id for span in spans}) == len(spans)
    assert {span.trace_state for span in spans} == {"a=1"}
    for server in servers(collector):
        assert (server.name, server.parent_span_id.hex()) == (f"POST {PATH}", SPAN)
        assert server.flags == 0x301  # sampled; the parent is known, and another process's
        assert not server.status.code
        said = values(server.attributes)
        clients = [it for it in spans if it.parent_span_id == server.span_id]
        assert said.pop("isocline.attempts") == len(clients) == 2
        assert 0 <= said.pop("isocline.wait") <= said.pop("isocline.time_to_first_token")
        assert said.pop("network.peer.address") == "127.0.0.1"
        assert said == {
            "http.request.method": "POST",
            "http.route": PATH,
            "url.path": PATH,
            "url.scheme": "http",
            "server.address": "api.test",
            "server.port": 81,
            "network.protocol.version": "1.1",
            "user_agent.original": "test/1",
            "http.response.status_code": 200,
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "m-1",
            "gen_ai.usage.input_tokens": 7,
            "gen_ai.usage.output_tokens": 5,
            "isocline.frontend": "chat",
            "isocline.backend": "b1",
            "isocline.policy": "gmsr_secant",
            "isocline.request_id": "17",
        }
        for number, client in enumerate(clients):
            check_attempt(client, number, last=number == len(clients) - 1)
            assert server.start_time_unix_nano <= client.start_time_unix_nano
            assert client.start_time_unix_nano <= client.end_time_unix_nano
            assert client.end_time_unix_nano <= server.end_time_unix_nano


def check_attempt(client: Span, number: int, last: bool) -> None:
    said = values(client.attributes)
    assert client.kind == Span.SPAN_KIND_CLIENT
    assert said["isocline.backend"] == ("b1" if last else "b0")
    assert said["url.full"] == f"http://127.0.0.1:{said['server.port']}{PATH}"
    assert said.get("http.request.resend_count", 0) == number
    if last:
        assert (said["http.response.status_code"], client.status.code) == (200, 0)
        assert "error.type" not in said
    else:
        assert "http.response.status_code" not in said
        assert said["error.type"] == client.status.message == "connect"
    if number == 0:
        assert said["isocline.workload"] == 0
        assert said["isocline.price"] > 0


def check_points(collector: Collector) -> None:
    requests = len(servers(collector))
    bounds = {
        "gen_ai.server.request.duration": [0.01 * 2**i for i in range(14)],
        "gen_ai.server.time_to_first_token": [
            *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1),
            *(0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
        ],
        "gen_ai.server.time_per_output_token": [
            *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5),
        ],
    }
    for name, expected in bounds.items():
        (point,) = collector.points(name)
        assert list(point.explicit_bounds) == pytest.approx(expected)
        assert point.count == sum(point.bucket_counts) == requests
        assert 0 <= point.min <= point.sum / requests <= point.max
        said = values(point.attributes)
        assert said.pop("server.port") > 0
        assert said == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "m-1",
            "server.address": "127.0.0.1",
            "isocline.frontend": "chat",
            "isocline.backend": "b1",
        }


def test_a_collector_that_is_down_slow_or_mad_costs_no_request_and_no_time_at_the_end(
    tmp_path: Path,
) -> None:
    """A dead one for spans, and one that never answers for metrics."""
    file = tmp_path / "fleet.yaml"
    hung = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hung.set()
        await asyncio.Event().wait()

    async def scenario() -> None:
        with refusing_port() as dead:
            async with serving(saying(ok())) as backend, listening(never) as slow:
                write(file, [backend.port], "{}", "  drain: 5")
                variables = QUICK | {
                    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{dead}/v1/traces",
                    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"http://127.0.0.1:{slow}/v1/metrics",
                    "OTEL_BSP_MAX_QUEUE_SIZE": "10",
                    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5",
                }
                with served(file, variables=variables) as router:
                    assert await ask(router.port, *40 * [post()]) == [200] * 40
                    await hung.wait()
                    await asyncio.to_thread(router.wait_for, f":{dead}/v1/traces: .*telemetry may")
                    lost = await asyncio.to_thread(spans_metric, router)
                    # 5 are on their way, 10 wait; a batch that is given up makes room for 5.
                    assert lost["queue_full"] >= 2 * (40 - 5 - 10 - 5 * lost["lost"] / 10)
                    assert lost["exported"] == 0
                    router.process.send_signal(signal.SIGTERM)
                    # It ends though the collector of metrics never will. Without waiting, `served`
                    # would send a second signal, which ends it with another status.
                    assert await asyncio.to_thread(router.process.wait, PATIENCE) == 0

    run(scenario())


def test_what_was_recorded_last_is_sent_before_the_end_and_each_worker_says_who_it_is(
    tmp_path: Path,
) -> None:
    file = tmp_path / "fleet.yaml"

    async def scenario(collector: Collector) -> None:
        async with serving(saying(ok())) as backend:
            write(file, [backend.port], "{}", "  workers: 2")
            # Nothing is sent before the end.
            slow = {"OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_METRIC_EXPORT_INTERVAL": "600000"}
            named = {"OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=router"}
            with routed(file, collector, **slow, **named) as router:
                for _ in range(40):
                    assert await ask(router.port, post(b"traceparent: nonsense")) == [200]
                assert collector.traces == []

    with collecting() as collector:
        run(scenario(collector))
        assert len(collector.spans) == 80
        assert len({span.trace_id for span in collector.spans}) == 40
        assert {span.parent_span_id for span in servers(collector)} == {b""}
        ids = {it["service.instance.id"] for it in collector.resources}
        assert ids <= {"router-0", "router-1"}
        counted = sum(
            point.count
            for request in collector.metrics
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.histogram.data_points
        )
        assert counted == 40


def test_how_many_are_recorded_can_change_while_it_runs_where_they_go_cannot(
    tmp_path: Path,
) -> None:
    file = tmp_path / "fleet.yaml"

    async def scenario(collector: Collector) -> None:
        async with serving(saying(ok())) as backend:
            write(file, [backend.port], "{sample: 0}")
            with routed(file, collector) as router:
                assert await ask(router.port, *3 * [post()]) == [200] * 3
                parent = f"traceparent: 00-{TRACE}-{SPAN}-01".encode()
                assert await ask(router.port, post(parent)) == [200]
                write(file, [backend.port], "{sample: 1}")
                await asyncio.to_thread(router.wait_for, "reloaded")
                assert await ask(router.port, *3 * [post(model=b"other"), post()]) == [404, 200] * 3
                await asyncio.to_thread(collector.until, lambda: len(servers(collector)) == 7)
                found = Counter(
                    (span.trace_id.hex() == TRACE, values(span.attributes).get("isocline.backend"))
                    for span in servers(collector)
                )
                assert found == {(True, "b0"): 1, (False, "b0"): 3, (False, None): 3}
                write(file, [backend.port], "{endpoint: 'http://127.0.0.1:9'}")
                said = "serve.tracing: endpoint, service or headers cannot change"
                await asyncio.to_thread(router.wait_for, said)

    with collecting() as collector:
        run(scenario(collector))
