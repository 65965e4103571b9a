"""Requests of a sweep: how they are made, and what became of each."""

import re
from collections.abc import Callable
from dataclasses import replace
from math import inf, nan
from typing import final

from isocline.loadgen.connection import Connection
from isocline.loadgen.flight import Events
from isocline.loadgen.prompts import Prompts
from isocline.loadgen.schedule import Schedule
from isocline.loadgen.target import Target
from isocline.sweep.rate import Span

_THROTTLED = {429, 503}
# Where the number of tokens stands in an answer: at its end, after the text.
_USAGE = re.compile(rb'"(prompt_tokens|completion_tokens)"\s*:\s*(\d+)')
_KEPT = 4096  # bytes, of the end of a body
_SHOWN = 300  # characters of an error's text


@final
class Request:
    """One request; implements `loadgen.connection.InFlight`. Times are s of the run's clock."""

    __slots__ = (
        "_asked",
        "_body",
        "_ended",
        "_events",
        "_kept",
        "_tokens",
        "data",
        "due",
        "end",
        "error",
        "over",
        "retry_after",
        "start",
        "status",
        "wire",
    )

    def __init__(
        self,
        data: bytes,
        due: float,
        ended: Callable[["Request"], None],
        *,
        streams: bool = False,
        asked: int = 0,
        kept: int = _KEPT,
    ) -> None:
        """Initialise a request that is not yet sent.

        Args:
            data: The bytes to send.
            due: When it is to be sent, from which its timeout counts.
            ended: Called once, when it is completed or has failed.
            streams: The answer is a stream of events.
            asked: Output tokens asked for.
            kept: Bytes of the end of the body that are kept.
        """
        self.data = data
        self.over = False
        self.wire: object | None = None
        self.due = due
        self.start = nan  # when it was sent, the last time
        self.end = inf  # when it was answered
        self.status = 0
        self.error = ""  # kind of failure
        self.retry_after = b""
        self._ended = ended
        self._asked = asked
        self._events = Events() if streams else None
        self._tokens = 0
        self._body, self._kept = b"", kept

    @property
    def sent_at_all(self) -> bool:
        """Whether it has a start: it no longer waits for its connection."""
        return self.start == self.start  # nan is not

    @property
    def throttled(self) -> bool:
        """Whether the server said that it has too much to do."""
        return self.status in _THROTTLED

    @property
    def body(self) -> bytes:
        """End of the body."""
        return self._body

    @property
    def text(self) -> str:
        """Beginning of an error's body, on one line."""
        return " ".join(self._body.decode(errors="replace").split())[:_SHOWN]

    def usage(self) -> tuple[int | None, int]:
        """Tokens of the prompt, if the server says, and of the output.

        Those of the output are what the server says, else the events of a stream, else what was
        asked for.
        """
        found = {name: int(value) for name, value in _USAGE.findall(self._body)}
        output = found.get(b"completion_tokens", self._tokens or self._asked)
        return found.get(b"prompt_tokens"), output

    def span(self, in_tokens: bool) -> Span:
        """Its time, and its work in jobs or output tokens."""
        return Span(self.start, self.end, float(self.usage()[1]) if in_tokens else 1.0)

    # What connections call.

    def sent(self, now: float) -> None:
        self.start = now

    def received(self, body: bytes, now: float) -> None:  # noqa: ARG002
        self._body = (self._body + body)[-self._kept :]
        if self._events is not None:
            self._tokens += self._events.feed(body)

    def explained(self, body: bytes) -> None:
        self._body = (self._body + body)[: self._kept]

    def completed(self, status: int, now: float) -> None:
        self.status = status
        if not 200 <= status < 300:
            if isinstance(self.wire, Connection):
                self.retry_after = self.wire.retry_after
            self.failed(f"status {status}")
        elif self._events is not None and self._events.failed:
            self.failed("error in the stream")
        elif self._events is not None and not self._events.done:
            self.failed("cut off")
        else:
            self.end = now
            self._finish()

    def failed(self, kind: str) -> None:
        self.error = kind
        self._finish()

    def _finish(self) -> None:
        self.over, self.data = True, b""
        self._ended(self)


@final
class Requests:
    """Makes requests with the sizes of a schedule, again and again, and never one text twice."""

    def __init__(self, target: Target, schedule: Schedule, first: int) -> None:
        """`first` numbers the first text; those of other sweeps of the same server must differ."""
        self._target = target
        self._schedule = schedule
        self._first = first
        self._number = 0  # in the schedule
        self._prompts = Prompts(replace(schedule, first=first))

    def make(self, due: float, ended: Callable[[Request], None]) -> Request:
        """The next request."""
        size = self._schedule.prompt_tokens.size
        if self._number == size:
            self._number = 0
            self._first += size
            self._prompts = Prompts(replace(self._schedule, first=self._first))
        number = self._number
        self._number += 1
        asked = int(self._schedule.output_tokens[number])
        data = self._target.request(self._prompts.text(number), asked)
        return Request(data, due, ended, streams=self._target.streams, asked=asked)
