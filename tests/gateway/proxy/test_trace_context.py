"""What reaches a backend of a request's trace, and what is recorded of it, over real sockets."""

import re
from typing import Any

import pytest

from isocline.gateway.config import ProxySettings, Sampling, digest
from isocline.gateway.http.request_head import RequestHead
from isocline.gateway.proxy.context_reader import ContextReader
from isocline.gateway.telemetry.spans import Names, spans_of
from isocline.gateway.trace_context import Trace
from isocline.model.serving_settings import RetryRule, Rules, SizeLimits
from tests.gateway.proxies import ok, proxying, refusing_port, run, saying, value_of

TRACE, SPAN = b"12345678901234567890123456789012", b"1234567890123456"
PARENT = b"00-%b-%b-01" % (TRACE, SPAN)
UNSAMPLED = PARENT[:-1] + b"0"
ALL, NONE = Sampling(), Sampling(share=0.0)
_PARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def request(*fields: bytes) -> bytes:
    return b"\r\n".join([b"GET / HTTP/1.1", b"Host: a", *fields, b"", b""])


def lines_of(head: bytes, *names: bytes) -> list[bytes]:
    """Lines of a head with these fields, as they came."""
    return [it for it in head.split(b"\r\n") if it.partition(b":")[0].lower() in names]


CONTEXT = (b"traceparent", b"tracestate", b"baggage", b"x-request-id")
FIELDS = [
    b"TraceParent: " + PARENT,
    b"tracestate: a=1",
    b"TRACESTATE: b=2, A=,,",
    b"traceparent: nonsense",
    b"Baggage: user=\xe9;p=1",
    b"X-Request-ID: 17",
]


def test_without_tracing_all_fields_of_a_trace_pass_through_as_they_are() -> None:
    async def scenario() -> None:
        async with proxying(saying(ok())) as (seen, (backend,)):
            client = await seen.connect()
            assert (await client.ask(request(*FIELDS)))[0] == 200
            assert lines_of(backend.heads[0], *CONTEXT) == FIELDS
            await client.ask(request())
            assert lines_of(backend.heads[1], *CONTEXT) == []
            assert (seen.accesses[0].trace, seen.accesses[0].request_id) == (None, b"")

    run(scenario())


def sent_on(head: bytes) -> tuple[bytes, bytes, int]:
    """Trace id, span id and flags that a backend got."""
    (line,) = lines_of(head, b"traceparent")
    found = _PARENT.fullmatch(line.removeprefix(b"traceparent: "))
    assert found, line
    return found[1], found[2], int(found[3], 16)


def asked(sampling: Sampling, *fields: bytes) -> tuple[Trace, bytes]:
    """The trace of a request, and the head that a backend got."""
    found: list[tuple[Trace, bytes]] = []

    async def scenario() -> None:
        async with proxying(saying(ok()), sampling=sampling, request_ids=True) as (
            seen,
            (backend,),
        ):
            client = await seen.connect()
            assert (await client.ask(request(*fields)))[0] == 200
            await seen.settled()
            trace = seen.accesses[0].trace
            assert trace is not None
            found.append((trace, backend.heads[0]))

    run(scenario())
    return found[0]


def test_a_request_goes_on_with_the_trace_that_it_names() -> None:
    trace, head = asked(
        ALL,
        b"TraceParent: " + PARENT,
        b"tracestate: a=1",
        b"TraceState:  b=2 ,c=3",
        b"baggage: user=7",
        b"User-Agent: curl/8",
    )
    (attempt,) = trace.attempts
    assert sent_on(head) == (TRACE, attempt.span_id, 1)
    assert lines_of(head, b"tracestate", b"baggage") == [
        b"baggage: user=7",
        b"tracestate: a=1,b=2,c=3",
    ]
    assert (trace.trace_id, trace.parent_id, trace.state) == (TRACE, SPAN, b"a=1,b=2,c=3")
    assert len({trace.span_id, trace.parent_id, attempt.span_id}) == 3
    assert (trace.agent, trace.secure) == (b"curl/8", False)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [b"traceparent: nonsense", b"tracestate: a=1"],
        [b"tracestate: a=1"],
        [b"traceparent: " + PARENT, b"traceparent: " + PARENT, b"tracestate: a=1"],
        [b"traceparent: ff" + PARENT[2:]],
    ],
)
@pytest.mark.parametrize("sampling", [ALL, NONE])
def test_a_trace_begins_anew_where_none_can_be_read(
    fields: list[bytes], sampling: Sampling
) -> None:
    trace, head = asked(sampling, *fields)
    trace_id, span_id, flags = sent_on(head)
    assert lines_of(head, b"tracestate") == []
    assert trace_id == trace.trace_id != TRACE
    assert (trace.parent_id, trace.state) == (b"", b"")
    sampled = sampling is ALL
    assert flags == trace.flags == (3 if sampled else 2)  # random, and sampled
    assert span_id == (trace.attempts[0].span_id if sampled else trace.span_id)
    assert len(trace.attempts) == sampled


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_what_the_caller_did_not_record_passes_through_unrecorded(share: float) -> None:
    fields = [b"traceparent: " + UNSAMPLED, b"tracestate: a=1", b"tracestate: not valid"]
    trace, head = asked(Sampling(share), *fields)
    assert lines_of(head, *CONTEXT)[:3] == fields
    assert (trace.sampled, trace.attempts, trace.trace_id) == (False, [], TRACE)


def test_what_the_caller_recorded_is_recorded_whatever_the_share() -> None:
    trace, head = asked(NONE, b"traceparent: " + PARENT)
    assert trace.sampled
    assert sent_on(head)[2] == 1


def test_the_share_may_rule_alone() -> None:
    for share, flags in ((0.0, 0), (1.0, 1)):
        rule = Sampling(share, follows_parent=False)
        for parent in (PARENT, UNSAMPLED):
            trace, head = asked(rule, b"traceparent: " + parent)
            assert sent_on(head)[0::2] == (TRACE, flags)
            if parent != UNSAMPLED or flags:
                # The flag may change only together with the id of the span.
                assert sent_on(head)[1] != SPAN
            assert trace.sampled == bool(flags)


def test_a_router_at_the_gate_begins_every_trace_anew() -> None:
    fields = b"traceparent: " + PARENT, b"tracestate: a=1"
    trace, head = asked(Sampling(continues=False), *fields)
    assert sent_on(head)[0] == trace.trace_id != TRACE
    assert lines_of(head, b"tracestate") == []


def test_a_share_of_the_traces_is_recorded() -> None:
    """Of 4000 that begin here; 6 standard errors of a binomial law."""
    from random import Random

    for share in (0.1, 0.5):
        reader = ContextReader(Sampling(share), False, Random(1).getrandbits)
        sampled = 0
        for _ in range(4000):
            number, trace = reader.read(RequestHead(request(), 100), secure=False)
            assert bool(number) == (trace is not None)  # ids of the others are for the log alone
            sampled += trace is not None
        assert abs(sampled - 4000 * share) < 6 * (4000 * share * (1 - share)) ** 0.5


def test_a_retry_is_an_attempt_of_its_own() -> None:
    async def scenario() -> None:
        full = b"HTTP/1.1 429 Too Many\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n"
        rules = Rules(retries=RetryRule(share=1.0, least=1e6))
        with refusing_port() as port:
            handlers = (saying(full), saying(full), f"http://127.0.0.1:{port}", saying(ok()))
            async with proxying(*handlers, sampling=ALL, rules=rules) as (seen, backends):
                client = await seen.connect()
                # Until one is retried: the policy may choose the good one a few times.
                while not any(access.attempts > 1 for access in seen.accesses):
                    fields = b"traceparent: " + PARENT, b"X-Request-Id: 17"
                    status, _, _ = await client.ask(request(*fields))
                    assert status in (200, 429, 502)
                await seen.settled()
                got = [
                    (sent_on(head), lines_of(head, b"x-request-id"))
                    for backend in backends
                    for head in backend.heads
                ]
                attempts = []
                for access in seen.accesses:
                    assert access.trace is not None
                    assert len(access.trace.attempts) == access.attempts
                    *before, last = access.trace.attempts
                    assert last.backend == access.backend
                    assert all(it.ended is not None for it in before)
                    assert all(it.status == 429 or it.failure == "connect" for it in before)
                    attempts += [it for it in access.trace.attempts if it.failure != "connect"]
                assert sorted(span for (_, span, _), _ in got) == sorted(
                    it.span_id for it in attempts
                )
                assert all(ids == [b"X-Request-Id: 17"] for _, ids in got)
                assert len({it.span_id for it in attempts}) == len(attempts)

    run(scenario())


def test_a_request_has_an_id_that_its_backend_knows() -> None:
    async def scenario() -> None:
        async with proxying(saying(ok()), request_ids=True) as (seen, (backend,)):
            client = await seen.connect()
            for field in (b"X-Request-Id: mine-17", b"traceparent: " + PARENT, b"X-Other: 1"):
                assert (await client.ask(request(field)))[0] == 200
            await seen.settled()
            first, second, third = (access.request_id for access in seen.accesses)
            assert first == b"mine-17"
            assert second != third
            for number, head in zip((first, second, third), backend.heads, strict=True):
                assert value_of(head, b"x-request-id") == number
            assert lines_of(backend.heads[1], b"traceparent") == [b"traceparent: " + PARENT]
            assert all(access.trace is None for access in seen.accesses)

    run(scenario())


@pytest.mark.parametrize(
    ("refused", "status"),
    [
        (request(b"traceparent: " + PARENT), 401),
        (request(b"traceparent: " + PARENT, b"x-api-key: right", b"Content-Length: 999999"), 413),
    ],
)
def test_a_request_that_is_not_admitted_has_a_span_too(refused: bytes, status: int) -> None:
    async def scenario() -> None:
        more: dict[str, Any] = {"sampling": ALL, "request_ids": True}
        more["key_digests"] = (digest("right"),)
        async with proxying(saying(ok()), sizes=SizeLimits(body=1000), **more) as (seen, _):
            client = await seen.connect()
            assert (await client.ask(refused))[0] == status
            (access,) = seen.accesses
            trace = access.trace
            assert trace is not None
            assert (trace.trace_id, trace.parent_id, trace.sampled) == (TRACE, SPAN, True)
            assert (access.status, access.target, access.method) == (status, b"/", b"GET")
            assert access.request_id
            (span,) = spans_of(access, trace, Names("", ["all"], seen.proxy.settings.backends), 0.0)
            assert span.parent_span_id.hex().encode() == SPAN
            found = {it.key: it.value for it in span.attributes}
            assert found["http.response.status_code"].int_value == status

    run(scenario())


def test_a_malformed_request_has_none() -> None:
    async def scenario() -> None:
        async with proxying(saying(ok()), sampling=ALL) as (seen, _):
            client = await seen.connect()
            assert (await client.ask(b"GET / HTTP/1.1\r\nHost a\r\n\r\n"))[0] == 400
            (access,) = seen.accesses
            assert (access.trace, access.target) == (None, b"")

    run(scenario())


def test_by_default_nothing_is_read() -> None:
    settings = ProxySettings((), ())
    assert (settings.sampling, settings.request_ids) == (None, False)
