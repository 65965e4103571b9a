"""Reader of the KV cache events of backends, while it is open."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from isocline.extras import extras_named
from isocline.gateway.cache_events.messages import MessageError, read_message
from isocline.gateway.core.cache_index import CacheEvent

_log = logging.getLogger("isocline.serve.watch")

# Bytes of a message: 100 000 blocks of 16 tokens of 5 bytes, and as much again.
_LARGEST = 16 * 2**20

Receive = Callable[[int, int, Sequence[CacheEvent]], None]
"""Called with a backend, the number of a message, and its events."""


def require_reader() -> None:
    """Raise MissingExtraError unless events can be read."""
    with extras_named(lambda: "cache_events"):
        import msgpack  # noqa: F401, PLC0415 - extras
        import zmq.asyncio  # noqa: F401, PLC0415


@final
class CacheEventReader:
    """Subscription to the events of some backends.

    ZeroMQ connects, and connects again, on its own. Messages that were missed meanwhile are found
    missing by their numbers.
    """

    def __init__(
        self, addresses: Mapping[int, str], names: Sequence[str], receive: Receive
    ) -> None:
        """Initialise without connecting.

        Args:
            addresses: Where backends publish, as tcp://HOST:PORT, by their numbers.
            names: Names of all backends.
            receive: Receives events, on the event loop.
        """
        self._addresses = addresses
        self._names = names
        self._receive = receive
        self._context: Any = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Subscribe; raises MissingExtraError."""
        if not self._addresses:
            return
        require_reader()
        import zmq  # noqa: PLC0415 - an extra
        import zmq.asyncio  # noqa: PLC0415

        self._context = zmq.asyncio.Context()
        loop = asyncio.get_running_loop()
        for backend, address in self._addresses.items():
            socket = self._context.socket(zmq.SUB)
            socket.setsockopt(zmq.MAXMSGSIZE, _LARGEST)
            socket.setsockopt(zmq.LINGER, 0)
            socket.subscribe(b"")
            socket.connect(address)
            self._tasks.append(loop.create_task(self._read(backend, socket)))

    async def close(self) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._context is not None:
            self._context.destroy(linger=0)

    async def _read(self, backend: int, socket: Any) -> None:
        problem = ""
        heard = False
        while True:
            frames = await socket.recv_multipart()
            try:
                number, events = read_message(frames)
            except MessageError as error:
                # The number that is missing then says that something was not understood.
                if str(error) != problem:
                    _log.warning("backend %s: cache events: %s", self._names[backend], error)
                problem = str(error)
                continue
            if problem or not heard:
                _log.info("backend %s: cache events are read", self._names[backend])
            problem, heard = "", True
            self._receive(backend, number, events)
