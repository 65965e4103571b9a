"""An event loop whose network is memory and whose time is virtual: no socket, no sleep.

What is written arrives at the other end in a later turn of the loop, so an example of a fuzzer
takes a millisecond, and the same bytes in the same pieces give the same again. Where nothing is
left to do, time leaps to the next timer: a limit of ten minutes is over at once.
"""

import asyncio
import selectors
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from types import SimpleNamespace
from typing import Any

Factory = Callable[[], asyncio.Protocol]
_QUIET = 8  # turns in which nothing moved, until all is done; opening a connection takes four


class Wire(asyncio.Transport):
    """One end of a connection."""

    def __init__(self, loop: "MemoryLoop") -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self._loop = loop
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        self._protocol: asyncio.BaseProtocol
        self._other: Wire
        self._paused = self._closing = self._lost = False
        self._inbox: deque[Callable[[], None]] = deque()  # what came, in its order

    def join(self, other: "Wire", protocol: asyncio.BaseProtocol) -> None:
        self._other, self._protocol = other, protocol

    # What a protocol may ask

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`socket` is one from which nothing comes but the end, for who asks the kernel."""
        if name != "socket":
            return super().get_extra_info(name, default)
        if self._sockets is None:
            self._sockets = socket.socketpair()
        return self._sockets[0]

    def write(self, data: Any) -> None:
        self._send(self._other.data, bytes(data))

    def write_eof(self) -> None:
        self._send(self._other.eof)

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        if not self._closing:
            self._send(self._other.eof)
            self._send(self._other.lose)
            self._other.hang_up()
            self._closing = True
            self._loop.call_soon(self.lose)

    abort = close

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._loop.call_soon(self._read)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    # What happens to it

    def data(self, data: bytes) -> None:
        if not self._closing:
            self._protocol.data_received(data)  # type: ignore[attr-defined]

    def eof(self) -> None:
        if not self._closing and not self._protocol.eof_received():  # type: ignore[attr-defined]
            self.close()

    def lose(self) -> None:
        if not self._lost:
            self._lost = self._closing = True
            self._protocol.connection_lost(None)
            for own in self._sockets or ():
                own.close()

    def hang_up(self) -> None:
        """The other end has closed, and the kernel knows it before what it sent has been read."""
        if self._sockets is not None:
            self._sockets[1].close()

    def _send(self, event: Callable[..., None], *arguments: bytes) -> None:
        if not self._closing:
            self._loop.call_soon(self._other.arrive, partial(event, *arguments))

    def arrive(self, event: Callable[[], None]) -> None:
        self._inbox.append(event)
        self._read()

    def _read(self) -> None:
        while self._inbox and (self._closing or not self._paused):
            self._loop.moved += 1
            self._inbox.popleft()()


class _Leap(selectors.DefaultSelector):
    """Waits for nothing: the time that a loop would wait has passed at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0  # s

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if not events:
            assert timeout is not None, "no timer, and nothing that could happen before"
            self.now += timeout
        return events


class MemoryLoop(asyncio.SelectorEventLoop):
    """Servers and connections of this loop know only each other; a port is a server's number.

    `time` is virtual, and a proxy's clock: `Proxy(..., clock=loop.time)`.

    Attributes:
        moved: Events that have arrived at an end of a connection.
    """

    def __init__(self) -> None:
        self._leap = _Leap()
        super().__init__(self._leap)
        self.moved = 0
        self._servers: dict[int, Factory] = {}

    def time(self) -> float:
        return self._leap.now

    def stand_still(self, seconds: float) -> None:
        """Let time pass in which nothing is done, as where the machine is busy."""
        self._leap.now += seconds

    async def create_server(self, protocol_factory: Factory, *_: Any, **__: Any) -> Any:  # type: ignore[override]
        port = len(self._servers) + 1
        self._servers[port] = protocol_factory
        own = SimpleNamespace(getsockname=lambda: ("127.0.0.1", port))
        return SimpleNamespace(sockets=[own], close=lambda: self._servers.pop(port))

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Factory, _: str = "", port: int = 0, **__: Any
    ) -> Any:
        if port not in self._servers:
            raise ConnectionRefusedError(port)
        near, far = protocol_factory(), self._servers[port]()
        ends = Wire(self), Wire(self)
        ends[0].join(ends[1], near)
        ends[1].join(ends[0], far)
        far.connection_made(ends[1])
        near.connection_made(ends[0])
        return ends[0], near

    async def settled(self) -> None:
        """All that was written has been dealt with."""
        still = 0
        while still < _QUIET:
            before = self.moved
            await asyncio.sleep(0)
            still = still + 1 if self.moved == before else 0


def memory_loop() -> MemoryLoop:
    """The running one."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, MemoryLoop)
    return loop


def run_in_memory(scenario: Coroutine[Any, Any, None]) -> None:
    """Run it on a loop of its own; no exception may end in the loop."""
    wrong: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=MemoryLoop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: wrong.append(context))
        runner.run(scenario)
    assert wrong == []
