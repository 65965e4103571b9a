"""Bridges of a data plane: that of the settings in force, and those of earlier ones.

A reload makes another bridge with another core. A request ends with the bridge that has sent it to
a backend, whose jobs the cores of later ones count too; one that waits for its first backend goes
on to the later bridge.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar, final

from isocline.gateway.access_log import AccessLog, Observer
from isocline.gateway.config import ProxySettings
from isocline.gateway.core import notices
from isocline.gateway.core.actions import Action
from isocline.gateway.core.core import Core
from isocline.gateway.core.request import Request


class Bridge(Protocol):
    """Bridge between the requests of a data plane and one core.

    Attributes:
        core: The core.
        settings: Its settings.
        exchanges: Requests under way, by the core's number.
        observers: Called with each finished request.
    """

    core: Core
    settings: ProxySettings
    exchanges: dict[int, Any]
    observers: tuple[Observer, ...]

    @property
    def identities(self) -> Sequence[Hashable]:
        """What tells the backends apart, in their order: equal for the same one after a reload."""

    def act(self, actions: Iterable[Action]) -> None:
        """Carry out the core's actions."""

    def take_over(self, exchange: Any, request: Request, frontend: int, now: float) -> None:
        """Have a request that waited at an earlier bridge wait here."""


B = TypeVar("B", bound=Bridge)


@final
class _Carried:
    """Jobs of one bridge that a later one knows.

    Attributes:
        received: Jobs at each backend that earlier bridges have reported to this one.
        told: Jobs at each backend, received ones among them, that the later bridge knows.
        numbers: Number at the later bridge of each backend; None: it has it no more.
    """

    def __init__(self, backends: int) -> None:
        self.received = [0] * backends
        self.told = [0] * backends
        self.numbers: list[int | None] = []

    def aim(self, before: Sequence[Hashable], after: Sequence[Hashable]) -> None:
        """Report to another bridge from now on, which knows nothing yet."""
        numbers = {identity: number for number, identity in reversed(list(enumerate(after)))}
        self.numbers = [numbers.get(identity) for identity in before]
        self.told = list(self.received)


@final
class Bridges(Generic[B]):
    """The bridge in force, and earlier ones with requests under way.

    Attributes:
        current: The one in force.
        earlier: Earlier ones, the oldest first.
    """

    def __init__(self, first: B) -> None:
        self.current = first
        self.earlier: list[B] = []
        self._carried: dict[int, _Carried] = {id(first): _Carried(len(first.identities))}

    @property
    def all(self) -> list[B]:
        """The bridge in force, and the earlier ones."""
        return [self.current, *self.earlier]

    @property
    def in_flight(self) -> int:
        """Number of requests under way or held."""
        return sum(len(bridge.exchanges) for bridge in self.all)

    def replace(self, after: B, now: float) -> None:
        """Put another bridge in force."""
        announce(self.current)
        self.earlier.append(self.current)
        self.current = after
        self._carried[id(after)] = _Carried(len(after.identities))
        for bridge in self.earlier:
            self._carried[id(bridge)].aim(bridge.identities, after.identities)
        self._carry_over(now)
        for bridge in self.earlier:
            _hand_over(bridge, after, now)

    def tick(self, now: float) -> None:
        """Do what the cores have due, and log what the one in force has to say.

        Those before it decide about what they still hold alone.
        """
        for bridge in self.all:
            # Without actions, too: a core may have calls for its backends.
            bridge.act(bridge.core.tick(now) if bridge.core.next_deadline() <= now else ())
        self._carry_over(now)
        announce(self.current)

    def sweep(self) -> None:
        """Flush the access logs, and forget earlier bridges without requests."""
        self.flush()
        for bridge in [it for it in self.earlier if not it.exchanges]:
            self.earlier.remove(bridge)
            del self._carried[id(bridge)]

    def flush(self) -> None:
        """Flush the access logs."""
        for bridge in self.all:
            for observer in bridge.observers:
                if isinstance(observer, AccessLog):
                    observer.flush()

    def _carry_over(self, now: float) -> None:
        """Report the jobs of earlier bridges at backends of both to the core of the one in force.

        Those that a bridge before has reported there are not among them: it reports them itself.
        """
        into, known = self.current, self._carried[id(self.current)]
        for bridge in self.earlier:
            carried, jobs = self._carried[id(bridge)], bridge.core.workloads.own
            if jobs == carried.told:  # as a rule; there may be many bridges while streams go on
                continue
            for backend, number in enumerate(carried.numbers):
                more = jobs[backend] - carried.told[backend]
                carried.told[backend] += more
                if number is None or not more:
                    continue
                known.received[number] += more
                known.told[number] += more
                for each in [more] if more > 0 else [-1] * -more:  # one by one, as they finished
                    into.act(into.core.carried_over(number, now, each))


def announce(bridge: Bridge) -> None:
    """Log the notices of a bridge's core."""
    fresh = bridge.core.take_notices()
    if fresh:
        notices.log(fresh, [address.name for address in bridge.settings.backends])


def _hand_over(before: Bridge, into: Bridge, now: float) -> None:
    """Move requests that wait, and were not sent yet, to a later bridge.

    So they are sent to the backends that there are now. Those of a frontend that is gone, or for
    which no backend is up there, wait on where they are.
    """
    if not before.core.waiting_queue.total:
        return
    numbers = {rule.name: number for number, rule in enumerate(into.settings.frontends)}
    for frontend, rule in enumerate(before.settings.frontends):
        number = numbers.get(rule.name)
        if number is None or not before.core.held(frontend) or not into.core.takes_over(number):
            continue
        for request in before.core.release([frontend]):
            into.take_over(before.exchanges.pop(request.number), request, number, now)
