"""Messages, and what a broken or hostile peer makes of them."""

import itertools

from hypothesis import strategies as st

# Bytes on which parsers disagree: ends of lines, lengths, codings, folds, what no field may hold.
NASTY = [
    *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b":", b";", b",", b"\x00", b"\x0b", b"\xff"),
    *(
        b"0",
        b"3",
        b"+3",
        b"0x3",
        b"3, 3",
        b"0\r\n",
        b"0\r\n\r\n",
        b"3\r\nabc\r\n",
        b"ffffffffffffffff",
    ),
    *(b"Content-Length: 3\r\n", b"Content-Length: 5\r\n", b"Content-Length : 3\r\n"),
    *(b"Content_Length: 9\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n"),
    *(b"Transfer-Encoding: x, chunked\r\n", b"Transfer-Encoding:\tchunked\r\n", b"X: a\r\n b\r\n"),
    *(b"Connection: close\r\n", b"Connection: upgrade\r\n", b"Connection: content-length\r\n"),
    *(
        b"Upgrade: websocket\r\n",
        b"Expect: 100-continue\r\n",
        b"Host: b\r\n",
        b"HTTP/1.0",
        b"HTTP/2.0",
    ),
    b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
]


# In place of a CR LF, of which each means something: an end of a line, of a head, of a chunk.
ENDS = [b"", b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n", b"\r\n ", b"\r\n\r\n", b"xy", b"\x00\n"]


def _insert(data: bytes, at: int, piece: bytes) -> bytes:
    return data[:at] + piece + data[at:]


def _end_changed(draw: st.DrawFn, data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    if len(lines) == 1:
        return data
    at = draw(st.integers(1, len(lines) - 1))
    end = draw(st.sampled_from(ENDS))
    return b"\r\n".join(lines[:at]) + end + b"\r\n".join(lines[at:])


@st.composite
def spoiled(draw: st.DrawFn, message: st.SearchStrategy[bytes]) -> bytes:
    """A message with up to three changes: of an end of a line, of a byte, of a piece of it."""
    data = draw(message)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(1, 12)))
        match draw(st.sampled_from(["end", "end", "in", "in", "out", "twice", "byte"])):
            case "end":
                data = _end_changed(draw, data)
            case "in":
                data = _insert(data, at, draw(st.sampled_from(NASTY)))
            case "out":
                data = data[:at] + data[end:]
            case "twice":
                data = _insert(data, at, data[at:end])
            case _:
                data = data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]
    return data


CUTS = st.lists(st.integers(0, 600), max_size=6)
"""Where a message is cut into the pieces in which it is read."""


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The message in its pieces, none of them empty."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


@st.composite
def chunked(draw: st.DrawFn) -> bytes:
    """A chunked body, now and then with extensions and trailers."""
    end = draw(st.sampled_from([b"", b"", b";x=1", b';x="a;b"']))
    trailers = draw(st.sampled_from([b"", b"", b"X-End: 1\r\n", b"Content-Length: 3\r\n"]))
    chunks = draw(st.lists(st.binary(min_size=1, max_size=20), max_size=3))
    parts = [b"%x%b\r\n%b\r\n" % (len(chunk), end, chunk) for chunk in chunks]
    return b"".join([*parts, b"0\r\n", trailers, b"\r\n"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A valid request with a body or none."""
    method = draw(st.sampled_from([b"GET", b"POST", b"POST", b"PUT", b"HEAD", b"OPTIONS"]))
    target = draw(st.sampled_from([b"/", b"/v1/chat?x=%0d", b"http://a/v1", b"/a//../b"]))
    version = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"]))
    extra = draw(
        st.lists(
            st.sampled_from(
                [b"X-A: 1", b"x-b:\t2 ", b"X-C:", b"Connection: keep-alive", b"Accept: */*"]
            ),
            max_size=3,
        )
    )
    kinds = ["none", "length"] if version == b"HTTP/1.0" else ["none", "length", "chunked"]
    body = b""
    match draw(st.sampled_from(kinds)):
        case "length":
            body = draw(st.binary(max_size=20))
            extra.append(b"Content-Length: %d" % len(body))
        case "chunked":
            body = draw(chunked())
            extra.append(b"Transfer-Encoding: chunked")
    return b"\r\n".join([b" ".join([method, target, version]), b"Host: a", *extra, b"", body])


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """A valid response, after interim ones now and then."""
    before = draw(st.sampled_from([b"", b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"]))
    status = draw(st.sampled_from([b"200 OK", b"200 ", b"404 Not Found", b"503 x", b"204 None"]))
    version = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"]))
    extra = draw(
        st.lists(
            st.sampled_from([b"X-A: 1", b"Connection: close", b"Connection: keep-alive"]),
            max_size=2,
            unique=True,
        )
    )
    body = b"" if status[:3] == b"204" else draw(st.binary(max_size=20))
    kinds = ["close", "length"] if version == b"HTTP/1.0" else ["close", "length", "chunked"]
    match draw(st.sampled_from(kinds)):
        case "length":
            extra.append(b"Content-Length: %d" % len(body))
        case "chunked" if status[:3] != b"204":
            body = draw(chunked())
            extra.append(b"Transfer-Encoding: chunked")
    return before + b"\r\n".join([b" ".join([version, status]), *extra, b"", body])
