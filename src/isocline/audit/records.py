"""Records of requests and of their attempts at backends, as columns."""

import re
from array import array
from dataclasses import dataclass, replace
from typing import NamedTuple, Self, final

import numpy as np
import numpy.typing as npt

from isocline.audit.doubles import Overlap, overlaps
from isocline.audit.formats.exchange import Exchange, Outcome

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

_MOST_FRONTENDS = 1000  # names; further ones share one, as of a host for each customer
_OTHERS = "(others)"
# Of times to the ms, one in a thousand is at a whole second: more, and they are to the second.
_ROUNDING, _FINE, _FEW = 1e-5, 0.5, 20


class Attempts(NamedTuple):
    """M attempts, in any order."""

    request: IndexArray  # (M,) number of its request
    backend: IndexArray  # (M,)
    begin: FloatArray  # (M,) s from the first
    end: FloatArray  # (M,) s, after `begin`
    outcome: IndexArray  # (M,) an Outcome


@final
@dataclass(frozen=True, eq=False)
class AccessRecords:
    """N requests that went to a backend, in order of arrival; times are s from the first."""

    since: float  # s since 1970, of time 0
    start: FloatArray  # (N,)
    end: FloatArray  # (N,)
    held: FloatArray  # (N,) s at the router, before it was sent
    outcome: IndexArray  # (N,) an Outcome
    frontend: IndexArray  # (N,)
    file: IndexArray  # (N,) number of the file that has it
    tokens: FloatArray  # (N,) 0 where they are not known
    attempts: Attempts
    frontends: tuple[str, ...]
    backends: tuple[str, ...]

    @property
    def served(self) -> npt.NDArray[np.bool_]:
        """(N,) whether it was answered."""
        return np.asarray(self.outcome == Outcome.SERVED)

    @property
    def tokens_of_a_job(self) -> float | None:
        """Mean tokens of a served request; None unless they are known of all."""
        known = self.tokens[self.served]
        return float(known.mean()) if known.size and known.min() > 0 else None

    def shifted(self, pauses: FloatArray, lengths: FloatArray) -> Self:
        """The same with pauses cut out: at each time (P,), so many s (P,)."""

        def moved(times: FloatArray) -> FloatArray:
            before = np.searchsorted(pauses, times, side="right")
            return np.asarray(times - np.append(0.0, np.cumsum(lengths))[before])

        tried = self.attempts
        return replace(
            self,
            start=moved(self.start),
            end=moved(self.end),
            attempts=tried._replace(begin=moved(tried.begin), end=moved(tried.end)),
        )


@final
class Collector:
    """Exchanges, one after the other, into columns."""

    def __init__(self) -> None:
        self.without_backend = 0  # requests that the router answered itself; see `records`
        self.coarse = False  # whether times are to the second; known once `records` was called
        self.overlaps: list[Overlap] = []  # of files; likewise
        self.doubled = 0  # requests that an earlier file has, too; likewise
        self._first: list[int] = []  # request of each file
        self._times = array("d")  # start, end, held, tokens of each request
        self._kinds = array("q")  # outcome, frontend
        self._spans = array("d")  # begin, end of each attempt
        self._tries = array("q")  # request, backend, outcome
        self._frontends: dict[str, int] = {}
        self._backends: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._kinds) // 2

    def begin_file(self) -> None:
        """The next requests are of another file."""
        self._first.append(len(self))

    def add(self, exchange: Exchange) -> None:
        """Take one request."""
        start, end, held, outcome, where, tokens, attempts = exchange
        if not attempts:
            self.without_backend += 1
            return
        frontend = self._frontends.get(where)
        if frontend is None:
            if len(self._frontends) >= _MOST_FRONTENDS:
                where = _OTHERS
            frontend = self._frontends.setdefault(where, len(self._frontends))
        number = len(self._kinds) // 2
        self._times.extend((start, end, held, tokens))
        self._kinds.extend((outcome, frontend))
        for name, begin, finish, how in attempts:
            backend = self._backends.get(name)
            if backend is None:
                backend = self._backends.setdefault(name, len(self._backends))
            self._spans.extend((begin, finish))
            self._tries.extend((number, backend, how))

    def records(self, tick: float) -> AccessRecords:
        """All of them. An attempt that took less than a tick of the clock, s, took half of one.

        Backends that served nothing, as the name of a group of servers that was down, are left
        out with their attempts. Requests that had no others count as `without_backend`. Those that
        several files have count once.
        """
        times = np.array(self._times, np.float64).reshape(-1, 4)
        kinds = np.array(self._kinds, np.int64).reshape(-1, 2)
        spans = np.array(self._spans, np.float64).reshape(-1, 2)
        tries = np.array(self._tries, np.int64).reshape(-1, 3)
        doubled = self._doubled(times, kinds, tries)
        for written in (0, 1):
            if not self.coarse and _whole(times[:, written]):
                self.coarse = True
                _spread(times, spans, tries, written)
        since = float(min(times[:, 0].min(), spans[:, 0].min())) if len(self) else 0.0
        served = np.bincount(tries[tries[:, 2] == Outcome.SERVED, 1], minlength=len(self._backends))
        tries_kept = served[tries[:, 1]] > 0
        tries, spans = tries[tries_kept], spans[tries_kept]
        kept = np.zeros(len(self), np.bool_)
        kept[tries[:, 0]] = True
        self.without_backend += int((~kept & ~doubled).sum())
        kept &= ~doubled
        tries, spans = tries[kept[tries[:, 0]]], spans[kept[tries[:, 0]]]
        order = np.flatnonzero(kept)[np.argsort(times[kept, 0], kind="stable")]
        number = np.zeros(len(self), np.int64)
        number[order] = np.arange(order.size)
        names = list(self._backends)
        backends = np.array(
            sorted(np.flatnonzero(served).tolist(), key=lambda b: _in_order(names[b])), np.int64
        )
        renamed = np.zeros(len(self._backends), np.int64)
        renamed[backends] = np.arange(backends.size)
        begin = spans[:, 0] - since
        found = times[order]
        return AccessRecords(
            since,
            found[:, 0] - since,
            found[:, 1] - since,
            found[:, 2].copy(),
            kinds[order, 0],
            kinds[order, 1],
            np.maximum(np.searchsorted(np.array(self._first, np.int64), order, "right") - 1, 0),
            found[:, 3].copy(),
            Attempts(
                number[tries[:, 0]],
                renamed[tries[:, 1]],
                begin,
                np.maximum(spans[:, 1] - since, begin + 0.5 * tick),
                tries[:, 2],
            ),
            tuple(self._frontends),
            tuple(names[b] for b in backends.tolist()),
        )

    def _doubled(
        self, times: FloatArray, kinds: IndexArray, tries: IndexArray
    ) -> npt.NDArray[np.bool_]:
        """(N,) whether an earlier file has the same request."""
        doubled = np.zeros(len(self), np.bool_)
        if len(self._first) > 1 and len(self):
            last = np.zeros(len(self), np.int64)
            last[tries[:, 0]] = tries[:, 1]
            self.overlaps = overlaps(
                np.column_stack((times, kinds, last)), times[:, 1], self._first
            )
            for found in self.overlaps:
                doubled[found.doubled] = True
            self.doubled = int(doubled.sum())
        return doubled


def _in_order(name: str) -> list[tuple[str, int]]:
    """Key by which host-10 comes after host-9."""
    return [(text, int(part or -1)) for text, part in re.findall(r"(\D*)(\d{0,9})", name)]


def _whole(seconds: FloatArray) -> bool:
    """Whether points in time are written without a fraction of a second."""
    fine = np.abs(seconds - np.round(seconds)) > _ROUNDING
    return seconds.size >= _FEW and float(fine.mean()) < _FINE


def _spread(times: FloatArray, spans: FloatArray, tries: IndexArray, written: int) -> None:
    """Spread requests of the same second evenly over it, in the order of the lines.

    `written` is the column of `times`, start or end, that the log has.
    """
    second = np.round(times[:, written])
    order = np.argsort(second, kind="stable")
    _, first, count = np.unique(second[order], return_index=True, return_counts=True)
    later = np.empty(second.size)
    place = np.arange(second.size) - np.repeat(first, count)
    later[order] = (place + 0.5) / np.repeat(count, count)
    times[:, :2] += later[:, np.newaxis]
    spans += later[tries[:, 0], np.newaxis]
