"""Counters of requests: a cell for each pair of a frontend and a backend, and for each API key."""

from typing import final

from isocline.gateway.access_log import Access
from isocline.gateway.metrics.failure_reasons import is_broken, reason_of
from isocline.gateway.metrics.histogram import add
from isocline.gateway.metrics.snapshot import KeySnapshot, Pair
from isocline.histogram import Histogram


@final
class Counters:
    """Counts of one pair, ever."""

    __slots__ = (
        "_pair",
        "broken",
        "codes",
        "duration",
        "failed",
        "first_byte",
        "first_token",
        "received",
        "retries",
        "returned",
        "served",
        "served_seconds",
        "served_wait",
        "wait",
    )

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self.failed: dict[str, int] = {}
        self.wait, self.first_byte, self.duration = Histogram(), Histogram(), Histogram()
        self.first_token = Histogram()
        self.broken = self.retries = self.received = self.returned = self.served = 0
        self.served_seconds = self.served_wait = 0.0
        self._pair: Pair | None = None  # as made last, until a request is added

    def add(self, access: Access) -> None:
        """Add one request."""
        self._pair = None
        status = access.status
        codes = self.codes
        codes[status] = codes.get(status, 0) + 1
        self.received += access.received
        self.returned += access.returned
        arrived, sent, first = access.arrived, access.sent, access.first_byte
        wait = (access.ended if sent is None else sent) - arrived
        add(self.wait, wait)
        if access.attempts > 1:
            self.retries += access.attempts - 1
        if first is not None:
            add(self.first_byte, first - arrived)
            if access.first_token is not None:
                add(self.first_token, access.first_token - arrived)
        if access.upgraded:
            return  # it lasts as long as client and backend have things to say
        duration = access.ended - arrived
        add(self.duration, duration)
        if access.reason and self._failed(access):
            return
        if status < 400:  # a refusal is no service, and its latency none
            self.served += 1
            self.served_seconds += duration
            self.served_wait += wait

    def pair(self) -> Pair:
        """Convert to plain data; the same object as before where no request was added since."""
        if self._pair is None:
            self._pair = self._made()
        return self._pair

    def _made(self) -> Pair:
        return Pair(
            dict(self.codes),
            dict(self.failed),
            self.broken,
            self.retries,
            self.wait.copy(),
            self.first_byte.copy(),
            self.duration.copy(),
            self.received,
            self.returned,
            self.served,
            self.served_seconds,
            self.served_wait,
            self.first_token.copy(),
        )

    def _failed(self, access: Access) -> bool:
        reason = reason_of(access)
        if not reason:
            return False
        self.failed[reason] = self.failed.get(reason, 0) + 1
        self.broken += is_broken(access)
        return True


@final
class KeyCounters:
    """Counts of one API key, ever."""

    __slots__ = ("codes", "limited", "output_tokens", "prompt_tokens")

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self.limited: dict[str, int] = {}
        self.prompt_tokens = self.output_tokens = 0

    def add(self, access: Access) -> None:
        """Add one request."""
        self.codes[access.status] = self.codes.get(access.status, 0) + 1
        if access.charge is not None and access.charge.exceeded:
            limit = access.charge.exceeded
            self.limited[limit] = self.limited.get(limit, 0) + 1
        if access.usage is not None:
            self.prompt_tokens += access.usage.prompt or 0
            self.output_tokens += access.usage.output

    def snapshot(self) -> KeySnapshot:
        """Convert to plain data."""
        limited = dict(self.limited)
        return KeySnapshot(dict(self.codes), limited, self.prompt_tokens, self.output_tokens)
