"""Request in flight: its times and its deadline."""

from typing import final

from isocline.loadgen.events import Events
from isocline.loadgen.tally import Tally


@final
class Flight:
    """Over once: completed, or failed with a kind of error. Times are s of the run's clock."""

    __slots__ = ("_events", "_last", "_sent", "_tally", "data", "due", "over", "wire")

    def __init__(self, due: float, data: bytes, streams: bool, tally: Tally | None) -> None:
        self.due = due
        self.data = data  # what is to be sent, until it is over
        self.over = False
        self.wire: object | None = None  # the connection that carries it
        self._tally = tally  # None while warming up
        self._events = Events() if streams else None
        self._sent = False
        self._last = due  # when the last token came

    def sent(self, now: float) -> None:
        """Its bytes are on their way, for the first time or once more."""
        if self._tally is not None and not self._sent:
            self._tally.lag.add(max(now - self.due, 0.0))
        self._sent = True

    def received(self, body: bytes, now: float) -> None:
        """A piece of the answer's body."""
        if self._events is None:
            return
        tokens = self._events.feed(body)
        tally = self._tally
        if not tokens or tally is None:
            return
        first = self._last == self.due
        (tally.first_token if first else tally.between_tokens).add(now - self._last)
        for _ in range(tokens - 1):  # they came at once
            tally.between_tokens.add(0.0)
        self._last = now
        tally.tokens += tokens

    def completed(self, status: int, now: float) -> None:
        """The answer is there, whole."""
        if not 200 <= status < 300:
            self.failed(f"status {status}")
        elif self._events is not None and self._events.failed:
            self.failed("error in the stream")
        elif self._events is not None and not self._events.done:
            self.failed("cut off")
        else:
            self._end()
            if self._tally is not None:
                self._tally.completed += 1
                self._tally.latency.add(now - self.due)

    def failed(self, kind: str) -> None:
        """There will be no answer, or it is an error."""
        self._end()
        if self._tally is not None:
            self._tally.errors[kind] += 1

    def _end(self) -> None:
        self.over, self.data = True, b""
