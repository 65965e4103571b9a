"""Merger: answers of sources in, sets of endpoints for service out; time is an argument.

    merger = Merger({"gpu": 30.0})
    merger.found("gpu", endpoints, now)
    if merger.due() <= now: found = merger.take(now)      # None: nothing to change

Each change costs the router a new core, so three kinds of hasty change are filtered out:

- *Debounce*: a change waits until `SETTLE` s pass without another, for at most `LONGEST` s, so that
  a rollout of many servers makes a few changes.
- *Doubt*: an empty answer after a non-empty one is accepted only once it has lasted for the time
  set for the source, since a zone or a list may be empty for a moment while it is written.
- *Flapping*: each departure costs an endpoint a penalty of 1, which halves every `HALF_LIFE` s. An
  endpoint that returns with `WITHHOLD` or more is withheld until its penalty is down to `READMIT`
  (route flap damping, RFC 2439). At least half of a source's endpoints are never withheld: if all
  of them flap, the fault is the source's, and waiting would not help.

An endpoint that leaves is removed without delay except for the debounce, as requests to it fail.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from isocline.model.endpoint import Endpoint, Found

SETTLE, LONGEST = 0.1, 1.0  # s
# About four departures in half a minute; after 30 s log2(3) = 48 s of quiet it is readmitted.
HALF_LIFE, WITHHOLD, READMIT = 30.0, 3.0, 1.0
_HIGHEST = 8.0  # greatest penalty: none is withheld for more than 30 s log2(8) = 90 s
_FORGOTTEN = 0.1  # penalty below which a record is dropped


@final
@dataclass
class _Flaps:
    """Penalty of an endpoint that has left before."""

    penalty: float = 0.0
    since: float = 0.0  # s, time at which `penalty` was computed
    withheld: bool = False

    def at(self, now: float) -> float:
        """Return the penalty now."""
        return self.penalty * math.exp2((self.since - now) / HALF_LIFE)

    def left(self, now: float) -> None:
        self.penalty, self.since = min(self.at(now) + 1.0, _HIGHEST), now

    @property
    def until(self) -> float:
        """Time at which the endpoint is readmitted, s."""
        return self.since + HALF_LIFE * max(math.log2(self.penalty / READMIT), 0.0)


@final
@dataclass
class _Answers:
    """Answers of one source.

    Attributes:
        doubt: Time for which an empty answer is in doubt, s.
        last: Endpoints of the last answer, by name.
        kept: Endpoints of the last non-empty answer, while an empty one is in doubt.
        doubted: Time at which the doubt ends, s.
        flaps: Penalties by name.
    """

    doubt: float
    last: dict[str, Endpoint] = field(default_factory=dict)
    kept: dict[str, Endpoint] = field(default_factory=dict)
    doubted: float = -math.inf
    flaps: dict[str, _Flaps] = field(default_factory=dict)

    def replace(self, endpoints: Iterable[Endpoint], now: float) -> bool:
        """Record an answer; returns whether it differs from the last one."""
        answer: dict[str, Endpoint] = {}
        for endpoint in endpoints:
            answer.setdefault(endpoint.name, endpoint)
        if answer == self.last:
            return False
        before = self.last or self.kept
        if not answer and self.doubt > 0.0:
            self.kept, self.doubted = before, now + self.doubt
        else:
            for name in before.keys() - answer.keys():
                self.flaps.setdefault(name, _Flaps(since=now)).left(now)
            self.kept, self.doubted = {}, -math.inf
            for name in answer.keys() - self.last.keys():
                self._came(name, now)
        self.last = answer
        self.flaps = {name: it for name, it in self.flaps.items() if it.at(now) > _FORGOTTEN}
        return True

    def settle(self, now: float) -> None:
        """End doubt and withholding whose time is over."""
        if self.kept and now >= self.doubted:
            for name in self.kept:
                self.flaps.setdefault(name, _Flaps(since=now)).left(now)
            self.kept = {}
        for it in self.flaps.values():
            it.withheld = it.withheld and now < it.until

    def present(self) -> tuple[Endpoint, ...]:
        """Return the endpoints for service, sorted by name."""
        answer = self.last or self.kept
        withheld = sorted(
            (name for name in answer if name in self.flaps and self.flaps[name].withheld),
            key=lambda name: (self.flaps[name].until, name),
        )
        out = set(withheld[max(len(withheld) - len(answer) // 2, 0) :])
        return tuple(answer[name] for name in sorted(answer.keys() - out))

    def next_end(self) -> float:
        """Return the next time at which `settle` has work, s; inf if never."""
        ends = [it.until for name, it in self.flaps.items() if it.withheld and name in self.last]
        return min([self.doubted, *ends] if self.kept else ends, default=math.inf)

    def _came(self, name: str, now: float) -> None:
        flaps = self.flaps.get(name)
        if flaps is not None and flaps.at(now) >= WITHHOLD:
            flaps.withheld = True


@final
class Merger:
    """Decides on the endpoints of all sources, and on when they change."""

    def __init__(self, doubts: Mapping[str, float], found: Found | None = None) -> None:
        """Initialise.

        Args:
            doubts: Time for which an empty answer is in doubt, s, by name of the source.
            found: Endpoints already in service.
        """
        self._sources = {name: _Answers(doubt) for name, doubt in doubts.items()}
        for name, endpoints in (found or {}).items():
            if name in self._sources:
                self._sources[name].replace(endpoints, 0.0)
        self._taken = self._present()
        self._first = self._latest = math.inf  # s, of the changes since `take`

    @property
    def found(self) -> Found:
        """Endpoints of the last `take`, without sources that have none."""
        return self._taken

    def use(self, doubts: Mapping[str, float], now: float) -> None:
        """Replace the sources; answers of those that remain are kept."""
        before = self._sources
        self._sources = {name: before.get(name) or _Answers(it) for name, it in doubts.items()}
        for name, doubt in doubts.items():
            self._sources[name].doubt = doubt
        if before.keys() != self._sources.keys():
            self._changed(now)

    def answered(self, source: str, endpoints: Sequence[Endpoint], now: float) -> None:
        """Record all present endpoints of a source; a source not in use is ignored."""
        answers = self._sources.get(source)
        if answers is not None and answers.replace(endpoints, now):
            self._changed(now)

    def due(self) -> float:
        """Return the next time at which `take` has work, s; inf if never."""
        ends = (answers.next_end() for answers in self._sources.values())
        return min(self._latest + SETTLE, self._first + LONGEST, *ends)

    def take(self, now: float) -> Found | None:
        """Return the endpoints for service from now on; None if they have not changed."""
        if now < self.due():
            return None
        self._first = self._latest = math.inf
        for answers in self._sources.values():
            answers.settle(now)
        present = self._present()
        if present == self._taken:
            return None
        self._taken = present
        return present

    def _changed(self, now: float) -> None:
        self._first, self._latest = min(self._first, now), now

    def _present(self) -> dict[str, tuple[Endpoint, ...]]:
        present = ((name, answers.present()) for name, answers in self._sources.items())
        return {name: endpoints for name, endpoints in present if endpoints}
