"""An emulated server on a socket."""

import asyncio
import signal
from collections.abc import Callable
from typing import final

import uvloop

from isocline.emulator.engine import Engine
from isocline.emulator.http import Connection
from isocline.emulator.settings import Settings
from isocline.errors import UsageError
from isocline.event_loop.clock import SYSTEM_CLOCK, Clock
from isocline.event_loop.listener import Listener


@final
class Emulator:
    """A server that listens; `port` is the one it got."""

    def __init__(self, engine: Engine, listener: Listener, connections: set[Connection]) -> None:
        self.engine = engine
        self.port = listener.port
        self._listener = listener
        self._connections = connections

    async def close(self) -> None:
        """Stop listening, and break off what is under way."""
        self._listener.close()
        for connection in list(self._connections):
            connection.close()
        self.engine.close()
        await asyncio.sleep(0)  # so that closed connections leave before the loop does


async def start(
    settings: Settings, host: str = "127.0.0.1", port: int = 0, clock: Clock = SYSTEM_CLOCK
) -> Emulator:
    """Listen; port 0 takes a free one.

    Raises:
        UsageError: The address cannot be listened on.
    """
    engine = Engine(settings, clock)
    connections: set[Connection] = set()
    try:
        listener = await Listener.open(lambda: Connection(engine, connections), host, port)
    except OSError as error:
        engine.close()
        problem = error.strerror or error
        raise UsageError(
            f"{host}:{port} cannot be listened on ({problem}); give another HOST:PORT"
        ) from None
    return Emulator(engine, listener, connections)


def run(settings: Settings, host: str, port: int, listening: Callable[[int], None]) -> None:
    """Serve until SIGINT or SIGTERM; `listening` is called with the port.

    Raises:
        UsageError: The address cannot be listened on.
    """
    uvloop.run(_run(settings, host, port, listening))


async def _run(settings: Settings, host: str, port: int, listening: Callable[[int], None]) -> None:
    emulator = await start(settings, host, port)
    stop = asyncio.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    listening(emulator.port)
    await stop.wait()
    await emulator.close()
