"""Answer to one completion request: writes tokens to the client as they are due."""

from typing import Protocol, final

from isocline.emulator import replies
from isocline.emulator.completion_request import CompletionRequest
from isocline.emulator.engine import Engine
from isocline.emulator.generation import Generation


class Wire(Protocol):
    """A client's connection."""

    keep: bool
    chunks: bool  # whether this client knows chunked coding (HTTP/1.1)
    paused: bool  # whether it reads more slowly than is written

    def head(self, status: int, content_type: str, length: int | None) -> bytes:
        """Status line and header, with the load report of this moment."""
        ...

    def write(self, data: bytes) -> None:
        """Send."""
        ...

    def answered(self) -> None:
        """The answer is complete."""
        ...

    def reset(self) -> None:
        """Break the connection off (TCP RST)."""
        ...


class Answer(Generation):
    """A completion sent whole at its end; `cut` after so many tokens if it is to be broken off."""

    __slots__ = ("arrived", "completion", "created", "cut", "engine", "name", "wire")

    def __init__(
        self, engine: Engine, completion: CompletionRequest, wire: Wire, cut: bool
    ) -> None:
        completion = engine.read(completion)
        work, prefill = engine.work(completion)
        super().__init__(work, prefill, completion.output_tokens)
        self.engine = engine
        self.completion = completion
        self.wire = wire
        self.cut = -(-completion.output_tokens // 2) if cut else 0
        self.arrived = engine.now()
        self.created = int(engine.unix_time())
        kind = "chatcmpl" if completion.chat else "cmpl"
        self.name = f"{kind}-{engine.random.getrandbits(64):016x}"

    def wants_tokens(self) -> bool:
        return self.cut > 0

    def produced(self, tokens: int) -> None:
        if tokens >= self.cut:
            self.break_off()

    def finished(self) -> None:
        if self.cut:
            self.break_off()
            return
        body = replies.whole(self.completion, self.name, self.created)
        self.wire.write(self.wire.head(200, replies.JSON, len(body)) + body)
        self.count()
        self.wire.answered()

    def break_off(self) -> None:
        """Reset the connection amid a body."""
        body = replies.whole(self.completion, self.name, self.created)
        head = self.wire.head(200, replies.JSON, len(body))
        self.wire.write(head + body[: len(body) // 2])
        self.wire.reset()

    def count(self) -> None:
        """Enter it into the metrics."""
        metrics = self.engine.metrics
        metrics.served.inc()
        metrics.prompt_tokens.inc(self.completion.prompt_tokens)
        metrics.generation_tokens.inc(self.completion.output_tokens)
        metrics.latency.observe(self.engine.now() - self.arrived)


@final
class StreamedAnswer(Answer):
    """A completion as server-sent events: the header at once, a token when it is there."""

    __slots__ = ("sent", "token")

    def __init__(
        self, engine: Engine, completion: CompletionRequest, wire: Wire, cut: bool
    ) -> None:
        super().__init__(engine, completion, wire, cut)
        self.sent = 0
        self.token = self._coded(self._part(replies.TOKEN))

    def begin(self) -> None:
        """Send the header."""
        self.wire.write(self.wire.head(200, replies.EVENTS, None))

    def wants_tokens(self) -> bool:
        return True

    def produced(self, tokens: int) -> None:
        if not self.wire.paused:  # what a slow client misses it gets later, from a count
            self.wire.write(self._up_to(tokens))
        if self.cut and tokens >= self.cut:
            self.wire.reset()

    def finished(self) -> None:
        if self.cut:
            self.wire.reset()
            return
        last = self._up_to(self.tokens) + self._coded(self._part(None, "length"))
        if self.completion.usage_at_end:
            last += self._coded(replies.usage_part(self.completion, self.name, self.created))
        last += self._coded(replies.DONE)
        self.wire.write(last + replies.LAST_CHUNK if self.wire.chunks else last)
        self.count()
        self.wire.answered()

    def _up_to(self, tokens: int) -> bytes:
        data = self.token * (tokens - self.sent)
        if not self.sent:
            self.engine.metrics.first_token.observe(self.engine.now() - self.arrived)
            if self.completion.chat:
                data = self._coded(self._part("")) + data
        self.sent = tokens
        return data

    def _part(self, text: str | None, reason: str | None = None) -> bytes:
        return replies.part(self.completion, self.name, self.created, text, reason)

    def _coded(self, data: bytes) -> bytes:
        return replies.chunk(data) if self.wire.chunks else data
