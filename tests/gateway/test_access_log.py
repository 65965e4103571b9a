"""One JSON object per request, with nothing secret in it."""

import io
import json
import math
from datetime import UTC, datetime, timedelta
from time import monotonic

from hypothesis import given
from hypothesis import strategies as st

from isocline.gateway.access_log import Access, AccessLog


def log_of(*accesses: Access) -> list[dict[str, object]]:
    out = io.StringIO()
    log = AccessLog(out, ["chat"], ["h100", 'l"4'], "gmsr")
    for access in accesses:
        log(access)
    assert out.getvalue() == ""  # gathered
    log.flush()
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_says_who_what_where_and_how_long() -> None:
    access = Access("10.0.0.1", b"POST", b"/v1/x?key=secret", b"a.example", 100.0, 0, 1, 2)
    access.candidates = ((0, 3, 0.5), (1, 2, math.inf))
    access.sent, access.first_byte, access.ended = 100.25, 100.5, 102.0
    access.first_token = 101.5
    access.status, access.received, access.returned = 200, 10, 20
    [line] = log_of(access)
    time = datetime.fromisoformat(str(line.pop("time")))
    arrived = datetime.now(UTC) - timedelta(seconds=monotonic() - 100.0)
    assert abs(time - arrived) < timedelta(minutes=1)
    assert line == {
        "peer": "10.0.0.1",
        "method": "POST",
        "host": "a.example",
        "path": "/v1/x",
        "status": 200,
        "frontend": "chat",
        "backend": 'l"4',
        "policy": "gmsr",
        "attempts": 2,
        "wait_ms": 250.0,
        "duration_ms": 2000.0,
        "received": 10,
        "returned": 20,
        "first_byte_ms": 500.0,
        "first_token_ms": 1500.0,
        "candidates": {"h100": {"jobs": 3, "score": 0.5}, 'l"4': {"jobs": 2, "score": None}},
    }


def test_a_request_that_never_was_one() -> None:
    access = Access("10.0.0.1", b"", b"", b"", 1.0, ended=1.5, status=400, reason='no "Host"')
    [line] = log_of(access)
    assert (line["frontend"], line["backend"], line["status"]) == (None, None, 400)
    assert line["reason"] == 'no "Host"'
    assert line["wait_ms"] == 500.0


@given(st.binary(max_size=30), st.binary(max_size=10), st.text(max_size=10))
def test_whatever_is_asked_for_is_one_line_of_json(
    target: bytes, method: bytes, reason: str
) -> None:
    [line] = log_of(Access("::1", method, target, target, 0.0, reason=reason))
    assert line["path"] == target.partition(b"?")[0].decode("latin-1")
    assert line["host"] == target.decode("latin-1")
    assert line.get("reason", "") == reason


def test_times_are_those_of_the_clocks_that_are_given() -> None:
    out = io.StringIO()
    log = AccessLog(out, [], [], "gmsr", lambda: 50.0, lambda: 784_111_777.0)
    log(Access("10.0.0.1", b"GET", b"/", b"a", 47.5, ended=48.0))
    log.flush()
    time = datetime.fromisoformat(json.loads(out.getvalue())["time"])
    assert time == datetime.fromtimestamp(784_111_774.5, UTC)
