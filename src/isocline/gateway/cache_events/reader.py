"""Reader of the KV cache events of backends, while it is open."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from isocline.extras import extras_named
from isocline.gateway.cache_events.messages import (
    MessageError,
    ends_replay,
    number_of,
    read_message,
    replay_request,
)
from isocline.gateway.cache_events.source import CacheEventSource
from isocline.gateway.core.cache_index import CacheEvent

_log = logging.getLogger("isocline.serve.watch")

# Bytes of a message: 100 000 blocks of 16 tokens of 5 bytes, and as much again.
_LARGEST = 16 * 2**20
_REPLAY_PATIENCE = 5.0  # s until the next message of a replay: vLLM looks for requests every 0.1 s

Receive = Callable[[int, int, int, Sequence[CacheEvent]], None]
"""Called with a backend, a rank, the number of a message, and its events."""
Expected = Callable[[int, int], int]
"""Number of the next message of a rank of a backend."""


def require_reader() -> None:
    """Raise MissingExtraError unless events can be read."""
    with extras_named(lambda: "cache_events"):
        import msgpack  # noqa: F401, PLC0415 - extras
        import zmq.asyncio  # noqa: F401, PLC0415


@final
class CacheEventReader:
    """Subscription to the events of some backends.

    ZeroMQ connects, and connects again, on its own. Messages that were missed meanwhile are found
    missing by their numbers, and asked for again where the backend repeats them.
    """

    def __init__(
        self,
        sources: Mapping[int, CacheEventSource],
        names: Sequence[str],
        receive: Receive,
        expected: Expected = lambda backend, rank: 0,  # noqa: ARG005
    ) -> None:
        """Initialise without connecting.

        Args:
            sources: Where backends publish, by their numbers.
            names: Names of all backends.
            receive: Receives events, on the event loop.
            expected: Says which messages are known already, as by a reader before this one.
        """
        self._sources = sources
        self._names = names
        self._receive = receive
        self._expected = expected
        self._context: Any = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Subscribe; raises MissingExtraError."""
        if not self._sources:
            return
        require_reader()
        import zmq.asyncio  # noqa: PLC0415 - an extra

        self._context = zmq.asyncio.Context()
        loop = asyncio.get_running_loop()
        for backend, source in self._sources.items():
            for rank in range(source.ranks):
                name = self._names[backend] + (f", rank {rank}" if source.ranks > 1 else "")
                receive, first = self._receiver(backend, rank), self._expected(backend, rank)
                publisher = _Publisher(self._context, source.of_rank(rank), name, receive, first)
                self._tasks.append(loop.create_task(publisher.read()))

    def _receiver(self, backend: int, rank: int) -> Callable[[int, Sequence[CacheEvent]], None]:
        return lambda number, events: self._receive(backend, rank, number, events)

    async def close(self) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._context is not None:
            self._context.destroy(linger=0)


@final
class _Publisher:
    """Subscription to one publisher: a rank of a backend."""

    def __init__(
        self,
        context: Any,
        addresses: tuple[str, str | None],
        name: str,
        receive: Callable[[int, Sequence[CacheEvent]], None],
        expected: int,
    ) -> None:
        """Subscribe; `addresses` are those of its events and of its replay."""
        import zmq  # noqa: PLC0415 - an extra

        self._context = context
        self._replay_address = addresses[1]
        self._name = name
        self._receive = receive
        self._expected = expected  # number of the next message
        # By number, the messages of the last replay, which may come as events, too.
        self._replayed: dict[int, int] = {}
        self._problem = ""
        self._heard = False
        self._events = self._socket(zmq.SUB, addresses[0])
        self._events.subscribe(b"")

    def _socket(self, kind: int, address: str) -> Any:
        import zmq  # noqa: PLC0415 - an extra

        socket = self._context.socket(kind)
        socket.setsockopt(zmq.MAXMSGSIZE, _LARGEST)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(address)
        return socket

    async def read(self) -> None:
        """Read for ever; what was published before is asked for first."""
        await self._replay(self._expected)
        while True:
            frames = await self._events.recv_multipart()
            if self._is_repeated(frames):
                continue
            await self._fill_gap(frames)
            if not self._is_repeated(frames):
                self._take(frames)

    def _is_repeated(self, frames: Sequence[bytes]) -> bool:
        """Whether a message has come by a replay; one of a server started anew has other bytes."""
        if not self._replayed or len(frames) != 3:
            return False
        return self._replayed.get(int.from_bytes(frames[1], "big")) == hash(frames[2])

    async def _fill_gap(self, frames: Sequence[bytes]) -> None:
        """Ask for the messages that are missing before this one."""
        try:
            number = number_of(frames)
        except MessageError:
            return
        if number > self._expected:
            await self._replay(self._expected)
        elif 0 < number < self._expected:  # the server has started again
            await self._replay(0)

    async def _replay(self, first: int) -> None:
        """Take in the messages from number `first` on, as far as the publisher has them."""
        import zmq  # noqa: PLC0415 - an extra

        if self._replay_address is None:
            return
        self._replayed.clear()
        socket = self._socket(zmq.DEALER, self._replay_address)
        try:
            await socket.send_multipart(replay_request(first))
            while not ends_replay(frames := await self._repeated(socket)):
                message = [b"", *frames[-2:]]
                if self._take(message):
                    self._replayed[self._expected - 1] = hash(message[2])
        except TimeoutError:
            _log.warning("backend %s: cache events: no replay from %d on", self._name, first)
        finally:
            socket.close(linger=0)

    async def _repeated(self, socket: Any) -> Sequence[bytes]:
        async with asyncio.timeout(_REPLAY_PATIENCE):
            return await socket.recv_multipart()  # type: ignore[no-any-return]

    def _take(self, frames: Sequence[bytes]) -> bool:
        """Read a message, and hand its events on; whether it could be read."""
        try:
            number, events = read_message(frames)
        except MessageError as error:
            # The number that is missing then says that something was not understood.
            if str(error) != self._problem:
                _log.warning("backend %s: cache events: %s", self._name, error)
            self._problem = str(error)
            return False
        if self._problem or not self._heard:
            _log.info("backend %s: cache events are read", self._name)
        self._problem, self._heard = "", True
        self._expected = number + 1
        self._receive(number, events)
        return True
