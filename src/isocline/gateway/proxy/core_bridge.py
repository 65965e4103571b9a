"""Bridge between exchanges and one core: events to the core, its actions to exchanges.

A reload makes another bridge with another core; an exchange ends with the one it began with.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import final

from isocline.gateway.access_log import Access, AccessLog, Observer
from isocline.gateway.config import BackendAddress, ProxySettings
from isocline.gateway.core import notices
from isocline.gateway.core.actions import Action, Cause, Close, Reject, Send
from isocline.gateway.core.core import Core
from isocline.gateway.core.request_cost import Usage
from isocline.gateway.http.forwarded import Forwarded
from isocline.gateway.http.request_head import RequestHead
from isocline.gateway.proxy.connector import Connector
from isocline.gateway.proxy.exchange import Decider, Exchange
from isocline.gateway.proxy.matching import Matcher
from isocline.gateway.proxy.model_list import Directory
from isocline.gateway.proxy.token_ratios import TokenRatios

LoadReader = Callable[[bytes], int | None]
"""From the value of `endpoint-load-metrics` to jobs; None: it does not say."""


@final
class CoreBridge(Decider):
    """A core, its frontends' conditions, and the connections to its backends.

    Attributes:
        exchanges: Exchanges under way, by the core's number.
        connectors: The way to each backend.
    """

    def __init__(
        self,
        core: Core,
        settings: ProxySettings,
        observers: Sequence[Observer],
        read_load: LoadReader | None,
        clock: Callable[[], float],
        unix_time: Callable[[], float],
        before: "CoreBridge | None" = None,
        directory: Directory | None = None,
    ) -> None:
        """Initialise; connections to backends that stay the same are taken over from `before`.

        Raises:
            UsageError: A backend's certificates cannot be read; `before` is then as it was.
        """
        self.core = core
        self.clock = clock
        self.unix_time = unix_time
        self.directory = directory
        self.settings = settings
        self.sizes = settings.sizes
        self.times = settings.times
        self.matcher = Matcher(settings.frontends)
        self.exchanges: dict[int, Exchange] = {}
        self.token_ratios = TokenRatios() if before is None else before.token_ratios
        known: dict[BackendAddress, Connector] = {}
        if before is not None and _same_for_connections(before.settings, settings):
            known = {connector.address: connector for connector in before.connectors}
        self.connectors: list[Connector] = [
            known[address] if address in known else Connector(address, settings, clock)
            for address in settings.backends
        ]
        self._numbers = {address: number for number, address in enumerate(settings.backends)}
        self._carried = [0] * len(settings.backends)
        self._into: CoreBridge | None = None
        self._observers = tuple(observers)
        self._explains = settings.candidates and bool(observers)
        self._read_load = read_load

    def close_but(self, connectors: Iterable[Connector]) -> None:
        """Close all idle connections except those of `connectors`, which another bridge has now."""
        kept = set(connectors)
        for connector in self.connectors:
            if connector not in kept:
                connector.close()

    def carry(self, into: "CoreBridge", now: float) -> None:
        """Tell a later bridge's core the jobs in flight of this one, at the backends of both."""
        if into is not self._into:
            self._into, self._carried = into, [0] * len(self._carried)
        for backend, address in enumerate(self.settings.backends):
            number = into._numbers.get(address)
            more = self.core.in_flight(backend) - self._carried[backend]
            if number is None or not more:
                continue
            self._carried[backend] += more
            for jobs in [more] if more > 0 else [-1] * -more:  # one by one, as they were finished
                into.act(into.core.carried(number, now, jobs))

    # Events of exchanges

    def arrived(self, exchange: Exchange, frontend: int) -> None:
        core = self.core
        if self._explains:
            exchange.access.candidates = core.explain(frontend)
        action = core.arrived(self.clock(), frontend)
        exchange.number = action.request
        self.exchanges[action.request] = exchange
        self._act(action)

    def rewrite(self, backend: int, head: RequestHead, forwarded: Forwarded) -> bytes:
        return self.connectors[backend].rewrite(head, forwarded)

    def finished(
        self, number: int, now: float, latency_known: bool, status: int, usage: Usage | None
    ) -> None:
        del self.exchanges[number]
        actions = self.core.finished(number, now, latency_known, status, usage)
        if actions:
            self.act(actions)

    def failed(
        self, number: int, cause: Cause, *, sent: bool, idempotent: bool, started: bool
    ) -> None:
        self.act(
            self.core.failed(
                number, self.clock(), cause, sent=sent, idempotent=idempotent, started=started
            )
        )

    def turned_away(
        self, number: int, now: float, status: int, wait: float | None, *, again: bool
    ) -> list[Action]:
        return self.core.turned_away(number, now, status, wait, again=again)

    def cancelled(self, number: int) -> None:
        del self.exchanges[number]
        self.act(self.core.cancelled(number, self.clock()))

    def load(self, backend: int, value: bytes | None) -> None:
        if value is None or self.settings.backends[backend].reports == "ignore":
            return
        if self._read_load is not None:
            jobs = self._read_load(value)
            actions = None if jobs is None else self.core.reported(backend, self.clock(), jobs)
            if actions:
                self.act(actions)

    def observe(self, access: Access) -> None:
        for observer in self._observers:
            observer(access)

    def flush(self) -> None:
        """Flush the observers."""
        for observer in self._observers:
            if isinstance(observer, AccessLog):
                observer.flush()

    # Actions of the core

    def tick(self, now: float) -> None:
        """Do the core's due work."""
        if self.core.next_deadline() <= now:
            self.act(self.core.tick(now))

    def announce(self) -> None:
        """Log the core's notices."""
        fresh = self.core.take_notices()
        if fresh:
            notices.log(fresh, [address.name for address in self.settings.backends])

    def sweep(self, now: float) -> None:
        """Close connections to backends that have waited too long."""
        for connector in self.connectors:
            connector.sweep(now)

    def act(self, actions: Iterable[Action]) -> None:
        for action in actions:
            self._act(action)

    def _act(self, action: Action) -> None:
        if isinstance(action, Send):
            exchange = self.exchanges[action.request]
            exchange.send(action.backend, action.attempt)
            self.connectors[action.backend].connect(exchange, action.attempt, self.clock())
        elif isinstance(action, Reject):
            self.exchanges.pop(action.request).reject(action)
        elif isinstance(action, Close):
            self.exchanges.pop(action.request).break_off(action)
        # Hold: the exchange waits as it is.


def _same_for_connections(before: ProxySettings, after: ProxySettings) -> bool:
    """Whether connections opened for one address are right for the other."""
    return (
        before.sizes == after.sizes
        and before.times == after.times
        and bool(before.key_digests) == bool(after.key_digests)
    )
