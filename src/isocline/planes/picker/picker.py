"""Endpoint picker: the data plane of `isocline serve` that answers data planes of others.

One process, one event loop; each stream of a gateway is one request. Several pickers share
nothing: each is a frontend in the sense of the GMSR paper, with its own counts and its backends'
reports.
"""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic, time
from typing import final

from isocline.errors import UsageError
from isocline.gateway.access_log import Observer
from isocline.gateway.config import ProxySettings
from isocline.gateway.core.core import Core
from isocline.gateway.core.key_limits import Buckets
from isocline.gateway.proxy.body_buffer import Total
from isocline.gateway.proxy.bridges import Bridges
from isocline.gateway.proxy.core_bridge import LoadReader
from isocline.gateway.proxy.model_list import Directory
from isocline.planes.picker.bridge import PickBridge
from isocline.planes.picker.endpoints import Endpoint
from isocline.planes.picker.pick import Pick
from isocline.planes.picker.service import Service

_DRAIN_STEP = 0.02  # s between two looks whether all is done
_TICK = 0.02  # s between two looks at what the core has due
_FLUSH = 1.0  # s between two writes of what observers keep


@final
class Streams:
    """Streams of data planes, as metrics read them in place of connections of clients.

    Attributes:
        connections: Picks under way.
        tunnels: None; a picker sees no upgraded connections.
        draining: Whether the picker is about to stop.
        refused: Number of streams refused as there were too many.
        bodies: Bytes of requests' bodies that are kept.
    """

    def __init__(self) -> None:
        self.connections: set[Pick] = set()
        self.tunnels: tuple[()] = ()
        self.draining = False
        self.refused = 0
        self.bodies = Total()


@final
class Picker:
    """Picker: listens, and answers with the endpoints that the core chooses.

    Attributes:
        clients: Streams under way.
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
        """Initialise, as `Proxy`; raises UsageError where a backend has no endpoint.

        A picker passes requests for the list of models on, and has no limits of keys: `directory`
        and `buckets` are not used.
        """
        del directory, buckets
        self.clock = clock
        self._unix_time = unix_time
        self._read_load = read_load
        self._observers = tuple(observers)
        self.clients = Streams()
        self._bridges = Bridges(PickBridge(core, settings, observers, read_load, clock, unix_time))
        self.addresses: list[tuple[str, str, int]] = []
        self._service = Service(self.begin, self.end)
        self._timer: asyncio.TimerHandle | None = None
        self._next_flush = 0.0  # s

    @property
    def in_flight(self) -> int:
        """Number of requests under way or held."""
        return self._bridges.in_flight

    @property
    def bridge(self) -> PickBridge:
        """Bridge to the core in force."""
        return self._bridges.current

    @property
    def settings(self) -> ProxySettings:
        """Settings for new requests."""
        return self.bridge.settings

    @property
    def connectors(self) -> Sequence[Endpoint]:
        """Endpoints of the backends, in their order."""
        return self.bridge.endpoints.all

    async def start(self, reuse_port: bool = False) -> None:
        """Listen; raises UsageError if the address of a listener is not available."""
        del reuse_port  # a picker is one process
        self.addresses = await self._service.start(self.settings.listeners)
        self._tick()

    def replace(
        self,
        core: Core,
        settings: ProxySettings,
        observers: Sequence[Observer] | None = None,
        directory: Directory | None = None,
    ) -> None:
        """Use another core and other settings for requests that come from now on.

        Raises:
            UsageError: A listener has changed, or a backend has no endpoint; nothing has changed.
        """
        del directory
        if settings.listeners != self.settings.listeners:
            raise UsageError("listeners cannot change while running; restart to change them")
        watching = self._observers if observers is None else tuple(observers)
        clocks = self.clock, self._unix_time
        after = PickBridge(core, settings, watching, self._read_load, *clocks, self.bridge)
        self._observers = watching
        self._bridges.replace(after, self.clock())

    async def stop(self, grace: float) -> None:
        """Take no more requests, let those under way end within `grace` s, then break them off."""
        self.clients.draining = True
        self._service.ready(self._ready)
        end = self.clock() + grace
        while self.clients.connections and self.clock() < end:
            await asyncio.sleep(_DRAIN_STEP)
        await self._service.stop()
        if self._timer is not None:
            self._timer.cancel()
        self._bridges.flush()

    # Streams

    def begin(self, listener: str, wake: Callable[[], None]) -> Pick | None:
        """Begin a pick on a new stream; None if there are too many."""
        clients = self.clients
        if len(clients.connections) >= self.settings.sizes.connections:
            clients.refused += 1
            return None
        pick = Pick(self.bridge, listener, clients.bodies, wake)
        clients.connections.add(pick)
        return pick

    def end(self, pick: Pick) -> None:
        """End a pick with its stream."""
        self.clients.connections.discard(pick)
        pick.gone()

    # Time

    def _tick(self) -> None:
        now = self.clock()
        self._bridges.tick(now)
        self._service.ready(self._ready)
        if now >= self._next_flush:
            self._next_flush = now + _FLUSH
            self._bridges.sweep()
        self._timer = asyncio.get_running_loop().call_later(_TICK, self._tick)

    @property
    def _ready(self) -> bool:
        """Whether there are backends to choose from, and the picker is not about to stop."""
        return bool(self.settings.backends) and not self.clients.draining
