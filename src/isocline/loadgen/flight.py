"""Request in flight: its times and its deadline, and the events of a streamed answer."""

import re
from typing import final

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

    def explained(self, body: bytes) -> None:
        """A piece of an error's body: kinds of errors are counted, not their texts."""

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


# A token: a text, a reasoning or a call to a tool that is not empty. In JSON no string holds an
# unescaped quote, so that this pattern can only match a key and its value.
_TEXT = re.compile(
    rb'"(?:content|text|reasoning_content|reasoning|refusal|name|arguments)":\s*"(?!")'
)
_MOST_LINE = 1 << 20  # bytes of one event


@final
class Events:
    """Reads a stream piece by piece: lines `data: ...` (HTML standard, Section 9.2.6)."""

    __slots__ = ("_rest", "done", "failed")

    def __init__(self) -> None:
        self.done = False  # [DONE] was there
        self.failed = False  # the server sent an error, or what is no stream of events
        self._rest = b""

    def feed(self, data: bytes) -> int:
        """How many tokens are complete with this piece."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MOST_LINE:
            self.failed, self._rest = True, b""
        tokens = 0
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            said = line[5:].strip()
            if said == b"[DONE]":
                self.done = True
            elif _TEXT.search(said):
                tokens += 1
            elif said.startswith(b'{"error"'):
                self.failed = True
        return tokens
