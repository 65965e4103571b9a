"""Recorder of a router: counts its requests as an observer, and reads the rest off the core.

    recorder = Recorder(system, settings, "gmsr")
    proxy = Proxy(core, settings, [recorder])
    ...
    snapshot = recorder.snapshot(core, monotonic(), proxy)

Only values that cannot be read later are counted.
"""

from collections import Counter, deque
from collections.abc import Iterable
from typing import NamedTuple, final

from isocline.gateway.access_log import Access
from isocline.gateway.config import ProxySettings
from isocline.gateway.core.core import Core
from isocline.gateway.metrics.collect import LiveProxy, Opened, snapshot_of, usage_now
from isocline.gateway.metrics.counters import Counters
from isocline.gateway.metrics.failure_reasons import cause_of
from isocline.gateway.metrics.snapshot import BackendSnapshot, Pair, Snapshot, merged
from isocline.model.fleet import RoutingSystem

_BATCH = 64  # requests, as code that has just run runs twice as fast: 0.1 ms at a time
_RELOADS = 16  # remembered; a request that is older than all of them counts with the first


class _Numbering(NamedTuple):
    """Numbers of frontends and backends since a time. The number -1, for none, comes last."""

    since: float  # s
    system: RoutingSystem
    settings: ProxySettings
    frontends: list[str]
    backends: list[str]
    cells: list[list[Counters | None]]  # [frontend][backend]


@final
class Recorder:
    """Recorder of one process, from its start through all its reloads."""

    def __init__(self, system: RoutingSystem, settings: ProxySettings, policy: str) -> None:
        """Initialise; frontends and backends are numbered as in `system` and in `settings`."""
        self._policy = policy
        self._cells: dict[tuple[str, str], Counters] = {}
        self._failures: dict[str, Counter[str]] = {}  # of attempts, by backend and cause
        self._waiting: list[Access] = []
        self._opened = Opened()
        self._before = Snapshot()  # what cores before this one have counted
        self._numbering = _numbering(system, settings, 0.0)
        self._past: deque[_Numbering] = deque(maxlen=_RELOADS)

    def __call__(self, access: Access) -> None:
        self._waiting.append(access)
        if len(self._waiting) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Count the buffered requests."""
        now = self._numbering
        for access in self._waiting:
            numbering = now if access.arrived >= now.since else self._at(access.arrived)
            cell = numbering.cells[access.frontend][access.backend]
            if cell is None:
                cell = self._cell(numbering, access.frontend, access.backend)
            cell.add(access)
            if access.failures:
                self._fail(numbering, access)
        self._waiting.clear()

    def reloaded(
        self,
        before: Core,
        now: float,
        system: RoutingSystem,
        settings: ProxySettings,
        policy: str,
    ) -> None:
        """Switch to another core; counts go on, by name.

        Call it together with `Proxy.replace`, without an await between, as requests are assigned by
        their time of arrival.

        Args:
            before: The core until now.
            now: s of the monotonic clock, as all its times.
            system: Numbered as the new core.
            settings: The new ones.
            policy: Name of the new one.
        """
        past = self._numbering
        counted = snapshot_of(before, past.system, past.settings, now).counted()
        self._before = merged([self._before, counted])
        self._past.append(past)
        self._numbering = _numbering(system, settings, now)
        self._policy = policy

    def snapshot(self, core: Core, now: float, proxy: LiveProxy | None = None) -> Snapshot:
        """Snapshot at `now`, s of the monotonic clock.

        Args:
            core: The one that decides now.
            now: The time.
            proxy: For its connections; None: they count as 0.
        """
        self.flush()
        numbering = self._numbering
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
            usage=usage_now(),
        )
        return merged([self._before, live, opened, own])

    def _at(self, arrived: float) -> _Numbering:
        """Return the numbers in force when a request arrived, s."""
        for numbering in reversed(self._past):
            if numbering.since <= arrived:
                return numbering
        return self._past[0]

    def _cell(self, numbering: _Numbering, frontend: int, backend: int) -> Counters:
        key = numbering.frontends[frontend], numbering.backends[backend]
        cell = self._cells.setdefault(key, Counters())
        numbering.cells[frontend][backend] = cell
        return cell

    def _fail(self, numbering: _Numbering, access: Access) -> None:
        for backend, cause in access.failures:
            name = numbering.backends[backend]
            self._failures.setdefault(name, Counter())[cause_of(cause)] += 1


def _numbering(system: RoutingSystem, settings: ProxySettings, since: float) -> _Numbering:
    frontends = [*(it.name for it in system.frontends), ""]
    backends = [*(it.name for it in system.backends), ""]
    cells: list[list[Counters | None]] = [[None] * len(backends) for _ in frontends]
    return _Numbering(since, system, settings, frontends, backends, cells)


def _by_frontend(
    pairs: Iterable[tuple[tuple[str, str], Pair]],
) -> dict[str, dict[str, Pair]]:
    found: dict[str, dict[str, Pair]] = {}
    for (frontend, backend), pair in pairs:
        found.setdefault(frontend, {})[backend] = pair
    return found
