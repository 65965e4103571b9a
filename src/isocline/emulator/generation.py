"""Requests in service, and the tokens they owe their clients as work is done."""

from heapq import heappop, heappush, heapreplace
from math import inf
from typing import final

from isocline.emulator.sharing import Job, ProcessorSharing, RateAt


class Generation(Job):
    """One request: prefill first, then its tokens, evenly over the rest of its work.

    A subclass is its client's side: it hears of tokens, if it asks for them, and of the end.
    """

    __slots__ = ("_owner", "done", "each", "prefill", "tokens")

    def __init__(self, work: float, prefill: float, tokens: int) -> None:
        super().__init__(work)
        self.prefill = prefill  # work before the first token's, of `work`
        self.tokens = tokens  # > 0
        self.each = (work - prefill) / tokens  # work of one token
        self.done = 0  # tokens of which the client was told
        self._owner: Generations | None = None

    def wants_tokens(self) -> bool:
        """Whether `produced` is to be called before the end."""
        return True

    def produced(self, tokens: int) -> None:
        """So many tokens are there by now, fewer than all."""

    def finished(self) -> None:
        """All tokens are there."""

    def started(self) -> None:
        if self._owner is not None:
            self._owner.watch(self)

    def join(self, owner: "Generations") -> None:
        """Set the receiver of tokens once it starts."""
        self._owner = owner if self.wants_tokens() else None

    def more(self, attained: float) -> int:
        """Tokens that are there when each job has attained this much: at least one is new."""
        due = int((attained - self.start - self.prefill) / self.each)
        self.done = min(max(due, self.done + 1), self.tokens - 1)
        return self.done

    def next_at(self) -> float:
        """Attained service at which the next token is there."""
        return self.start + self.prefill + (self.done + 1) * self.each


@final
class Generations:
    """All requests of a server; decides what happens until a given time, and does it."""

    def __init__(self, rate_at: RateAt, most: int | None, now: float) -> None:
        self.sharing = ProcessorSharing(rate_at, most, now)
        self._next: list[tuple[float, int, Generation]] = []  # by attained service
        self._serial = 0

    def advance(self, now: float) -> None:
        """Serve until `now`, and tell the clients."""
        ended = self.sharing.advance(now)
        self._produce(self.sharing.attained)
        for job in ended:
            assert isinstance(job, Generation)
            job.finished()

    def admit(self, generation: Generation) -> None:
        """A request comes, at the time of the last `advance`."""
        generation.join(self)
        self.sharing.admit(generation)

    def watch(self, generation: Generation) -> None:
        """Tell it of its tokens; the last one is there at its end."""
        if generation.tokens > 1:
            self._serial += 1
            heappush(self._next, (generation.next_at(), self._serial, generation))

    def next_token(self) -> float:
        """When the next token is there, but for the last one of each request; inf if none."""
        coming = self._next
        while coming and coming[0][2].gone:
            heappop(coming)
        return self.sharing.time_of(coming[0][0]) if coming else inf

    def _produce(self, attained: float) -> None:
        coming = self._next
        if not self.sharing.running:
            coming.clear()
        while coming and coming[0][0] <= attained:
            _, serial, generation = coming[0]
            tokens = 0 if generation.gone else generation.more(attained)
            if 0 < tokens < generation.tokens - 1:
                heapreplace(coming, (generation.next_at(), serial, generation))
            else:
                heappop(coming)
            if tokens:
                generation.produced(tokens)
