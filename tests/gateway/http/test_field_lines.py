"""Reading heads line by line: what is remembered, and that llhttp reads the same."""

import contextlib

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from isocline.gateway.http.fields import FieldLines
from isocline.gateway.http.grammar import BadMessageError
from isocline.gateway.http.request_head import RequestHead
from isocline.gateway.memo import Memo


def test_a_line_is_read_once_and_says_the_same_again() -> None:
    read: list[bytes] = []

    def length(value: bytes) -> int:
        read.append(value)
        return int(value)

    lines = FieldLines({}, {b"content-length": length})
    first = lines[b"Content-Length:  12\t"]
    assert first == (b"content-length", 12, b"Content-Length: 12\r\n", None)
    assert lines[b"Content-Length:  12\t"] == first
    assert read == [b"12"]


@pytest.mark.parametrize(
    "line",
    [
        b"Authorization: Bearer sk-1",
        b"Cookie: id=1",
        b"X-Api-Key: 1",
        b"Sec-WebSocket-Key: 1",
        b"X-Amz-Security-Token: 1",
        b"Accept: " + b"a" * 200,
    ],
)
def test_secrets_and_long_lines_are_not_kept(line: bytes) -> None:
    lines = FieldLines({}, {})
    assert lines[line][2] == line + b"\r\n"
    assert not lines


def test_lines_that_are_new_in_each_request_do_not_drive_out_the_others() -> None:
    lines = FieldLines({}, {})
    assert lines[b"Accept: text/plain"]
    for number in range(10_000):
        for name in (b"TraceParent", b"x-request-id"):
            line = b"%b: %d" % (name, number)
            assert lines[line] == (name.lower(), b"%d" % number, line + b"\r\n", None)
    assert list(lines) == [b"Accept: text/plain"]


def test_a_line_that_cannot_be_read_is_refused_each_time() -> None:
    head = b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"
    for _ in range(2):
        with pytest.raises(BadMessageError, match="malformed Host"):
            RequestHead(head, 9)


def test_what_is_remembered_is_bounded() -> None:
    class Squares(Memo[int, int]):
        def __missing__(self, key: int) -> int:
            return self.keep(key, key * key)

    squares = Squares(100)
    for number in range(1000):
        assert squares[number] == number * number
        assert len(squares) <= 100
    assert squares[999] == 999 * 999


class Llhttp:
    """What another parser reads in a head."""

    def __init__(self, head: bytes) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []
        parser = httptools.HttpRequestParser(self)
        with contextlib.suppress(httptools.HttpParserUpgrade):
            parser.feed_data(head)
        self.method = parser.get_method()

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # RFC 9112, Section 5: blanks around a value are not part of it; llhttp leaves those behind.
        self.fields.append((name.lower(), value.rstrip(b" \t")))


METHODS = st.sampled_from([b"GET", b"POST", b"QUERY", b"M-SEARCH", b"PURGE", b"LINK", b"PRI", b"A"])
TARGETS = st.sampled_from([b"/", b"/a?b=c", b"*", b"http://a/x", b"http://a", b"//x", b"/%00\x22|"])
NAMES = st.sampled_from([b"Accept", b"x-1", b"Upgrade", b"Connection", b"Content-Length", b"TE"])
VALUES = st.one_of(
    st.sampled_from([b"", b"1", b"upgrade", b"close", b"h2c", b"a, b"]),
    st.text(st.characters(codec="latin-1"), max_size=9).map(lambda text: text.encode("latin-1")),
)
FIELDS = st.lists(st.tuples(NAMES, st.sampled_from([b"", b" ", b" \t"]), VALUES), max_size=4)


@example(b"GET", b"/", [(b"Accept", b"", b"0 ")])
@given(METHODS, TARGETS, FIELDS)
@settings(max_examples=1000, deadline=None)
def test_another_parser_reads_the_same(
    method: bytes, target: bytes, fields: list[tuple[bytes, bytes, bytes]]
) -> None:
    lines = [b"%b:%b%b\r\n" % field for field in fields]
    head = b"%b %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (method, target, b"".join(lines))
    try:
        ours = RequestHead(head, 9)
    except BadMessageError:
        return
    theirs = Llhttp(head)
    assert (theirs.method, theirs.target) == (ours.method, target)
    assert set(theirs.fields) >= {(key, value) for key, value, _, _ in ours.fields}
    for name in (b"accept", b"x-1"):  # which go on in any case, and in order
        if name not in b"".join(connection_of(theirs.fields)):
            assert [v for k, v in theirs.fields if k == name] == [
                v for k, v, _, _ in ours.fields if k == name
            ]


def connection_of(fields: list[tuple[bytes, bytes]]) -> list[bytes]:
    return [value.lower() for key, value in fields if key == b"connection"]
