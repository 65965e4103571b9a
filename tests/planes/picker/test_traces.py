"""Traces through a picker: the caller's context goes on to the backend, and a span tells of it."""

from typing import Any

import pytest

from isocline.gateway.access_log import Access
from isocline.gateway.config import Sampling
from isocline.gateway.telemetry.spans import Names, spans_of
from isocline.planes.picker.messages import ProcessingResponse
from tests.gateway.telemetry.collector import values
from tests.planes.picker.streams import (
    FAST,
    SLOW,
    Picking,
    Stream,
    chosen,
    endpoint,
    exchange,
    fields_of,
    request_head,
    response_head,
)

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
RECORDED = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "vendor=1"}
UNRECORDED = {"traceparent": f"00-{TRACE}-{CALLER}-00", "tracestate": "vendor=1"}


def tracing(*curves: Any, **settings: Any) -> Picking:
    settings = {"sampling": Sampling(share=1.0)} | settings
    return Picking(*(curves or (FAST, SLOW)), **settings)


def mutation(answer: Any) -> Any:
    return answer.request_headers.response.header_mutation


def asked(stream: Stream, fields: dict[str, str]) -> dict[str, str]:
    """Fields of id and trace that a backend gets in place of the request's, or beyond them."""
    (answer,) = stream.say(request_head(fields))
    made = fields_of(mutation(answer))
    return {name: value for name, value in made.items() if name.startswith(("trace", "x-request"))}


def told(access: Access, picking: Picking) -> list[Any]:
    assert access.trace is not None
    names = Names("gmsr", ["f0"], picking.settings.backends)
    return list(spans_of(access, access.trace, names, 0.0))


def test_a_recorded_request_has_a_span_whose_child_the_backend_continues() -> None:
    picking = tracing()
    stream = picking.stream()
    made = asked(stream, {**RECORDED, "x-request-id": "mine"})
    picking.now = 2.0
    stream.say(response_head(end=True))
    (access,) = picking.records
    server, client = told(access, picking)
    assert server.trace_id.hex() == client.trace_id.hex() == TRACE
    assert server.parent_span_id.hex() == CALLER
    assert client.parent_span_id == server.span_id
    assert made == {
        "traceparent": f"00-{TRACE}-{client.span_id.hex()}-01",
        "tracestate": "vendor=1",
    }
    said = values(server.attributes)
    assert said["isocline.backend"] == "b0"
    assert said["isocline.request_id"] == "mine"
    assert said["http.response.status_code"] == 200
    assert "network.protocol.version" not in said
    assert values(client.attributes)["isocline.price"] > 0
    assert server.end_time_unix_nano - server.start_time_unix_nano == 2_000_000_000


def test_one_that_its_caller_did_not_record_goes_on_as_it_came() -> None:
    picking = tracing()
    assert asked(picking.stream(), UNRECORDED) == {}
    assert asked(Picking(FAST).stream(), RECORDED) == {}  # without tracing


def test_a_trace_that_begins_here_drops_the_state_of_another() -> None:
    picking = tracing(sampling=Sampling(share=0.0))
    (answer,) = picking.stream().say(
        request_head({"traceparent": "nonsense", "tracestate": "vendor=1"})
    )
    assert list(mutation(answer).remove_headers) == ["tracestate"]
    assert fields_of(mutation(answer))["traceparent"].endswith("-02")  # random, not recorded


@pytest.mark.parametrize("given", [{}, {"x-request-id": "mine"}])
def test_ids_are_read_or_made(given: dict[str, str]) -> None:
    picking = Picking(FAST, request_ids=True)
    stream = picking.stream()
    made = asked(stream, given)
    stream.say(response_head(end=True))
    (access,) = picking.records
    assert given or made == {"x-request-id": access.request_id.decode()}
    assert not given or (made, access.request_id) == ({}, b"mine")


def test_the_span_of_an_attempt_is_of_the_backend_that_served() -> None:
    picking = tracing(FAST, SLOW)
    stream = picking.stream()
    made = asked(stream, RECORDED)
    stream.say(response_head(served=endpoint(1), end=True))
    (access,) = picking.records
    _, client = told(access, picking)
    assert values(client.attributes)["isocline.backend"] == "b1"
    assert client.span_id.hex() in made["traceparent"]


def test_a_refused_request_has_a_span_alone() -> None:
    picking = tracing()
    stream = picking.stream()
    (answer,) = stream.say(request_head(RECORDED, subset=["10.9.9.9:1"]))
    assert answer.immediate_response.status.code == 503
    (span,) = told(picking.records[0], picking)
    assert values(span.attributes)["error.type"]


def test_answers_are_otherwise_those_without_traces() -> None:
    def answered(picking: Picking) -> list[Any]:
        answers = picking.stream().say(*exchange(fields={**RECORDED, "x-request-id": "mine"}))
        assert chosen(answers[0]) == [endpoint(0)]
        kept = [it for it in mutation(answers[0]).set_headers if "trace" not in it.header.key]
        first = ProcessingResponse.FromString(answers[0].SerializeToString())
        del mutation(first).set_headers[:]
        mutation(first).set_headers.extend(kept)
        return [first, *answers[1:]]

    assert answered(tracing()) == answered(Picking(FAST, SLOW))
