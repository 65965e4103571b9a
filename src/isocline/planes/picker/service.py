"""gRPC services of a picker: external processing, and health."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, final

import grpc
from google.protobuf.message import DecodeError
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from isocline.errors import UsageError
from isocline.gateway.config import Listener
from isocline.model.endpoint import joined
from isocline.planes.picker.messages import ProcessingRequest
from isocline.planes.picker.pick import Pick, ProtocolError
from isocline.planes.picker.protocol import SERVICE

LIVENESS, READINESS, OVERALL = "liveness", "readiness", ""
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
Begin = Callable[[str, Callable[[], None]], Pick | None]
"""Begins a pick of a listener, with a call for answers that come later; None: too many."""


@final
class Service:
    """The server, with a stream for each request of a data plane."""

    def __init__(self, begin: Begin, end: Callable[[Pick], None]) -> None:
        self._begin = begin
        self._end = end
        self._servers: list[Any] = []
        self._health = health.aio.HealthServicer()
        self._ready: bool | None = None
        self._telling: set[asyncio.Task[None]] = set()

    async def start(self, listeners: Sequence[Listener]) -> list[tuple[str, str, int]]:
        """Listen; returns (name, host, port) of each listener.

        Raises:
            UsageError: An address is not available, or a certificate cannot be used.
        """
        addresses: list[tuple[str, str, int]] = []
        await self._health.set(LIVENESS, _SERVING)
        for listener in listeners:
            server = aio.server(options=(("grpc.so_reuseport", 0),))
            handler = grpc.stream_stream_rpc_method_handler(_Handler(self, listener.name).process)
            handlers = grpc.method_handlers_generic_handler(SERVICE, {"Process": handler})
            server.add_generic_rpc_handlers((handlers,))
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
            address = joined(listener.host, listener.port)
            try:
                port = _listen(server, address, listener)
            except RuntimeError as error:
                await self.stop()
                raise UsageError(
                    f"listener {listener.name}: cannot listen on {address}; "
                    "give another port, or stop what listens there"
                ) from error
            await server.start()
            self._servers.append(server)
            addresses.append((listener.name, listener.host, port))
        return addresses

    def ready(self, ready: bool) -> None:
        """Say from now on whether requests are welcome."""
        if ready != self._ready:
            self._ready = ready
            task = asyncio.get_running_loop().create_task(self._tell(ready))
            self._telling.add(task)  # the loop itself keeps no task alive
            task.add_done_callback(self._telling.discard)

    async def stop(self) -> None:
        """End all streams, and listen no longer."""
        await asyncio.gather(*(server.stop(None) for server in self._servers))

    async def _tell(self, ready: bool) -> None:
        status = _SERVING if ready else _NOT_SERVING
        for name in (READINESS, SERVICE, OVERALL):
            await self._health.set(name, status)


@final
class _Handler:
    """Streams of one listener."""

    def __init__(self, service: Service, listener: str) -> None:
        self._service = service
        self._listener = listener

    async def process(self, _: Any, context: Any) -> None:
        """Carry one stream: messages in, answers out, and those that come later."""
        woken = asyncio.Event()
        pick = self._service._begin(self._listener, woken.set)
        if pick is None:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many streams")
            return
        try:
            await self._carry(pick, woken, context)
        except (ProtocolError, DecodeError) as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        finally:
            self._service._end(pick)

    async def _carry(self, pick: Pick, woken: asyncio.Event, context: Any) -> None:
        while True:
            data = await (_next(pick, woken, context) if pick.waits else context.read())
            if data is aio.EOF:
                return
            pick.receive(ProcessingRequest.FromString(data))
            await _answer(pick, context)


async def _next(pick: Pick, woken: asyncio.Event, context: Any) -> Any:
    """Await the next message of a request that the core holds, and send what comes before it."""
    reading = asyncio.ensure_future(context.read())
    waking = asyncio.ensure_future(woken.wait())
    try:
        await asyncio.wait((reading, waking), return_when=asyncio.FIRST_COMPLETED)
        await _answer(pick, context)
        return await reading
    finally:
        reading.cancel()
        waking.cancel()


async def _answer(pick: Pick, context: Any) -> None:
    while pick.answers:
        answers, pick.answers = pick.answers, []
        for answer in answers:
            await context.write(answer)


def _listen(server: Any, address: str, listener: Listener) -> int:
    """Open the port of a listener; returns its number."""
    if listener.tls is None:
        return int(server.add_insecure_port(address))
    listener.tls.context()  # raises UsageError where the files do not fit
    certificate = Path(listener.tls.certificate).read_bytes()
    key = Path(listener.tls.key or listener.tls.certificate).read_bytes()
    credentials = grpc.ssl_server_credentials(((key, certificate),))
    return int(server.add_secure_port(address, credentials))
