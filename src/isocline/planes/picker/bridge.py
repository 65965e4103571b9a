"""Bridge between picks and one core: events to the core, its actions to picks.

As `gateway.proxy.core_bridge` is for the router's own connections. A reload makes another bridge
with another core (`gateway.proxy.bridges`).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import final

from isocline.gateway.access_log import Access, Observer
from isocline.gateway.config import ProxySettings
from isocline.gateway.core.actions import Action, Close, Reject, Send
from isocline.gateway.core.core import Core
from isocline.gateway.core.request import Request
from isocline.gateway.core.request_cost import Usage
from isocline.gateway.http.grammar import BadMessageError
from isocline.gateway.http.request_head import RequestHead
from isocline.gateway.proxy.context_reader import context_reader_of
from isocline.gateway.proxy.core_bridge import LoadReader
from isocline.gateway.proxy.matching import Matcher
from isocline.gateway.proxy.sharing import SharingReader
from isocline.gateway.proxy.token_ratios import TokenRatios
from isocline.planes.picker import protocol
from isocline.planes.picker.endpoints import Endpoints
from isocline.planes.picker.pick import Decider, Pick


@final
class PickBridge(Decider):
    """A core, its frontends' conditions and its backends' endpoints.

    Attributes:
        exchanges: Picks under way, by the core's number.
        observers: Called with each finished request.
    """

    def __init__(
        self,
        core: Core,
        settings: ProxySettings,
        observers: Sequence[Observer],
        read_load: LoadReader | None,
        clock: Callable[[], float],
        unix_time: Callable[[], float],
        before: "PickBridge | None" = None,
    ) -> None:
        """Initialise; raises UsageError where a backend has no endpoint."""
        self.core = core
        self.settings = settings
        self.clock = clock
        self.unix_time = unix_time
        self.matcher = Matcher(settings.frontends)
        self.endpoints = Endpoints(settings.backends)
        self.exchanges: dict[int, Pick] = {}
        self.context_reader = context_reader_of(settings)
        self.token_ratios = TokenRatios() if before is None else before.token_ratios
        rule = core.rules.sharing
        self.sharing = None if rule is None else SharingReader(rule)
        self._choices = protocol.Choices()
        self.observers = tuple(observers)
        self._explains = settings.candidates and bool(observers)
        self._read_load = read_load

    @property
    def identities(self) -> Sequence[str]:
        """Endpoints, in the order of their numbers."""
        return [endpoint.text for endpoint in self.endpoints.all]

    # Events of picks

    def only(self, head: RequestHead, subset: Iterable[str] | None) -> frozenset[int] | None:
        among = self.endpoints.among(subset)
        if self.settings.picker.conformance:
            wanted = head.get(protocol.TEST_SELECTION)
            if wanted is not None:
                chosen = self.endpoints.at(wanted.decode("latin-1").split(","))
                among = chosen if among is None else among & chosen
        return among

    def arrived(self, pick: Pick, frontend: int) -> None:
        core, profile = self.core, pick.profile()
        trace = pick.access and pick.access.trace
        if pick.access and (self._explains or (trace is not None and trace.sampled)):
            pick.access.candidates = core.explain(frontend, pick.prompt, pick.only)
        self._begin(pick, core.arrived(self.clock(), frontend, profile))

    def finished(self, number: int, now: float, status: int, usage: Usage | None) -> None:
        del self.exchanges[number]
        self.act(self.core.finished(number, now, status > 0, status or 200, usage))

    def turned_away(self, number: int, now: float, status: int, wait: float | None) -> None:
        self.act(self.core.turned_away(number, now, status, wait, again=False))

    def sent_on(self, number: int, backend: int) -> bool:
        try:
            self.act(self.core.sent_on(number, backend, self.clock()))
        except KeyError:
            return False
        return True

    def cancelled(self, number: int) -> None:
        del self.exchanges[number]
        self.act(self.core.cancelled(number, self.clock()))

    def load(self, backend: int, value: bytes | None) -> None:
        if value is None or self._read_load is None:
            return
        jobs = self._read_load(value)
        if jobs is not None and self.settings.backends[backend].reports != "ignore":
            self.act(self.core.reported(backend, self.clock(), jobs))

    def observe(self, access: Access) -> None:
        for observer in self.observers:
            observer(access)

    def choice(self, pick: Pick, backend: int) -> bytes:
        endpoints, most = self.endpoints.all, self.settings.picker.endpoints
        names = [endpoints[backend].text]
        if most > 1 and pick.access is not None:
            scored = self.core.explain(pick.access.frontend, pick.prompt, pick.only)
            others = sorted(scored, key=lambda candidate: candidate[2])
            names += [endpoints[b].text for b, _, _ in others if b != backend][: most - 1]
        choice = ",".join(names), endpoints[backend].asks
        added, removed = pick.context_for(backend)
        if added or removed:
            return protocol.chosen(*choice, added, removed)
        return self._choices[choice]

    # Actions of the core

    def act(self, actions: Iterable[Action]) -> None:
        """Carry out the core's actions."""
        for action in actions:
            self._act(action)

    def _begin(self, pick: Pick, action: Action) -> None:
        pick.number = action.request
        self.exchanges[action.request] = pick
        self._act(action)

    def _act(self, action: Action) -> None:
        if isinstance(action, Send):
            self.exchanges[action.request].choose(action.backend, action.attempt)
        elif isinstance(action, Reject):
            self.exchanges.pop(action.request).reject(action)
        elif not isinstance(action, Close) and action.displaced is not None:
            self._act(action.displaced)

    # Reloads

    def take_over(self, pick: Pick, request: Request, frontend: int, now: float) -> None:
        """Have a request that waited at an earlier bridge wait here."""
        pick.moved(self, frontend)
        try:
            profile = pick.profile()
        except BadMessageError as error:  # by a rule that the reload brings
            pick.refuse(error.status, error.reason)
        else:
            self._begin(pick, self.core.moved(request, now, frontend, profile))
