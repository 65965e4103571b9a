"""The built-in data plane: listeners, connections, clocks; one process, one event loop."""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic, time
from typing import final

from isocline.errors import UsageError
from isocline.gateway.access_log import Observer
from isocline.gateway.config import ProxySettings
from isocline.gateway.core.core import Core
from isocline.gateway.core.key_limits import Buckets, OwnBuckets
from isocline.gateway.proxy.bridges import Bridges
from isocline.gateway.proxy.client_connection import ClientConnection, Clients
from isocline.gateway.proxy.connector import Connector
from isocline.gateway.proxy.core_bridge import CoreBridge, LoadReader
from isocline.gateway.proxy.model_list import Directory

_BACKLOG = 4096  # connections the kernel keeps until they are accepted
_DRAIN_STEP = 0.02  # s between two looks whether all is done
_TICK = 0.02  # s between two looks at what the core has due
_LOOKS = 10  # in the shortest limit on time: so much too late may one end, in parts of it


@final
class Proxy:
    """Proxy: listens, and sends requests to the backends that the core chooses.

        proxy = Proxy(core, settings)
        await proxy.start()
        ...
        await proxy.stop(grace=30.0)

    Attributes:
        clients: Client connections, and what they share.
        addresses: (listener's name, host, port) of each, once started.
    """

    def __init__(
        self,
        core: Core,
        settings: ProxySettings,
        observers: Sequence[Observer] = (),
        read_load: LoadReader | None = None,
        clock: Callable[[], float] = monotonic,
        unix_time: Callable[[], float] = time,
        directory: Directory | None = None,
        buckets: Buckets | None = None,
    ) -> None:
        """Initialise; raises UsageError if a certificate cannot be used.

        Args:
            core: Its frontends and backends are numbered as in `settings`.
            settings: Settings of the data plane.
            observers: Called with each request's Access at its end; an AccessLog is also flushed.
            read_load: Parser of load reports in responses.
            clock: Seconds of a clock that does not go back; the core's times are of this clock.
            unix_time: Seconds since 1970, with which dates in Retry-After are compared.
            directory: Models of the backends; None: `/v1/models` is routed as any other request.
            buckets: Buckets of the limits of keys; None: of this process alone.
        """
        self.clock = clock
        self._unix_time = unix_time
        self._buckets: Buckets = OwnBuckets() if buckets is None else buckets
        first = CoreBridge(
            core,
            settings,
            observers,
            read_load,
            clock,
            unix_time,
            directory=directory,
            buckets=self._buckets,
        )
        self._bridges = Bridges(first)
        self.clients = Clients(settings, first, clock)
        self.addresses: list[tuple[str, str, int]] = []
        self._observers = tuple(observers)
        self._read_load = read_load
        self._contexts = [tls and tls.context() for tls in (at.tls for at in settings.listeners)]
        self._servers: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None
        self._next_sweep = 0.0  # s

    @property
    def in_flight(self) -> int:
        """Number of requests under way or held, tunnels included."""
        return self._bridges.in_flight

    @property
    def bridge(self) -> CoreBridge:
        """Bridge to the core in force."""
        return self._bridges.current

    @property
    def settings(self) -> ProxySettings:
        """Settings for new requests."""
        return self.clients.settings

    @property
    def connectors(self) -> Sequence[Connector]:
        """Connectors of the backends, in their order."""
        return self.bridge.connectors

    async def start(self, reuse_port: bool = False) -> None:
        """Listen. With `reuse_port` several processes share each port (`--workers`).

        Raises:
            UsageError: The address of a listener is not available.
        """
        loop = asyncio.get_running_loop()
        self.clients.hang_ups.start(loop)
        for listener, context in zip(self.settings.listeners, self._contexts, strict=True):
            try:
                server = await loop.create_server(
                    lambda name=listener.name: ClientConnection(self.clients, name),
                    listener.host,
                    listener.port,
                    ssl=context,
                    backlog=_BACKLOG,
                    reuse_port=reuse_port or None,
                )
            except OSError as error:
                await self.stop(0.0)
                raise UsageError(
                    f"listener {listener.name}: cannot listen on {listener.host}:{listener.port}: "
                    f"{error.strerror or error}; give another port, or stop what listens there"
                ) from error
            self._servers.append(server)
            host, port = server.sockets[0].getsockname()[:2]
            self.addresses.append((listener.name, host, port))
        self._tick()

    def replace(
        self,
        core: Core,
        settings: ProxySettings,
        observers: Sequence[Observer] | None = None,
        directory: Directory | None = None,
    ) -> None:
        """Use another core and other settings for requests that come from now on.

        Listeners stay, and so do observers if none are given; given ones observe the new requests,
        whose numbers they use.

        Raises:
            UsageError: A certificate cannot be used; nothing has changed then.
        """
        if settings.listeners != self.settings.listeners:
            raise UsageError("listeners cannot change while running; restart to change them")
        for listener, context in zip(settings.listeners, self._contexts, strict=True):
            if listener.tls and context:
                listener.tls.load(context)  # which may have been renewed
        before = self.bridge
        watching = self._observers if observers is None else tuple(observers)
        after = CoreBridge(
            core,
            settings,
            watching,
            self._read_load,
            self.clock,
            self._unix_time,
            before,
            directory,
            self._buckets,
        )
        before.close_except(after.connectors)
        self._observers = watching
        self.clients.use(settings, after)
        self._bridges.replace(after, self.clock())

    async def stop(self, grace: float) -> None:
        """Take no more requests, let those under way end within `grace` s, then break them off."""
        clients = self.clients
        clients.draining = True
        for server in self._servers:
            server.close()
        for connection in [it for it in clients.connections if it.exchange is None]:
            connection.close()
        end = self.clock() + grace
        while (self.in_flight or clients.connections) and self.clock() < end:
            await asyncio.sleep(_DRAIN_STEP)
        for connection in list(clients.connections):
            connection.abort()
        for tunnel in list(clients.tunnels):
            tunnel.close()
        for bridge in self._bridges.all:
            bridge.close_except(())
        await asyncio.sleep(0)  # the loop tells the connections that they are gone
        self.clients.hang_ups.close(asyncio.get_running_loop())
        if self._timer is not None:
            self._timer.cancel()
        self._bridges.flush()

    # Time. Each connection and each exchange knows until when its next step has to happen, which
    # costs a store where it changes; now and then all are looked at, at 50 ns each. A timer of the
    # event loop for each step would cost several us of each request.

    def _tick(self) -> None:
        now = self.clock()
        self._bridges.tick(now)
        if now >= self._next_sweep:
            self._sweep(now)
            self._next_sweep = now + self.settings.times.shortest / _LOOKS
        self._timer = asyncio.get_running_loop().call_later(_TICK, self._tick)

    def _sweep(self, now: float) -> None:
        self.clients.sweep(now)
        for bridge in self._bridges.all:
            bridge.sweep(now)
        self._bridges.sweep()
