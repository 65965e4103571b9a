"""Recorder of a router: counts its requests as an observer, and reads the rest off the core.

    recorder = Recorder(system, settings, "gmsr")
    proxy = Proxy(core, settings, [recorder.observer])
    ...
    snapshot = recorder.snapshot(core, monotonic(), proxy)

Only values that cannot be read later are counted.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple, final

from isocline.gateway.access_log import Access
from isocline.gateway.config import ProxySettings
from isocline.gateway.core.core import Core
from isocline.gateway.metrics.collect import LiveProxy, Opened, snapshot_of, usage_now
from isocline.gateway.metrics.counters import Counters, KeyCounters
from isocline.gateway.metrics.failure_reasons import cause_of
from isocline.gateway.metrics.snapshot import BackendSnapshot, Pair, Snapshot, added, merged
from isocline.model.fleet import RoutingSystem

GONE = "(gone)"
"""Stands for all backends that went long ago: pods of a cluster have new names without end."""
KEPT = 500
"""Backends that are gone and have counts of their own."""
_BATCH = 64  # requests, as code that has just run runs twice as fast: 0.1 ms at a time


class _Numbering(NamedTuple):
    """Numbers of the frontends and backends of a core. The number -1, for none, comes last."""

    system: RoutingSystem
    settings: ProxySettings
    frontends: list[str]
    backends: list[str]
    cells: list[list[Counters | None]]  # [frontend][backend]


@final
class CoreObserver:
    """Observer of the requests of one core, whose numbers they have, until the last of them ends.

    Between reloads it counts requests in batches, and after its core's own reload one by one.
    """

    def __init__(self, recorder: "Recorder", numbering: _Numbering) -> None:
        self.numbering = numbering
        self._recorder = recorder
        self._waiting: list[Access] = []
        self._batch = _BATCH

    def __call__(self, access: Access) -> None:
        self._waiting.append(access)
        if len(self._waiting) >= self._batch:
            self.flush()

    def flush(self) -> None:
        """Count the buffered requests."""
        self._recorder.count(self.numbering, self._waiting)
        self._waiting.clear()

    def superseded(self) -> None:
        """Buffer nothing from now on: nobody knows when the last request comes."""
        self.flush()
        self._batch = 1


@final
class Recorder:
    """Recorder of one process, from its start through all its reloads.

    Attributes:
        observer: Observer of the requests of the present core.
    """

    def __init__(self, system: RoutingSystem, settings: ProxySettings, policy: str) -> None:
        """Initialise; frontends and backends are numbered as in `system` and in `settings`."""
        self._policy = policy
        self._cells: dict[tuple[str, str], Counters] = {}
        self._keys: dict[str, KeyCounters] = {}  # by name; only those of the file are let in
        self._failures: dict[str, Counter[str]] = {}  # of attempts, by backend and cause
        self._opened = Opened()
        self._before = Snapshot()  # what cores before this one have counted
        self._left: dict[str, None] = {}  # backends that are gone, in the order in which they went
        self.observer = self.observer_of(system, settings)

    def observer_of(self, system: RoutingSystem, settings: ProxySettings) -> CoreObserver:
        """Make an observer for a core whose frontends and backends are numbered as in these."""
        return CoreObserver(self, _numbering(system, settings))

    def count(self, numbering: _Numbering, requests: Iterable[Access]) -> None:
        """Count requests that have these numbers."""
        for access in requests:
            cell = numbering.cells[access.frontend][access.backend]
            if cell is None:
                cell = self._cell(numbering, access.frontend, access.backend)
            cell.add(access)
            if access.key:
                key = self._keys.get(access.key)
                if key is None:
                    key = self._keys[access.key] = KeyCounters()
                key.add(access)
            if access.failures:
                self._fail(numbering, access)

    def reloaded(self, before: Core, now: float, observer: CoreObserver, policy: str) -> None:
        """Switch to another core; counts go on, by name.

        Call it together with `Proxy.replace`, without an await between.

        Args:
            before: The core until now, whose requests under way go on to its own observer.
            now: s of the monotonic clock.
            observer: Of the new core.
            policy: Name of the new one.
        """
        past = self.observer.numbering
        counted = snapshot_of(before, past.system, past.settings, now).counted()
        self._before = merged([self._before, counted])
        self.observer.superseded()
        self.observer = observer
        self._policy = policy
        present = set(observer.numbering.backends)
        left = dict.fromkeys(name for name in past.backends if name not in present)
        self._left = {it: None for it in self._left if it not in present} | left
        for name in list(self._left)[: max(len(self._left) - KEPT, 0)]:
            del self._left[name]
            self._fold(name)

    def snapshot(self, core: Core, now: float, proxy: LiveProxy | None = None) -> Snapshot:
        """Snapshot at `now`, s of the monotonic clock.

        Args:
            core: The one that decides now.
            now: The time.
            proxy: For its connections; None: they count as 0.
        """
        self.observer.flush()
        numbering = self.observer.numbering
        live = snapshot_of(core, numbering.system, numbering.settings, now, proxy)
        opened = self._opened.by(live.backends, proxy)
        failures = {
            name: BackendSnapshot(failures=dict(causes)) for name, causes in self._failures.items()
        }
        own = Snapshot(
            now=now,
            policy=self._policy,
            system=numbering.system.name,
            workers=1,
            pairs=_by_frontend((key, cell.pair()) for key, cell in self._cells.items()),
            backends=failures,
            keys={name: key.snapshot() for name, key in self._keys.items()},
            usage=usage_now(),
        )
        return merged([self._before, live, opened, own])

    def _fold(self, name: str) -> None:
        """Count what a backend had with those that went before it: no sum over backends falls.

        A request that is still under way there is not counted any more: `KEPT` others went since.
        """
        pairs = {}
        for key in [key for key in self._cells if key[1] == name]:
            pairs[key[0]] = {GONE: self._cells.pop(key).pair()}
        backends = dict(self._before.backends)
        counts = backends.pop(name, BackendSnapshot())
        own = BackendSnapshot(
            failures=dict(self._failures.pop(name, {})), opened=self._opened.forget(name)
        )
        folded = Snapshot(pairs=pairs, backends={GONE: added(counts, own)})
        self._before = merged([replace(self._before, backends=backends), folded])

    def _cell(self, numbering: _Numbering, frontend: int, backend: int) -> Counters:
        key = numbering.frontends[frontend], numbering.backends[backend]
        cell = self._cells.setdefault(key, Counters())
        numbering.cells[frontend][backend] = cell
        return cell

    def _fail(self, numbering: _Numbering, access: Access) -> None:
        for backend, cause in access.failures:
            name = numbering.backends[backend]
            self._failures.setdefault(name, Counter())[cause_of(cause)] += 1


def _numbering(system: RoutingSystem, settings: ProxySettings) -> _Numbering:
    frontends = [*(it.name for it in system.frontends), ""]
    backends = [*(it.name for it in system.backends), ""]
    cells: list[list[Counters | None]] = [[None] * len(backends) for _ in frontends]
    return _Numbering(system, settings, frontends, backends, cells)


def _by_frontend(
    pairs: Iterable[tuple[tuple[str, str], Pair]],
) -> dict[str, dict[str, Pair]]:
    found: dict[str, dict[str, Pair]] = {}
    for (frontend, backend), pair in pairs:
        found.setdefault(frontend, {})[backend] = pair
    return found
