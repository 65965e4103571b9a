"""Answers that are put together from kept parts are those that protobuf would write."""

import pytest

from isocline.model.serving_settings import SizeLimits
from isocline.planes.picker import protocol
from isocline.planes.picker.heads import peer_of, request_head, response_facts
from isocline.planes.picker.messages import ProcessingResponse
from tests.planes.picker import streams

# Where lengths in the message take one more byte, and where they look like data.
LENGTHS = [0, 1, 2, *range(105, 130), 240, 255, 16_370, 16_383, 16_384, protocol.PIECE]


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize("of", ["request", "response"])
def test_bodies_of_all_lengths_are_passed_on(of: str, end: bool) -> None:
    passing = {"request": protocol.request_body, "response": protocol.response_body}[of]
    for length in LENGTHS:
        for byte in (b"\xff", b"\x00", b"a"):
            answers = [ProcessingResponse.FromString(it) for it in passing(byte * length, end)]
            assert streams.kinds(answers) == [f"{of}_body"]
            assert streams.passed(answers, of) == (byte * length, end)


def test_names_of_fields_are_read_in_any_case() -> None:
    fields = {"Content-Length": "7", "X-Forwarded-For": "10.0.0.1, 10.0.0.2", "X-Own": "one"}
    head = request_head(streams.request_head(fields).request_headers, SizeLimits())
    assert (head.length, head.get(b"x-own"), peer_of(head)) == (7, b"one", "10.0.0.2")
    answered = streams.response_head({"Content-Type": "Text/Event-Stream", "Retry-After": "3"})
    facts = response_facts(answered.response_headers)
    assert (facts.status, facts.stream, facts.retry_after) == (200, True, b"3")


def test_no_peer_is_told_where_none_is_known() -> None:
    for field in ("", "not an address", "10.0.0.1,"):
        head = request_head(
            streams.request_head({"x-forwarded-for": field}).request_headers, SizeLimits()
        )
        assert peer_of(head) == "unknown"
