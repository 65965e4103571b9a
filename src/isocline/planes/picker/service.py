"""gRPC server of a picker: external processing, and health."""

import asyncio
from collections.abc import Callable, Sequence
from typing import final

from google.protobuf.message import DecodeError

from isocline.errors import UsageError
from isocline.gateway.config import Listener
from isocline.planes.picker.health import CHECK, WATCH, Health, HealthCall
from isocline.planes.picker.http2 import (
    EXHAUSTED,
    INVALID,
    OK,
    UNIMPLEMENTED,
    Call,
    Connection,
    Methods,
    Stream,
)
from isocline.planes.picker.messages import ProcessingRequest
from isocline.planes.picker.pick import Pick, ProtocolError
from isocline.planes.picker.protocol import SERVICE

PROCESS = f"/{SERVICE}/Process".encode()
_parsed = ProcessingRequest.FromString
_BACKLOG = 4096  # connections the kernel keeps until they are accepted
Begin = Callable[[str, Callable[[], None]], Pick | None]
"""Begins a pick of a listener, with a call for answers that come later; None: too many."""


@final
class Service:
    """Listeners, and a call for each request of a data plane."""

    def __init__(self, begin: Begin, end: Callable[[Pick], None]) -> None:
        self.begin = begin
        self.end = end
        self._health = Health()
        self._servers: list[asyncio.Server] = []
        self._connections: set[Connection] = set()

    async def start(self, listeners: Sequence[Listener]) -> list[tuple[str, str, int]]:
        """Listen; returns (name, host, port) of each listener.

        Raises:
            UsageError: An address is not available, or a certificate cannot be used.
        """
        loop = asyncio.get_running_loop()
        addresses: list[tuple[str, str, int]] = []
        for listener in listeners:
            context = listener.tls and listener.tls.context()
            if context:
                context.set_alpn_protocols(["h2"])
            methods = _Methods(self, self._health, listener.name)
            try:
                server = await loop.create_server(
                    lambda methods=methods: Connection(methods, self._connections),
                    listener.host,
                    listener.port,
                    ssl=context,
                    backlog=_BACKLOG,
                )
            except OSError as error:
                await self.stop()
                raise UsageError(
                    f"listener {listener.name}: cannot listen on {listener.host}:{listener.port}: "
                    f"{error.strerror or error}; give another port, or stop what listens there"
                ) from error
            self._servers.append(server)
            host, port = server.sockets[0].getsockname()[:2]
            addresses.append((listener.name, host, port))
        return addresses

    def ready(self, ready: bool) -> None:
        """Say from now on whether requests are welcome."""
        self._health.ready(ready)

    async def stop(self) -> None:
        """End all streams, and listen no longer."""
        for server in self._servers:
            server.close()
        for connection in tuple(self._connections):
            connection.close()
        await asyncio.sleep(0)  # the loop tells the connections that they are gone


@final
class _Methods(Methods):
    """Methods of one listener."""

    def __init__(self, service: Service, health: Health, listener: str) -> None:
        self._service = service
        self._health = health
        self._listener = listener

    def call(self, path: bytes, stream: Stream) -> Call | None:
        if path == PROCESS:
            return self._process(stream)
        if path in (CHECK, WATCH):
            return HealthCall(self._health, stream, watches=path == WATCH)
        stream.finish(UNIMPLEMENTED, "no such method")
        return None

    def _process(self, stream: Stream) -> Call | None:
        call = _PickCall(stream, self._service.end)
        pick = self._service.begin(self._listener, call.woken)
        if pick is None:
            stream.finish(EXHAUSTED, "too many streams; raise serve.sizes.connections")
            return None
        call.pick = pick
        return call


@final
class _PickCall(Call):
    """The call of one request."""

    __slots__ = ("_end", "_receiving", "_stream", "pick")

    pick: Pick

    def __init__(self, stream: Stream, end: Callable[[Pick], None]) -> None:
        self._stream = stream
        self._end = end
        self._receiving = False

    def message(self, data: bytes) -> None:
        pick = self.pick
        self._receiving = True
        try:
            pick.receive(_parsed(data))
        except (ProtocolError, DecodeError) as error:
            self._stream.finish(INVALID, str(error))
            self._end(pick)
            return
        finally:
            self._receiving = False
        if pick.answers:
            self._answer()

    def half_closed(self) -> None:
        """End the request: a data plane says no more of it once it has nothing to ask."""
        self._end(self.pick)
        self._stream.finish(OK)

    def broken(self) -> None:
        self._end(self.pick)

    def woken(self) -> None:
        """Send answers that come later than the message that they answer."""
        if self.pick.answers and not self._receiving:
            self._answer()

    def _answer(self) -> None:
        answers, self.pick.answers = self.pick.answers, []
        self._stream.send(answers)
