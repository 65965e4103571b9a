"""Statistics: lines of Envoy's log become attempts, and damage becomes nothing."""

import json

import pytest

from isocline.planes.envoy.core import End
from isocline.planes.envoy.statistics import FIELDS, Attempt, Checked, Event, Lines, event_of

READY = {
    "type": "UpstreamPoolReady",
    "at": "1796043600.250000",
    "sent": "1796043600.249000",
    "frontend": "eu",
    "backend": "10.0.0.1:8000",
    "status": "0",
    "flags": "-",
    "connected": "1",
    "answered": "-",
    "whole": "-",
    "length": "-",
    "load": "-",
}
BROKEN = {**READY, "type": "UpstreamEnd", "at": "1796043601.500000"}
BEGUN = {**BROKEN, "status": "200", "answered": "100"}
END = {**BEGUN, "whole": "1200"}


def read(line: dict[str, str]) -> Event | None:
    assert list(line) == list(FIELDS)
    return event_of("\t".join(line.values()).encode())


def ended(line: dict[str, str]) -> Attempt:
    attempt = read(line)
    assert isinstance(attempt, Attempt)
    assert attempt.end is not None
    return attempt


def test_an_attempt_begins_with_its_connection_and_ends_once() -> None:
    assert read(READY) == Attempt("eu", "10.0.0.1:8000", 1796043600.25, 1796043600.25, None)
    began, over = 1796043600.249, 1796043601.5
    assert read(END) == Attempt("eu", "10.0.0.1:8000", over, began, End("served", 200))


@pytest.mark.parametrize(
    ("line", "how", "why"),
    [
        (END | {"status": "304"}, "served", ""),
        (END | {"status": "429"}, "refused", ""),
        (END | {"status": "500"}, "refused", ""),
        (END | {"status": "503"}, "failed", "status 503"),
        (END | {"status": "101"}, "left", ""),
        (BEGUN, "left", ""),
        (BROKEN, "left", ""),
        (BROKEN | {"flags": "DC"}, "left", ""),
        (BROKEN | {"flags": "UC"}, "failed", "broke before the response was complete"),
        (BEGUN | {"flags": "UPE"}, "failed", "broke before the response was complete"),
        (BROKEN | {"flags": "UPE"}, "failed", "not valid HTTP"),
        (BROKEN | {"flags": "UT"}, "too slow", "did not begin in time"),
        (BEGUN | {"flags": "UMSDR"}, "too slow", ""),
    ],
)
def test_ends_and_whose_fault_they_are(line: dict[str, str], how: str, why: str) -> None:
    """Only a whole response below 400 counts as service; a client that leaves is nobody's fault."""
    end = ended(line).end
    assert end is not None
    assert end.how == how
    assert end.why.endswith(why)
    assert bool(end.why) == bool(why)


def test_a_load_report_is_of_the_moment_at_which_the_response_began() -> None:
    load = "TEXT named_metrics.num_requests_running=3, named_metrics.num_requests_waiting=2"
    attempt = ended(END | {"load": load, "answered": "250"})
    assert attempt.load == 5
    assert attempt.measured == pytest.approx(1796043600.499)
    complete = ended(END | {"load": load, "answered": "250", "length": "13"})
    assert complete.measured == complete.now  # it no longer counts itself
    damaged = ended(END | {"load": "TEXT =", "answered": "250"})
    assert damaged.load is None


def test_an_attempt_without_a_connection_is_known_by_its_failure_alone() -> None:
    assert read(BROKEN | {"connected": "-"}) is None
    refused = ended(BROKEN | {"connected": "-", "flags": "UF"}).end
    assert refused == End("failed", 0, "no connection could be made", begun=False)


HEALTH = {
    "health_checker_type": "HTTP",
    "host": {"socket_address": {"address": "10.0.0.1", "port_value": 8000}},
    "cluster_name": "eu",
    "metadata": {"filter_metadata": {"isocline": {"backend": "h100"}}},
}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"add_healthy_event": {"first_check": True}}, Checked("eu", "h100", True)),
        (
            {"eject_unhealthy_event": {"failure_type": "ACTIVE", "http_status_code": 500}},
            Checked("eu", "h100", False, "status 500"),
        ),
        (
            {"health_check_failure_event": {"failure_type": "NETWORK", "first_check": True}},
            Checked("eu", "h100", False, "it does not answer"),
        ),
        ({"degraded_healthy_host": {}}, None),
        ({"metadata": {}, "add_healthy_event": {}}, None),
    ],
)
def test_changes_of_health(told: dict[str, object], expected: Checked | None) -> None:
    assert event_of(json.dumps({**HEALTH, **told}).encode()) == expected


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"\t", b"UpstreamEnd", b"UpstreamEnd\t1", b"UpstreamPoolReady\t1", b"\xff"),
        *(b"UpstreamEnd" + 10 * b"\tx", b"{", b"{}", b'{"metadata": 1}'),
    ],
)
def test_a_damaged_line_is_none(line: bytes) -> None:
    assert event_of(line) is None


def test_lines_come_whole_however_they_are_cut() -> None:
    text = b"one\ntwo\n\nthree\n"
    for size in range(1, len(text)):
        lines = Lines()
        chunks = [text[i : i + size] for i in range(0, len(text), size)]
        assert [line for it in chunks for line in lines.feed(it)] == [b"one", b"two", b"", b"three"]


def test_the_beginning_of_a_line_whose_end_never_comes_is_dropped() -> None:
    lines = Lines()
    assert not list(lines.feed(b"UpstreamEnd\t"))
    lines.forget()
    assert list(lines.feed(b"next\n")) == [b"next"]
