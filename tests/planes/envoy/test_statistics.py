"""Statistics: lines of Envoy's log become attempts, and damage becomes nothing."""

import pytest

from isocline.planes.envoy.statistics import FIELDS, Attempt, Lines, attempt_of

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
    "load": "-",
}
END = {**READY, "type": "UpstreamEnd", "at": "1796043601.500000", "status": "200"}


def read(line: dict[str, str]) -> Attempt | None:
    assert list(line) == list(FIELDS)
    return attempt_of("\t".join(line.values()).encode())


def test_an_attempt_begins_with_its_connection_and_ends_once() -> None:
    assert read(READY) == Attempt(
        "began", "eu", "10.0.0.1:8000", 1796043600.25, 1796043600.25, None
    )
    began, ended = 1796043600.249, 1796043601.5
    served = Attempt("ended", "eu", "10.0.0.1:8000", ended, began, "served")
    assert read(END) == served


@pytest.mark.parametrize(
    ("changed", "end"),
    [
        ({"status": "503"}, "unfinished"),
        ({"status": "429"}, "unfinished"),
        ({"status": "101"}, "unfinished"),
        ({"flags": "DC"}, "unfinished"),
        ({"flags": "UC", "status": "0"}, "unfinished"),
        ({"flags": "UT"}, "too slow"),
        ({"status": "304"}, "served"),
    ],
)
def test_only_a_whole_response_below_400_counts_as_service(
    changed: dict[str, str], end: str
) -> None:
    attempt = read(END | changed)
    assert attempt is not None
    assert attempt.end == end


def test_a_load_report_is_of_the_moment_at_which_the_response_began() -> None:
    load = "TEXT named_metrics.num_requests_running=3, named_metrics.num_requests_waiting=2"
    attempt = read(END | {"load": load, "answered": "250"})
    assert attempt is not None
    assert attempt.load == 5
    assert attempt.measured == pytest.approx(1796043600.499)
    damaged = read(END | {"load": "TEXT =", "answered": "250"})
    assert damaged is not None
    assert damaged.load is None


def test_an_attempt_that_never_had_a_connection_is_none() -> None:
    assert read(END | {"connected": "-"}) is None


@pytest.mark.parametrize(
    "line", [b"", b"\t", b"UpstreamEnd", b"UpstreamEnd\t1", b"\xff", b"UpstreamEnd" + 9 * b"\tx"]
)
def test_a_damaged_line_is_none(line: bytes) -> None:
    assert attempt_of(line) is None


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
