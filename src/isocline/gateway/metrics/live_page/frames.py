"""Frames of the live page: figures of one interval, from the snapshots at its ends.

Numbers have four digits, as many as a picture shows. Times are in s, rates in requests/s, workloads
in jobs; None is unknown. Columns are in the order of the layout.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from isocline.gateway.metrics.histogram import percentile
from isocline.gateway.metrics.live_page.changes import changes_between, state_of
from isocline.gateway.metrics.live_page.intervals import Ended, Key, Recent, ended_between
from isocline.gateway.metrics.live_page.layout import Layout, layout_of
from isocline.gateway.metrics.optimality import Optimality, relative_error
from isocline.gateway.metrics.snapshot import LiveBackend, Snapshot
from isocline.gateway.metrics.summary import optimality_document
from isocline.histogram import Histogram
from isocline.pages.live import Frame, short

RECENT = 10.0  # s covered by percentiles: within 1 s, most backends have too few requests
_ALL = ("", "")


@final
class FrameMaker:
    """Maker of frames from successive snapshots."""

    def __init__(self) -> None:
        self._before: Snapshot | None = None
        self._layout = Layout()
        self._version = self._number = 0
        self._latencies: Recent = Recent(RECENT)
        self._first_tokens: Recent = Recent(RECENT)

    def frame(
        self, snapshot: Snapshot, optimality: Optimality, time: float, full: bool
    ) -> Frame | None:
        """Frame from the previous snapshot to this one; None for the first.

        Args:
            snapshot: Merged over all processes.
            optimality: Latest optimality gap and its parts.
            time: Time in s since 1970.
            full: Whether to make the full document, for viewers.
        """
        before, self._before = self._before, snapshot
        seconds = snapshot.now - before.now if before else 0.0
        if before is None or seconds <= 0:
            return None
        layout = layout_of(snapshot)
        if layout != self._layout:
            self._layout, self._version = layout, self._version + 1
        self._number += 1
        pairs = {(f, b): ended for f, b, ended in ended_between(before, snapshot)}
        sums = _sums(pairs)
        self._latencies.add(snapshot.now, {key: it.duration for key, it in sums.items()})
        self._first_tokens.add(snapshot.now, {_ALL: sums[_ALL].first_token})
        made = _Making(snapshot, layout, seconds, pairs, sums, self._latencies, optimality)
        head = {"number": self._number, "version": self._version, "time": round(time, 3)}
        kept = head | made.totals() | made.gap() | made.prices()
        whole = None
        if full:
            tokens = self._first_tokens.of(_ALL)
            whole = kept | {
                "seconds": short(seconds),
                "first_token": [short(percentile(tokens, share)) for share in (0.5, 0.99)],
                "router": made.router(),
                "optimality": made.account(),
                "frontends": made.frontends(),
                "backends": made.backends(),
                "flows": made.flows(),
            }
        events = tuple(changes_between(before, snapshot))
        return Frame(self._number, self._version, layout, kept, whole, events)


def _sums(pairs: Mapping[Key, Ended]) -> dict[Key, Ended]:
    """Requests by frontend, (name, ""), by backend, ("", name), and in total, ("", "")."""
    sums: dict[Key, Ended] = {_ALL: Ended()}
    for (frontend, backend), ended in pairs.items():
        for key in {(frontend, ""), ("", backend), _ALL}:
            total = sums.setdefault(key, Ended())
            total += ended
    return sums


@final
@dataclass(frozen=True)
class _Making:
    """A frame under construction."""

    snapshot: Snapshot
    layout: Layout
    seconds: float
    pairs: Mapping[Key, Ended]
    sums: Mapping[Key, Ended]
    latencies: Recent
    optimality: Optimality

    def totals(self) -> dict[str, Any]:
        """Figures of the router as a whole."""
        ended = self.sums[_ALL]
        recent = self.latencies.of(_ALL)
        live = self._live()
        frontends = self.snapshot.frontends.values()
        return {
            "rate": self._rate(ended.count),
            "failed": self._rate(sum(ended.failed.values())),
            "errors": self._rate(ended.errors),
            "retries": self._rate(ended.retries),
            "in_flight": sum(it.in_flight for it in live),
            "waiting": sum(it.live.held for it in frontends if it.live),
            "latency": _latency(recent, 0.5, 0.9, 0.99),
        }

    def gap(self) -> dict[str, Any]:
        """Optimality gap and its five parts, s."""
        gap = self.optimality.gap
        if gap is None:
            return {"gap": None}
        parts = (gap.optimum, gap.misrouted, gap.fluctuation, gap.held, gap.outside)
        return {"gap": [short(gap.ratio), *(short(part) for part in parts)]}

    def prices(self) -> dict[str, Any]:
        """Marginal price, s, and workload of each backend."""
        live = self._live()
        return {
            "price": [_price(it) for it in live],
            "jobs": [short(it.workload / it.workers) for it in live],
        }

    def router(self) -> dict[str, Any]:
        """Connections and workers."""
        seen = self.snapshot
        return {
            "workers": seen.workers,
            "draining": seen.draining,
            "clients": seen.clients,
            "tunnels": seen.tunnels,
            "reasons": self.sums[_ALL].failed,
        }

    def account(self) -> dict[str, Any]:
        """All figures on optimality, with tiers and workloads of the optimum."""
        document = optimality_document(self.optimality)
        names = {name: b for b, name in enumerate(self.layout.backends)}
        numbers = {name: f for f, name in enumerate(self.layout.frontends)}
        jobs: list[float | None] = [None] * len(names)
        for planned in self.optimality.backends:
            if planned.name in names:
                jobs[names[planned.name]] = short(planned.jobs)
        tiers = [
            {
                "price": _inverse(tier.marginal_rate),
                "frontends": [numbers[name] for name in tier.frontends if name in numbers],
                "backends": [names[name] for name in tier.backends if name in names],
            }
            for tier in self.optimality.tiers
            if tier.frontends  # a backend that is idle at the optimum is a tier by itself
        ]
        return document | {"tiers": tiers, "jobs": jobs}

    def frontends(self) -> dict[str, Any]:
        """Columns of frontends."""
        names = self.layout.frontends
        ended = [self.sums.get((name, ""), Ended()) for name in names]
        held = [it.live.held for it in self.snapshot.frontends.values() if it.live]
        return {
            "rate": [self._rate(it.count) for it in ended],
            "failed": [self._rate(sum(it.failed.values())) for it in ended],
            "waiting": held,
            "latency": [_latency(self.latencies.of((name, "")), 0.5, 0.99) for name in names],
        }

    def backends(self) -> dict[str, Any]:
        """Columns of backends."""
        names, live = self.layout.backends, self._live()
        ended = [self.sums.get(("", name), Ended()) for name in names]
        return {
            "state": [state_of(it) for it in live],
            "in_flight": [it.in_flight for it in live],
            "limit": [it.limit for it in live],
            "rate": [self._rate(it.count) for it in ended],
            "failed": [self._rate(sum(it.failed.values())) for it in ended],
            "latency": [_latency(self.latencies.of(("", name)), 0.5, 0.99) for name in names],
            "service_rate": [short(it.service_rate / it.workers) for it in live],
            "error": [short(relative_error(it)) for it in live],
            "round_trip": [it.round_trip and short(it.round_trip) for it in live],
        }

    def flows(self) -> list[list[float | None]]:
        """(frontend, backend, requests/s) of each edge on which requests ended."""
        names = {name: b for b, name in enumerate(self.layout.backends)}
        numbers = {name: f for f, name in enumerate(self.layout.frontends)}
        return [
            [numbers[f], names[b], self._rate(it.count)]
            for (f, b), it in self.pairs.items()
            if f in numbers and b in names
        ]

    def _live(self) -> list[LiveBackend]:
        return [it.live for it in self.snapshot.backends.values() if it.live]

    def _rate(self, count: int) -> float | None:
        return short(count / self.seconds)


def _latency(times: Histogram, *shares: float) -> list[float | None]:
    """Mean and percentiles, s."""
    return [short(times.mean), *(short(percentile(times, share)) for share in shares)]


def _price(live: LiveBackend) -> float | None:
    """Jobs that one more job per second adds to the system, s; None: unbounded."""
    return _inverse(live.marginal_rate / live.workers)


def _inverse(marginal_rate: float) -> float | None:
    return short(1.0 / marginal_rate) if marginal_rate > 0 else None
