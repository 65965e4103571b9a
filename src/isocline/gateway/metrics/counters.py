"""Counters of requests: a cell for each pair of a frontend and a backend."""

from typing import final

from isocline.gateway.access_log import Access
from isocline.gateway.metrics.failure_reasons import is_broken, reason_of
from isocline.gateway.metrics.histogram import add
from isocline.gateway.metrics.snapshot import Pair
from isocline.histogram import Histogram


@final
class Counters:
    """Counts of one pair, ever."""

    __slots__ = (
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

    def add(self, access: Access) -> None:
        """Add one request."""
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
        """Convert to plain data."""
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
