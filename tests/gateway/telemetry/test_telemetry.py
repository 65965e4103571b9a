"""Telemetry of finished requests, in process, before collectors of all kinds."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic, time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from isocline.gateway.access_log import CLIENT_GONE, Access
from isocline.gateway.config import BackendAddress
from isocline.gateway.core.actions import Cause
from isocline.gateway.core.request_cost import Usage
from isocline.gateway.telemetry.environment import Collector as CollectorSettings
from isocline.gateway.telemetry.environment import TelemetrySettings
from isocline.gateway.telemetry.gen_ai_metrics import GenAiMetrics
from isocline.gateway.telemetry.spans import Names, spans_of
from isocline.gateway.telemetry.telemetry import Telemetry
from isocline.gateway.trace_context import Trace
from tests.gateway.proxies import listening, run
from tests.gateway.telemetry.collector import Collector, collecting, values

NAMES = Names(
    "gmsr",
    ["chat", "rest"],
    [BackendAddress("b0", "http://h:1/base"), BackendAddress("b1", "https://[::1]")],
)


def traced(access: Access, *attempts: int) -> Access:
    """The same, recorded, with attempts at these backends."""
    access.trace = Trace(b"%032x" % 1, b"%016x" % 2, b"", 3, b"")
    for number, backend in enumerate(attempts):
        access.trace.began(b"%016x" % (10 + number), backend, access.arrived)
    access.attempts = len(attempts)
    return access


def chat(**more: Any) -> Access:
    access = Access("::1", b"POST", b"/v1/chat/completions?k=v", b"[::1]:80", 1.0, 0, 0)
    access.ended, access.status = 2.0, 200
    for name, value in more.items():
        setattr(access, name, value)
    return access


def spans(access: Access) -> list[Span]:
    assert access.trace is not None
    return list(spans_of(access, access.trace, NAMES, 1000.0))


def outcome(span: Span) -> tuple[object, object, int]:
    said = values(span.attributes)
    return said.get("http.response.status_code"), said.get("error.type"), span.status.code


ERROR, UNSET = Status.STATUS_CODE_ERROR, Status.STATUS_CODE_UNSET


@pytest.mark.parametrize(
    ("more", "server", "client"),
    [
        ({}, (200, None, UNSET), (200, None, UNSET)),
        ({"status": 404}, (404, None, UNSET), (404, "404", ERROR)),
        ({"status": 500}, (500, "500", ERROR), (500, "500", ERROR)),
        (
            {"status": CLIENT_GONE, "reason": "the client closed its connection"},
            (None, "client_gone", ERROR),
            (None, "client_gone", ERROR),
        ),
        (
            {"reason": "the client took its response too slowly"},
            (200, "client_slow", ERROR),
            (None, "client_slow", ERROR),
        ),
    ],
)
def test_how_a_request_ended(
    more: dict[str, object], server: tuple[object, ...], client: tuple[object, ...]
) -> None:
    one, other = spans(traced(chat(**more), 0))
    assert (outcome(one), outcome(other)) == (server, client)


def test_an_attempt_that_broke_off_in_the_middle_has_its_status_and_its_cause() -> None:
    access = traced(chat(reason=Cause.RESET.reason, first_byte=1.5), 0)
    access.failures = ((0, Cause.RESET),)
    assert access.trace is not None
    access.trace.ended(1.75, 200, "reset")
    server, client = spans(access)
    assert outcome(server) == (200, "reset", ERROR)
    assert outcome(client) == (200, "reset", ERROR)
    assert client.end_time_unix_nano == 1_001_750_000_000


def test_a_rejection_is_a_span_alone() -> None:
    access = traced(chat(status=503, reason="no backend", backend=-1, frontend=-1))
    (server,) = spans(access)
    assert outcome(server)[::2] == (503, ERROR)
    said = values(server.attributes)
    assert "isocline.backend" not in said
    assert "isocline.frontend" not in said


def test_addresses_and_methods() -> None:
    access = traced(chat(method=b"PURGE", target=b"/x?key=secret"), 0, 1)
    access.candidates = ((0, 3, 0.5), (1, 2, 0.75))
    server, first, second = spans(access)
    assert server.name == first.name == "HTTP"
    said = [values(span.attributes) for span in (server, first, second)]
    assert {it["http.request.method"] for it in said} == {"_OTHER"}
    assert {it["http.request.method_original"] for it in said} == {"PURGE"}
    assert (said[0]["server.address"], said[0]["server.port"]) == ("::1", 80)
    assert [it["url.full"] for it in said[1:]] == ["http://h:1/base/x", "https://[::1]:443/x"]
    assert [it["server.port"] for it in said[1:]] == [1, 443]
    assert (said[1]["isocline.workload"], said[1]["isocline.price"]) == (3, 0.5)
    assert "isocline.price" not in said[2]
    assert said[2]["http.request.resend_count"] == 1
    assert "secret" not in str([server, first, second])


@given(st.binary(max_size=30), st.binary(max_size=5000), st.binary(max_size=30), st.text())
def test_whatever_clients_send_can_be_sent_on(
    method: bytes, target: bytes, host: bytes, reason: str
) -> None:
    access = traced(Access("?", method, target, host, 0.0, reason=reason), 0)
    access.request_id = host
    for span in spans(access):
        assert Span.FromString(span.SerializeToString()) == span
        assert len(span.SerializeToString()) < 20_000


# Metrics


def test_times_to_and_between_tokens_are_those_of_successes() -> None:
    metrics = GenAiMetrics(100.0, delta=False)
    usage = Usage(7, 5)
    metrics.add(chat(first_token=1.2, usage=usage, model="m"), NAMES)
    metrics.add(chat(first_token=1.2, usage=Usage(None, 5)), NAMES)  # an estimate
    metrics.add(chat(first_token=1.2, usage=Usage(7, 1)), NAMES)
    metrics.add(chat(first_token=1.2, usage=usage, status=500), NAMES)
    metrics.add(chat(usage=usage), NAMES)  # not a stream
    metrics.add(chat(method=b"GET", target=b"/health"), NAMES)
    metrics.add(chat(frontend=-1), NAMES)
    found = {it.name: it.histogram for it in metrics.collect(200.0)}
    duration, first, each = (
        found[f"gen_ai.server.{name}"]
        for name in ("request.duration", "time_to_first_token", "time_per_output_token")
    )
    assert sum(point.count for point in duration.data_points) == 5
    errors = [values(it.attributes).get("error.type") for it in duration.data_points]
    assert sorted(map(str, errors)) == ["500", "None", "None"]
    assert sum(point.count for point in first.data_points) == 3
    (point,) = each.data_points
    assert (point.count, point.sum) == (1, pytest.approx(0.8 / 4))
    assert values(point.attributes)["gen_ai.request.model"] == "m"
    assert (point.start_time_unix_nano, point.time_unix_nano) == (10**11, 2 * 10**11)
    assert point.bucket_counts[6] == 1  # (0.15, 0.2]
    kind = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    assert {it.aggregation_temporality for it in found.values()} == {kind}


def test_deltas_begin_anew_and_totals_go_on() -> None:
    for delta, counts in ((True, [1, 1]), (False, [1, 2])):
        metrics = GenAiMetrics(0.0, delta)
        assert metrics.collect(1.0) == []
        seen = []
        for now in (2.0, 3.0):
            metrics.add(chat(), NAMES)
            (metric,) = metrics.collect(now)
            seen += [point.count for point in metric.histogram.data_points]
        assert seen == counts


def test_models_beyond_a_limit_are_one() -> None:
    metrics = GenAiMetrics(0.0, delta=False)
    for number in range(2500):
        metrics.add(chat(model=f"m-{number}"), NAMES)
    (metric,) = metrics.collect(1.0)
    points = metric.histogram.data_points
    assert len(points) == 2000
    assert sum(point.count for point in points) == 2500
    assert [
        it.count for it in points if values(it.attributes) == {"otel.metric.overflow": True}
    ] == [501]


# Sending


def telemetry(url: str, **more: Any) -> Telemetry:
    spans_to = CollectorSettings(f"{url}/v1/traces", **more.pop("to", {}))
    settings = TelemetrySettings(spans_to, None, delay=0.01, **more)
    return Telemetry(settings, "one", monotonic, time)


async def until(true: Callable[[], object]) -> None:
    while not true():
        await asyncio.sleep(0.005)


def sending(scenario: Callable[[Collector], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with collecting() as collector:
            await scenario(collector)

    run(bounded())


def test_a_message_is_sent_again_where_the_protocol_says_so() -> None:
    async def scenario(collector: Collector) -> None:
        collector.answer = lambda n: ((503, 429, 502, 200)[min(n, 3)], {"Retry-After": "0"}, b"")
        made = telemetry(collector.url, to={"headers": (("x-key", "7"),), "gzip": True})
        made.start()
        made.observer(NAMES)(traced(chat(), 0))
        await until(lambda: made.spans["exported"])
        assert len(collector.headers) == 4
        assert {it["x-key"] for it in collector.headers} == {"7"}
        assert len(collector.spans) == 2
        await made.close(10.0)
        assert made.spans == {"exported": 2, "queue_full": 0, "refused": 0, "lost": 0}

    sending(scenario)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 500, 301])
def test_what_is_refused_is_not_sent_again(status: int) -> None:
    async def scenario(collector: Collector) -> None:
        collector.answer = lambda _: (status, {"Location": f"{collector.url}/other"}, b"<html>")
        made = telemetry(collector.url)
        made.start()
        made.observer(NAMES)(traced(chat(), 0))
        await until(lambda: made.spans["lost"])
        await made.close(10.0)
        assert (made.spans["lost"], len(collector.headers)) == (2, 1)

    sending(scenario)


@pytest.mark.parametrize("rejected", [1, 2, 9])
def test_spans_that_a_collector_does_not_take_are_counted(rejected: int) -> None:
    async def scenario(collector: Collector) -> None:
        response = ExportTraceServiceResponse()
        response.partial_success.rejected_spans = rejected
        collector.answer = lambda _: (200, {}, response.SerializeToString())
        made = telemetry(collector.url)
        made.start()
        made.observer(NAMES)(traced(chat(), 0))
        await until(lambda: collector.spans)
        await made.close(10.0)
        lost = min(rejected, 2)
        assert (made.spans["refused"], made.spans["exported"]) == (lost, 2 - lost)

    sending(scenario)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\xff\xfe nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\xff\xff",
        b"HTTP/1.1 200 OK\r\nRetry-After: \xff\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 503 No\r\nRetry-After: \xc3\x28\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000 + b"\r\n\r\n",
    ],
)
def test_an_answer_that_is_none_is_as_good_as_no_collector(answer: bytes) -> None:
    asked = []

    async def mad(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def scenario() -> None:
        async with listening(mad) as port:
            made = telemetry(f"http://127.0.0.1:{port}", patience=0.001)
            made.start()
            observe = made.observer(NAMES)
            for _ in range(2):
                observe(traced(chat(), 0))
                await until(lambda: made.spans["lost"] == 2 * len(asked) > 0)
            await made.close(10.0)
            assert made.spans["exported"] == 0

    run(scenario())


def test_a_long_answer_is_not_read_to_its_end() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()

    async def scenario() -> None:
        async with listening(endless) as port:
            made = telemetry(f"http://127.0.0.1:{port}")
            made.start()
            made.observer(NAMES)(traced(chat(), 0))
            await until(lambda: made.spans["exported"] == 2)
            await made.close(10.0)

    run(scenario())


def test_a_slow_collector_fills_the_queue_and_what_comes_then_is_dropped_at_once() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.Event().wait()

    asked = asyncio.Event()

    async def scenario() -> None:
        async with listening(never) as port:
            made = telemetry(f"http://127.0.0.1:{port}", queue=4, batch=2)
            made.start()
            observe = made.observer(NAMES)
            for _ in range(2):
                observe(traced(chat(), 0))
            await asked.wait()  # these are on their way
            for _ in range(10):
                observe(traced(chat(), 0))
            assert made.spans["queue_full"] == 2 * 6
            before = monotonic()
            await made.close(0.2)
            assert monotonic() - before < 10.0  # that a collector has for each answer
            assert made.spans == {"exported": 0, "queue_full": 12, "refused": 0, "lost": 12}

    run(scenario())


def test_the_end_sends_what_there_is() -> None:
    async def scenario(collector: Collector) -> None:
        settings = TelemetrySettings(
            CollectorSettings(f"{collector.url}/v1/traces"),
            CollectorSettings(f"{collector.url}/v1/metrics"),
            delay=3600.0,
            every=3600.0,
            batch=3,
        )
        made = Telemetry(settings, "one", monotonic, time)
        made.start()
        observe = made.observer(NAMES)
        for _ in range(2):
            observe(traced(chat(), 0))
        observe(chat())  # not recorded, and counted all the same
        unsampled = traced(chat())
        assert unsampled.trace is not None
        unsampled.trace.flags = 2
        observe(unsampled)
        await made.close(60.0)
        assert len(collector.spans) == made.spans["exported"] == 4
        (point,) = collector.points("gen_ai.server.request.duration")
        assert point.count == 4

    sending(scenario)
