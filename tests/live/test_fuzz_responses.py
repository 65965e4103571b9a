"""Whatever a backend answers, in whatever pieces: passed on whole and as it is, 502, or broken off.

The other reader is h11: what the client gets is read by it, and so are the backend's own bytes. And
whatever it was, the client's next request gets its own answer, and nobody else's.
"""

import asyncio
import re
from typing import NamedTuple, cast

import h11
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.live.memory_loop import memory_loop, run_in_memory
from tests.live.memory_proxy import Speaker, proxied
from tests.live.noise import CUTS, pieces, responses, spoiled

NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
NEXT_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"
BAD_GATEWAY = 502


class Response(NamedTuple):
    """What a reader understood."""

    status: int
    body: bytes
    fields: tuple[tuple[bytes, bytes], ...]  # X-...: no gateway changes them


def first(method: bytes, data: bytes) -> tuple[Response | None, bytes]:
    """(the first final response, None if the end comes before its; what follows), as h11 reads."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    connection.receive_data(b"")
    head, body = None, b""
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            if "ConnectionClosed" in str(error) or "closed connection" in str(error):
                return None, b""
            # h11 believes framing in trailers; it is to be ignored there (RFC 9110, Section 6.5.1).
            assume(head is None or not re.search("Content-Length|Transfer-Encoding", str(error)))
            raise
        if isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            fields = tuple((n, v) for n, v in head.headers if re.fullmatch(rb"x-[abc]", n))
            return Response(head.status_code, body, fields), connection.trailing_data[0]


class Backend(asyncio.Protocol):
    """Gives its first request a scripted answer, in pieces; the others a plain one."""

    def __init__(self, answer: list[bytes], closes: bool) -> None:
        self.answer = answer
        self.closes = closes  # after it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if b" /next " in data:
            self.transport.write(NEXT_ANSWER)
        else:
            self.task = asyncio.get_running_loop().create_task(self.speak())

    async def speak(self) -> None:
        for piece in self.answer:
            self.transport.write(piece)
            await memory_loop().settled()
        if self.closes:
            self.transport.close()


def heard(method: bytes, answer: list[bytes], closes: bool = True) -> Response | None:
    """What a client gets of it, None if it is broken off; the next request gets its own answer."""
    client = Speaker()

    async def scenario() -> None:
        async with proxied(lambda: Backend(answer, closes)) as connect:
            await connect(client)
            client.transport.write(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
            for _ in range(len(answer) + 1):
                await memory_loop().settled()
            if first(method, client.data)[0]:
                client.transport.write(NEXT)
                await memory_loop().settled()

    run_in_memory(scenario())
    got, rest = first(method, client.data)
    assert got or client.ended or not closes, "the client waits for ever"
    assert not rest or first(b"GET", rest) == (Response(200, b"next", ()), b"")
    return got


@given(st.sampled_from([b"GET", b"POST", b"HEAD"]), responses(), CUTS)
@settings(max_examples=100, deadline=None)
def test_good_responses_reach_the_client_as_they_are(
    method: bytes, data: bytes, cuts: list[int]
) -> None:
    if method == b"HEAD":
        data = data[: data.rindex(b"\r\n\r\n") + 4]
    wanted, _ = first(method, data)
    assert wanted is not None
    assert heard(method, pieces(data, cuts)) == wanted


@given(st.sampled_from([b"GET", b"POST", b"HEAD"]), spoiled(responses()), CUTS, st.booleans())
@settings(max_examples=250, deadline=None)
def test_spoiled_responses_have_one_meaning_or_none(
    method: bytes, data: bytes, cuts: list[int], closes: bool
) -> None:
    try:
        wanted, _ = first(method, data)
    except h11.RemoteProtocolError:
        wanted = None
    for answer in ([data], pieces(data, cuts)):
        got = heard(method, answer, closes)
        assert got is None or got == wanted or got.status == BAD_GATEWAY
