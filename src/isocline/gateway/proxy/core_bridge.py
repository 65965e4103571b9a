"""Bridge between exchanges and one core: events to the core, its actions to exchanges.

A reload makes another bridge with another core (`bridges`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import final

from isocline.gateway.access_log import Access, Observer
from isocline.gateway.config import BackendAddress, ProxySettings
from isocline.gateway.core.actions import Action, Cause, Close, Reject, Send
from isocline.gateway.core.core import Core
from isocline.gateway.core.key_limits import Buckets, OwnBuckets
from isocline.gateway.core.model_memory import ModelCall
from isocline.gateway.core.request import PLAIN, Profile, Request
from isocline.gateway.core.request_cost import Usage
from isocline.gateway.http.forwarded import Forwarded
from isocline.gateway.http.grammar import BadMessageError
from isocline.gateway.http.request_head import RequestHead
from isocline.gateway.proxy.connector import Connector
from isocline.gateway.proxy.context_reader import context_reader_of
from isocline.gateway.proxy.exchange import Decider, Exchange
from isocline.gateway.proxy.key_limiter import KeyLimiter
from isocline.gateway.proxy.matching import Matcher
from isocline.gateway.proxy.model_list import Directory
from isocline.gateway.proxy.sharing import SharingReader
from isocline.gateway.proxy.token_ratios import TokenRatios

LoadReader = Callable[[bytes], int | None]
"""Returns the jobs that a value of `endpoint-load-metrics` reports; None: it reports none."""


@final
class CoreBridge(Decider):
    """A core, its frontends' conditions, and the connections to its backends.

    Attributes:
        exchanges: Exchanges under way, by the core's number.
        connectors: Connector of each backend.
        observers: Called with each finished request.
        make_calls: Carries out calls that load models; None: there are none.
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
        buckets: Buckets | None = None,
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
        self.context_reader = context_reader_of(settings)
        self.token_ratios = TokenRatios() if before is None else before.token_ratios
        opened: dict[BackendAddress, Connector] = {}
        if before is not None and _same_for_connections(before.settings, settings):
            opened = {connector.address: connector for connector in before.connectors}
        self.connectors: list[Connector] = [
            opened[address] if address in opened else Connector(address, settings, clock)
            for address in settings.backends
        ]
        self.observers = tuple(observers)
        rule = core.rules.sharing
        self._sharing = None if rule is None else SharingReader(rule)
        self._limiter: KeyLimiter | None = None
        if settings.key_limits:
            known = None if before is None else before._limiter
            self._limiter = KeyLimiter(settings.key_limits, buckets or OwnBuckets(), known)
        self._explains = settings.candidates and bool(observers)
        self._read_load = read_load
        self.make_calls: Callable[[list[tuple[int, ModelCall]]], None] | None = None

    @property
    def identities(self) -> Sequence[BackendAddress]:
        """Backends, in the order of their numbers."""
        return self.settings.backends

    def close_except(self, connectors: Iterable[Connector]) -> None:
        """Close all idle connections except those of `connectors`, which another bridge has now."""
        kept = set(connectors)
        for connector in self.connectors:
            if connector not in kept:
                connector.close()

    def take_over(self, exchange: Exchange, request: Request, frontend: int, now: float) -> None:
        """Have a request of an earlier bridge wait here."""
        exchange.decider = self
        exchange.number = 0
        access = exchange.access
        access.frontend, access.candidates = frontend, ()
        if exchange.prompt is not None and not self.settings.prompts:
            exchange.prompt = None
        profile = self._profile(exchange)
        if profile is None:
            return
        action = self.core.moved(request, now, frontend, profile)
        exchange.number = action.request
        self.exchanges[action.request] = exchange
        self._act(action)

    # Events of exchanges

    def arrived(self, exchange: Exchange, frontend: int) -> None:
        core = self.core
        limiter = self._limiter
        if (
            limiter is not None
            and exchange.access.key in limiter.names
            and not limiter.admits(exchange, self.clock())
        ):
            return
        trace = exchange.access.trace
        if self._explains or (trace is not None and trace.sampled):
            exchange.access.candidates = core.explain(frontend, exchange.prompt)
        profile = self._profile(exchange)
        if profile is None:
            return
        action = core.arrived(self.clock(), frontend, profile)
        exchange.number = action.request
        self.exchanges[action.request] = exchange
        self._act(action)

    def _profile(self, exchange: Exchange) -> Profile | None:
        """Read what the core has to know of a request; None if it was answered with an error."""
        reader = self._sharing
        model = exchange.access.model if self.settings.residency else ""
        if reader is None:
            plain = exchange.prompt is None and not model
            return PLAIN if plain else Profile(prompt=exchange.prompt, model=model)
        try:
            profile = reader.profile(exchange.head, exchange.access.key, exchange.prompt)
        except BadMessageError as error:
            exchange.reply_error(error.status, error.reason)
            return None
        exchange.access.priority, exchange.access.tenant = profile.priority, profile.tenant
        return replace(profile, model=model) if model else profile

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

    def model_missing(self, number: int, now: float, *, again: bool) -> list[Action]:
        return self.core.model_missing(number, now, again=again)

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
        if access.charge is not None and self._limiter is not None:
            self._limiter.settle(access, access.charge)
        for observer in self.observers:
            observer(access)

    # Actions of the core

    def sweep(self, now: float) -> None:
        """Close connections to backends that have waited too long."""
        for connector in self.connectors:
            connector.sweep(now)

    def act(self, actions: Iterable[Action]) -> None:
        for action in actions:
            self._act(action)
        self._begin_calls()

    def _begin_calls(self) -> None:
        """Carry out the calls that the core has for backends."""
        if self.make_calls is not None:
            calls = self.core.take_calls(self.clock())
            if calls:
                self.make_calls(calls)

    def _act(self, action: Action) -> None:
        if isinstance(action, Send):
            exchange = self.exchanges[action.request]
            exchange.send(action.backend, action.attempt)
            self.connectors[action.backend].connect(exchange, action.attempt, self.clock())
        elif isinstance(action, Reject):
            self.exchanges.pop(action.request).reject(action)
        elif isinstance(action, Close):
            self.exchanges.pop(action.request).break_off(action)
        else:
            if action.displaced is not None:
                self._act(action.displaced)
            self._begin_calls()


def _same_for_connections(before: ProxySettings, after: ProxySettings) -> bool:
    """Whether connections opened for one address are right for the other."""
    return (
        before.sizes == after.sizes
        and before.times == after.times
        and bool(before.key_digests) == bool(after.key_digests)
    )
