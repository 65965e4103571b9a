"""What must be refused is refused, and no two readers disagree about where a message ends."""

import asyncio
import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httptools
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.gateway.http.body import Chunked
from isocline.gateway.http.grammar import BadMessageError
from isocline.gateway.http.request_head import RequestHead
from isocline.gateway.http.response_head import ResponseHead
from tests.gateway.proxies import Seen, ok, proxying, run, saying, value_of

CASES = yaml.safe_load((Path(__file__).parent / "malformed_requests.yaml").read_text())
LIMITS = (4096, 20)  # bytes and fields


def bytes_of(case: dict[str, Any]) -> bytes:
    repeat = case.get("repeat", {"part": "", "times": 0})
    text: str = case["request"].replace("<repeat>", repeat["part"] * repeat["times"])
    return text.encode("latin-1")


def test_the_corpus_is_large_and_its_names_differ() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES) > 100


async def refusal(seen: Seen, case: dict[str, Any], in_pieces: bool) -> str:
    """What is wrong with how a case is refused, or nothing."""
    client = await seen.connect()
    request = bytes_of(case)
    for piece in (request[i : i + 1] for i in range(len(request))) if in_pieces else (request,):
        if client.writer.is_closing():  # it has been refused and is not listened to any more
            break
        client.writer.write(piece)
        if in_pieces:
            await asyncio.sleep(0)
    status, head, body = await client.response()
    rest = await client.reader.read()
    client.close()
    if status != case["status"]:
        return f"{case['name']}: {status}"
    good = value_of(head, b"connection") == b"close" and b'"message"' in body and not rest
    return "" if good else f"{case['name']}: {head!r} {body!r} {rest!r}"


@pytest.mark.parametrize("in_pieces", [False, True])
def test_malformed_requests_are_refused_and_reach_no_backend(in_pieces: bool) -> None:
    cases = [case for case in CASES if not (in_pieces and "repeat" in case)]

    async def scenario() -> None:
        async with proxying(saying(ok())) as (seen, [backend]):
            said = await asyncio.gather(*(refusal(seen, case, in_pieces) for case in cases))
            assert [words for words in said if words] == []
            await seen.settled()
            assert not any(b"smuggled" in head for head in backend.heads)
            assert len(seen.accesses) == len(cases) > 100

    run(scenario())


# Grammar-shaped noise: pieces of requests, and single bytes between them.

PIECES = st.sampled_from(
    [
        *(b"GET POST HEAD / /a * http://a/ HTTP/1.1 HTTP/1.0 HTTP/2.0".split()),
        *(b"Host:_a Host: Content-Length:_3 Content-Length:_0 Transfer-Encoding:_chunked".split()),
        *(b"Connection:_close Connection:_upgrade Upgrade:_websocket Expect:_100-continue".split()),
        *(b": ; 0 3 abc a, identity gzip , \x00 \xe9 \x0b".split()),
        *(b" ", b"\r\n", b"\r\n", b"\n", b"\r", b"\t", b"\r\n\r\n"),
    ]
).map(lambda piece: piece.replace(b"_", b" "))
GOOD_FIELDS = st.sampled_from(
    [b"X: a", b"X:", b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Connection: x, close"]
)
HEADS = st.one_of(
    st.lists(PIECES, max_size=12).map(b"".join),
    st.lists(st.one_of(GOOD_FIELDS, PIECES), max_size=6).map(
        lambda fields: b"\r\n".join([b"POST / HTTP/1.1", b"Host: a", *fields, b"", b""])
    ),
    st.binary(max_size=60),
)


class Reader:
    """An independent reading, by llhttp alone."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


@given(HEADS)
@settings(max_examples=1500, deadline=None)
def test_a_head_is_refused_or_goes_on_with_one_meaning(head: bytes) -> None:
    try:
        read = RequestHead(head, 20)
    except BadMessageError as error:
        refused = error.status
    else:
        refused = 0
        expect_one_meaning(read)
    assert refused in {0, 400, 405, 417, 431, 501}


def expect_one_meaning(read: RequestHead) -> None:
    assert not (read.chunked and read.length is not None)
    forwarded = read.forward(b"", b"a", b"")
    # What goes on is strict itself, says the same, and has one reading by another parser.
    again = RequestHead(forwarded, 24)
    assert (again.length, again.chunked, again.target) == (read.length, read.chunked, read.target)
    assert again.fields == read.fields
    assert forwarded.count(b"\r\n\r\n") == 1
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\r\n[ \t]", forwarded)
    reader = Reader()
    body = b"0\r\n\r\n" if read.chunked else b"x" * min(read.length or 0, 9)
    try:
        httptools.HttpRequestParser(reader).feed_data(forwarded + body)
    except httptools.HttpParserUpgrade:
        assert read.upgrade
    names = [name for name, _ in reader.fields]
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
    assert names.count(b"host") == 1


@given(st.one_of(st.binary(max_size=80), HEADS.map(lambda head: b"HTTP/1.1 200 OK\r\n" + head)))
@settings(max_examples=500, deadline=None)
def test_the_head_of_a_response_is_refused_or_read(head: bytes) -> None:
    try:
        read = ResponseHead(head, 20)
    except BadMessageError:
        return
    assert 100 <= read.status <= 999
    assert read.forward(b"").count(b"\r\n\r\n") == 1


def fed(framing: Chunked, pieces: Iterable[bytes]) -> tuple[bytes, bytes | None] | None:
    """(what goes on, what follows or None), or None where it is refused."""
    out, rest = b"", None
    try:
        for piece in pieces:
            if rest is not None:
                rest += piece
                continue
            passed, rest = framing.feed(piece)
            out += passed
    except BadMessageError:
        return None
    return out, rest


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({place % (len(data) + 1) for place in at} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


CHUNK_NOISE = st.lists(
    st.sampled_from(
        [b"3", b"\r\n", b"abc", b"0", b"\n", b"\r", b";x", b" ", b"X: y", b"fff", b"3\r\nabc\r\n"]
    ),
    max_size=14,
).map(b"".join)


@given(
    st.one_of(CHUNK_NOISE, CHUNK_NOISE.map(lambda noise: noise + b"0\r\n\r\n")),
    st.lists(st.integers(0, 200), max_size=6),
)
@settings(max_examples=1500, deadline=None)
def test_chunks_end_in_one_place_whatever_the_pieces(data: bytes, at: list[int]) -> None:
    whole = fed(Chunked(1e9, LIMITS), [data])
    pieces = fed(Chunked(1e9, LIMITS), cut(data, at))
    assert whole == pieces
    if whole is None or whole[1] is None:
        return
    out, rest = whole
    bare = fed(Chunked(1e9, LIMITS, bare=True), [data])
    assert bare is not None
    reader = Reader()
    parser = httptools.HttpRequestParser(reader)
    parser.feed_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    parser.feed_data(out)
    assert reader.complete
    assert reader.body == bare[0]
    assert data.endswith(rest or b"")


@given(
    st.lists(st.binary(min_size=1, max_size=50), max_size=6),
    st.binary(max_size=10),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_chunks_come_out_as_they_went_in(chunks: list[bytes], rest: bytes, at: list[int]) -> None:
    data = b"".join(b"%X;e=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    got = fed(Chunked(1e9, LIMITS), cut(data + b"0\r\n\r\n" + rest, at))
    canonical = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    assert got == (canonical + b"0\r\n\r\n", rest)


@pytest.mark.parametrize("room", [0, 4])
def test_a_body_has_only_so_much_room(room: int) -> None:
    with pytest.raises(BadMessageError) as caught:
        Chunked(room, LIMITS).feed(b"5\r\n")
    assert caught.value.status == 413
