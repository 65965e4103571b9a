"""Whatever a client sends, in whatever pieces: refused, or passed on with one meaning.

The other reader is h11, which shares no code with the gateway. What reaches the backend is read by
it, and must be what it reads in the client's own bytes: the same requests, in the same order, up to
the point at which the gateway refuses. A request that only one of the two sees is a smuggled one.
"""

import asyncio
import re
from typing import NamedTuple, cast

import h11
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.live.memory_loop import memory_loop, run_in_memory
from tests.live.memory_proxy import Speaker, proxied
from tests.live.noise import CUTS, pieces, requests, spoiled

REFUSALS = {400, 405, 413, 417, 431, 501}


class Request(NamedTuple):
    """What a reader understood."""

    method: bytes
    target: bytes
    body: bytes
    fields: tuple[tuple[bytes, bytes], ...]  # X-...: no gateway changes them


class Outcome(NamedTuple):
    """What a client's bytes led to."""

    reached: list[Request]
    statuses: list[int]
    closed: bool


def first(data: bytes) -> tuple[Request | None, bytes]:
    """(the first request in these bytes, if they hold all of it; what follows it), as h11 reads."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    head, body = None, b""
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            # h11 believes framing in trailers; it is to be ignored there (RFC 9110, Section 6.5.1).
            assume(head is None or not re.search("Content-Length|Transfer-Encoding", str(error)))
            raise
        if isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            target = re.sub(rb"^https?://[^/?]*", b"", head.target, flags=re.IGNORECASE)
            fields = tuple((n, v) for n, v in head.headers if re.fullmatch(rb"x-[abc]", n))
            request = Request(head.method, target or b"/", body, fields)
            return request, connection.trailing_data[0]
        else:
            return None, b""


def readings(data: bytes) -> list[Request]:
    """What h11 reads in a client's bytes, until it has enough of them."""
    found = []
    while data:
        try:
            # An empty line may stand before a request (RFC 9112, Section 2.2); h11 refuses it.
            request, data = first(data.removeprefix(b"\r\n"))
        except h11.RemoteProtocolError:
            break
        if request is None:
            break
        found.append(request)
    return found


class Backend(asyncio.Protocol):
    """Reads with h11, which raises where a request is not well formed; answers each with 200."""

    def __init__(self, reached: list[Request]) -> None:
        self.reached = reached
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.data += data
        request, rest = first(self.data)
        if request is not None:
            assert not rest, "two requests at once, on a connection that was given one"
            self.data = b""
            self.reached.append(request)
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def outcome(data: bytes, cuts: list[int], hurried: bool = False) -> Outcome:
    """Send these bytes, cut there; `hurried`: the next piece while the one before is dealt with."""
    reached: list[Request] = []
    client = Speaker()

    async def scenario() -> None:
        async with proxied(lambda: Backend(reached)) as connect:
            await connect(client)
            for piece in pieces(data, cuts):
                client.transport.write(piece)
                await (asyncio.sleep(0) if hurried else memory_loop().settled())
            await memory_loop().settled()

    run_in_memory(scenario())
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", client.data)]
    return Outcome(reached, [status for status in statuses if status != 100], client.ended)


@given(st.lists(requests(), min_size=1, max_size=3).map(b"".join), CUTS)
@settings(max_examples=150, deadline=None)
def test_good_requests_reach_the_backend_as_they_are(data: bytes, cuts: list[int]) -> None:
    got = outcome(data, cuts)
    wanted = readings(data)
    assert got.reached == wanted[: len(got.reached)]
    assert got.statuses == [200] * len(got.reached)
    assert got.closed or len(got.reached) == len(wanted)


@given(spoiled(st.lists(requests(), min_size=1, max_size=3).map(b"".join)), CUTS, st.booleans())
@example(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", [1], False)  # was refused in pieces
@example(b"GET http://a/ HTTP/1.1\r\n\r\n", [], False)  # was served without Host
@settings(max_examples=400, deadline=None)
def test_spoiled_requests_are_refused_or_have_one_meaning(
    data: bytes, cuts: list[int], hurried: bool
) -> None:
    got = outcome(data, [])
    wanted = readings(data)
    assert got.reached == wanted[: len(got.reached)]
    served, told = got.statuses[: len(got.reached)], got.statuses[len(got.reached) :]
    assert served == [200] * len(got.reached)
    assert len(told) <= 1
    if told:
        assert told[0] in REFUSALS
        assert got.closed
    elif not got.closed:  # it waits for more, or has served all there is
        assert len(got.reached) == len(wanted)
    assert outcome(data, cuts, hurried) == got
