"""Greatest shares of a frontend's requests, as for a canary.

A backend with `max_share` s has a turn after every 1/s requests that its frontend sends: it may be
chosen from its turn on, and is passed over before. With n the number of requests sent so far, a
request that goes there sets the next turn to max(turn, n) + 1/s, so that turns that were not used
are not saved up. Of any k requests sent in a row, fewer than s k + 1 go there. This is the generic
cell rate algorithm (ITU-T I.371, Annex A) with requests in place of time, and a tolerance below one
request, without which shares that are no 1/n would be rounded down to one.

A share is a promise as long as others are there to keep it. Where the shares of the backends in
service add up to less than 1, all are raised in proportion: a lone canary gets every request.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from typing import final

NO_SHARE_LIMIT = 1.0


@final
class ShareLimits:
    """Limits of one frontend's backends, by their place among them.

    Attributes:
        closed: Bits of the places that are passed over until their next turn.
    """

    def __init__(self, shares: Sequence[float]) -> None:
        """Initialise; each share is above 0, and 1 is no limit."""
        self.closed = 0
        self._shares = list(shares)
        self._scale = 1.0  # of all shares, to add up to 1
        self._sent = 0  # requests
        self._turn = [0.0] * len(shares)  # requests sent by then
        self._opening: list[tuple[int, int]] = []  # a heap: requests sent by then, place

    def sent(self, place: int) -> None:
        """Count a request to a place; one may take its turn early where nobody else can."""
        before = self._sent
        self._sent = before + 1
        if self._shares[place] < NO_SHARE_LIMIT:
            self._turn[place] = max(self._turn[place], float(before)) + self._step(place)
            self._close(place)
        while self._opening and self._opening[0][0] <= self._sent:
            self._open(heapq.heappop(self._opening)[1])

    def next_turn(self, places: Sequence[int]) -> int:
        """Return the place whose turn comes first."""
        return min(places, key=lambda place: self._turn[place])

    def raise_to_one(self, in_service: Sequence[bool]) -> None:
        """Raise the shares in proportion where those of the backends in service do not do."""
        total = sum([it for it, here in zip(self._shares, in_service, strict=True) if here])
        scale = max(1.0 / total, 1.0) if total > 0.0 else 1.0
        if scale == self._scale:
            return
        self._scale, self.closed = scale, 0
        self._opening.clear()
        for place, share in enumerate(self._shares):
            if share < NO_SHARE_LIMIT:
                # No turn is later than it would be, had the last request gone there.
                latest = self._sent - 1 + self._step(place)
                self._turn[place] = min(self._turn[place], latest)
                self._close(place)

    def take_over(self, before: "ShareLimits", same: Mapping[int, int]) -> None:
        """Take over the turns of the places in `same`: place here to place there."""
        for place, old in same.items():
            wait = before._turn[old] - before._sent
            if wait > 0.0 and self._shares[place] < NO_SHARE_LIMIT:
                self._turn[place] = self._sent + min(wait, self._step(place))
                self._close(place)

    def _step(self, place: int) -> float:
        """Requests from one turn to the next."""
        return 1.0 / min(self._shares[place] * self._scale, 1.0)

    def _close(self, place: int) -> None:
        opens = math.floor(self._turn[place])
        if opens > self._sent and not self.closed >> place & 1:
            self.closed |= 1 << place
            heapq.heappush(self._opening, (opens, place))

    def _open(self, place: int) -> None:
        """Open a place, unless it has taken a turn early and still has to wait."""
        self.closed &= ~(1 << place)
        self._close(place)
