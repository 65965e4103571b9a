"""Work of requests, with the prompts that backends have cached counted in.

A request at backend b is

    w_b = prefill * (prompt tokens - those cached at b) + decode * output tokens

of work (`model.fleet.Work`), so a policy that compares prices of work sends it to the b of least
w_b times price: it goes where its prefix is cached unless the price there is higher by more than
the work that it saves. No threshold is to be set.

Three numbers are not known before a request ends, and are learned from those that have ended: the
tokens of its prompt, from its length in bytes; its output, from its frontend's mean; and whether
the cache holds what it is thought to hold, from what servers say of cached tokens. Of a prompt that
comes as tokens the first is known, and so is the last, at servers that publish what they cache
(`cache_index`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from isocline.gateway.core.cache_homes import NO_HOME, CacheHomes
from isocline.gateway.core.cache_index import CacheEvent, CacheIndex
from isocline.gateway.core.candidates import Open
from isocline.gateway.core.prefix_caches import PrefixCaches
from isocline.gateway.core.request_cost import Usage
from isocline.gateway.core.running_ratio import RunningRatio
from isocline.model.fleet import Work
from isocline.policies.routing.contract import (
    HELD,
    OUTPUT,
    PREFIX,
    PROMPT,
    UNCACHED,
    UNREAD,
    WORK,
    FloatArray,
)

# OpenAI's rule of thumb for English, until responses tell.
TOKENS_PER_BYTE = 0.25
# Bytes of a prompt that stand for one block. About 128 tokens, eight blocks of vLLM: what is cached
# is known to a part of that. 0.5 us of reading each.
BLOCK_LENGTH = 512
# A cache is believed in as after so many hits: one miss of a long prompt, as after its blocks were
# dropped, must not send all that is warm elsewhere.
_BELIEVED = 20.0


@final
@dataclass(frozen=True, slots=True)
class Prompt:
    """Prompt of a request, as far as its bytes tell."""

    length: int  # bytes
    blocks: tuple[int, ...] = ()  # of its beginning, see `prefix_caches`
    block_length: int = BLOCK_LENGTH  # bytes of each
    tokens: int = 0  # of a prompt that comes as tokens
    token_blocks: tuple[int, ...] = ()  # of these, see `cache_index`
    keys: tuple[int, ...] = ()  # of its beginnings, the same for all routers, see `cache_homes`


def text_blocks(text: bytes, begin: int = 0, model: bytes = b"") -> tuple[int, ...]:
    """Numbers of the whole blocks of a text from `begin` on, each of all bytes up to its end.

    Those of another model are others.
    """
    number = hash(model)
    found: list[int] = []
    for at in range(begin, len(text) - BLOCK_LENGTH + 1, BLOCK_LENGTH):
        number = hash((number, text[at : at + BLOCK_LENGTH]))
        found.append(number)
    return tuple(found)


@final
@dataclass(slots=True)
class PromptAtBackend:
    """Tokens of a prompt at the backend to which it was sent, as expected then."""

    tokens: float = 0.0
    cached: float = 0.0
    output: float = 0.0
    known: bool = False  # whether `cached` is no guess, by the events of the backend
    use: int = 0  # number in its index; 0: it has none
    at_home: bool = False


@final
class Prompts:
    """Prompts of the requests under way, and of those that backends have cached.

    Attributes:
        caches: Prefixes at the backends, by what was sent there.
        index: Blocks at the backends, by their events; None if none publishes any.
        homes: Homes of prompts; None, as at the start, if this router is the only one.
        work, job, tokens: Arrays of a policy's view, see `policies.routing.contract.View`.
        prompt_tokens, cached_tokens: Of each backend, as its responses told, ever.
    """

    def __init__(
        self,
        weights: Work,
        caches: PrefixCaches,
        frontends: int,
        work: FloatArray,
        job: FloatArray,
        tokens: FloatArray,
        index: CacheIndex | None = None,
    ) -> None:
        """Initialise; `work` is (E, 2), `job` (3,) and `tokens` (B, 2), of zeros."""
        backends = tokens.shape[0]
        self.caches = caches
        self.index = index
        self.homes: CacheHomes | None = None
        self.work, self.job, self.tokens = work, job, tokens
        self.prompt_tokens = [0] * backends
        self.cached_tokens = [0] * backends
        self._weights = weights
        # Memoryviews: writes are four times as fast as to the arrays themselves.
        self._work: Any = work.data
        self._job: Any = job.data
        self._tokens: Any = tokens.data
        self._tokens_per_byte = [RunningRatio(TOKENS_PER_BYTE, 1.0) for _ in range(frontends)]
        output = weights.mean / weights.decode if weights.decode > 0 else 0.0
        self._output = [RunningRatio(output, 1.0) for _ in range(frontends)]
        self._trust = [RunningRatio(_BELIEVED, _BELIEVED) for _ in range(backends)]
        self._mean = RunningRatio(weights.mean, 1.0)
        self._weighed: tuple[int, Prompt | None, Open] | None = None
        self._home = NO_HOME  # of the request weighed last

    def weigh_ahead(self, frontend: int, prompt: Prompt | None, candidates: Open) -> None:
        """As `weigh`, before a request is decided on: it is not weighed again then."""
        self.weigh(frontend, prompt, candidates)
        self._weighed = frontend, prompt, candidates

    def weigh(self, frontend: int, prompt: Prompt | None, candidates: Open) -> None:
        """Write what a request would be at each candidate, in mean requests, for the policy."""
        weighed, self._weighed = self._weighed, None
        if (
            weighed is not None
            and weighed[0] == frontend
            and weighed[1] is prompt
            and weighed[2] is candidates
        ):
            return
        output, mean = self._output[frontend].value, self._mean.value
        tokens = 0.0 if prompt is None else self._prompt_tokens(frontend, prompt)
        blocks = () if prompt is None else prompt.blocks
        hits = self.caches.hits(blocks, candidates.backends)
        there = self._token_hits(prompt, candidates.backends)
        self._home = home = self._home_of(prompt, candidates.backends)
        prefill, decode = self._weights.prefill, self._weights.decode * output
        for i, edge in enumerate(candidates.numbers):
            backend = candidates.backends[i]
            cached = self._cached(tokens, prompt, hits[i], backend)
            if there is not None:
                cached = self._known(tokens, there[i], backend, cached)
            if backend == home and self.homes is not None:
                cached = max(cached, tokens * self.homes.share)
            work = prefill * (tokens - cached) + decode
            self._work[edge, WORK] = work / mean if work > 0.0 else 1.0
            self._work[edge, UNCACHED] = tokens - cached
        self._job[PROMPT], self._job[OUTPUT] = tokens, output
        self._job[PREFIX] = float(blocks[0] & 0xFFFFFFFF) if blocks else 0.0

    def work_by(self, edge: int) -> float:
        """Work of the request weighed last, by an edge, in mean requests."""
        return float(self._work[edge, WORK])

    def sent(self, prompt: Prompt | None, edge: int, backend: int) -> PromptAtBackend:
        """The request weighed last goes by an edge to a backend, which then has its prompt."""
        tokens = self._job[PROMPT]
        at = PromptAtBackend(tokens, tokens - self._work[edge, UNCACHED], self._job[OUTPUT])
        self._weighed = None
        at.at_home = backend == self._home
        if prompt is not None:
            if self.homes is not None:
                self.homes.sent(prompt.keys)
            self.caches.hold(backend, prompt.blocks)
            if self.index is not None:
                at.known = bool(prompt.tokens) and self.index.is_complete(backend)
                at.use = self.index.sent(backend)
        self._tokens[backend, UNREAD] += at.tokens - at.cached
        self._tokens[backend, HELD] += at.tokens + at.output
        return at

    def left(self, at: PromptAtBackend, backend: int) -> None:
        """The request has left the backend, however."""
        tokens = self._tokens
        self._weighed = None
        if self.index is not None and at.use:
            self.index.left(backend, at.use)
        # Not below 0 by rounding: policies take these as numbers of tokens.
        tokens[backend, UNREAD] = max(tokens[backend, UNREAD] - at.tokens + at.cached, 0.0)
        tokens[backend, HELD] = max(tokens[backend, HELD] - at.tokens - at.output, 0.0)

    def finished(
        self,
        frontend: int,
        prompt: Prompt | None,
        at: PromptAtBackend,
        backend: int,
        usage: Usage | None,
    ) -> Usage | None:
        """Learn from a response; returns its usage, with the cached tokens if it has a prompt."""
        read = None if usage is None else usage.prompt
        if usage is None or read is None:
            return usage
        self._weighed = None
        if prompt is not None and prompt.length and not prompt.tokens:
            self._tokens_per_byte[frontend].add(read, prompt.length)
        self._output[frontend].add(usage.output, 1.0)
        if usage.cached is None:
            cached = min(int(at.cached), read)
        else:
            cached = usage.cached
            self.prompt_tokens[backend] += read
            self.cached_tokens[backend] += cached
            if at.at_home and self.homes is not None:
                self.homes.answered(cached / max(read, 1))
            elif at.cached > 0.0 and not at.known:
                expected = at.cached / self._trusted(backend)
                self._trust[backend].add(min(cached / expected, 1.0), 1.0)
        weights = self._weights
        self._mean.add(weights.prefill * (read - cached) + weights.decode * usage.output, 1.0)
        return Usage(read, usage.output, cached)

    def lost(self, backend: int) -> None:
        """A backend has lost its cache, as by a restart."""
        self._weighed = None
        if self.index is None:
            self.caches.drop(backend)
        else:
            self.index.lost(backend)

    def received(self, backend: int, rank: int, number: int, events: Sequence[CacheEvent]) -> None:
        """Take in a message of a rank of a backend that publishes what it caches."""
        self._weighed = None
        if self.index is not None:
            self.index.received(backend, rank, number, events)

    def message_expected(self, backend: int, rank: int) -> int:
        """Number of the next message of a rank of a backend, as far as is known."""
        return 0 if self.index is None else self.index.message_expected(backend, rank)

    def take_over(
        self, before: "Prompts", backends: Mapping[int, int], frontends: Mapping[int, int]
    ) -> None:
        """Take over what was known of backends and frontends: number here to number there."""
        for backend, number in backends.items():
            self.caches.hold_all(backend, before.caches.held(number))
            self._trust[backend] = before._trust[number]
        if self.index is not None and before.index is not None:
            self.index.take_over(before.index, backends)
        if self.homes is not None and before.homes is not None:
            self.homes.take_over(before.homes)
        for frontend, number in frontends.items():
            self._tokens_per_byte[frontend] = before._tokens_per_byte[number]
            self._output[frontend] = before._output[number]
        self._mean = before._mean

    def _home_of(self, prompt: Prompt | None, backends: Sequence[int]) -> int:
        if self.homes is None or prompt is None:
            return NO_HOME
        if prompt.tokens and self.index is not None:  # events say who has it
            return NO_HOME
        return self.homes.home(prompt.keys, backends)

    def _prompt_tokens(self, frontend: int, prompt: Prompt) -> float:
        if prompt.tokens:
            return float(prompt.tokens)
        return prompt.length * self._tokens_per_byte[frontend].value

    def _cached(self, tokens: float, prompt: Prompt | None, hits: int, backend: int) -> float:
        if not hits or prompt is None:
            return 0.0
        share = min(hits * prompt.block_length / max(prompt.length, 1), 1.0)
        return tokens * share * self._trusted(backend)

    def _token_hits(self, prompt: Prompt | None, backends: Sequence[int]) -> list[float] | None:
        """Blocks of tokens that backends are known to have; None if the prompt is text."""
        if self.index is None or prompt is None or not prompt.tokens:
            return None
        return self.index.hits(prompt.token_blocks, backends)

    def _known(self, tokens: float, there: float, backend: int, guess: float) -> float:
        """Tokens that a backend has cached, by its events; not fewer than a guess may be right."""
        assert self.index is not None
        # A server reads at least one token of a prompt.
        known = min(there * self.index.size, tokens - 1.0)
        return known if self.index.is_complete(backend) else max(known, guess)

    def _trusted(self, backend: int) -> float:
        """Share of what a backend is thought to have cached that it had, of late."""
        return min(max(self._trust[backend].value, 0.01), 1.0)
