"""Limits of API keys on requests and tokens per minute.

Each limit is a token bucket that holds a minute's worth and is filled evenly, as OpenAI's are: in
any t seconds a key gets at most L (1 + t / 60) of L per minute. A bucket is one number, the time
f at which it is full again: with r = L / 60, what is taken at `now` is (f - now) r, and to take c
sets f to max(f, now) + c / r (the virtual scheduling form of the generic cell rate algorithm, ITU-T
I.371, Annex A). So nothing is to be done as time passes, and workers share a limit by sharing that
number.

What a request takes of its key's tokens is known at its end. It is charged when it comes, by the
length of its body and by the mean output of the key's requests so far, and the charge is corrected
then; a bucket may be overdrawn by that, and is filled first.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, final

from isocline.gateway.core.prompts import TOKENS_PER_BYTE
from isocline.gateway.core.request_cost import Usage
from isocline.gateway.core.running_ratio import RunningRatio
from isocline.model.serving_settings import KeyLimit

_PERIOD = 60.0  # s
REQUESTS, TOKENS = 0, 1  # kinds of limits
# What a refund is rounded by must not keep a request out that the wait was told for.
_ROUNDING = 1e-9


class Buckets(Protocol):
    """Buckets by name of a key, two each, as numbers that may be shared with other processes."""

    def slots_of(self, names: Sequence[str]) -> list[int]:
        """Return the slot of each name, always the same."""

    def lock(self, slot: int) -> None:
        """Wait until no other process uses the buckets of a slot, and keep them out."""

    def unlock(self, slot: int) -> None:
        """Let others in again."""

    def full_at(self, kind: int, slot: int) -> float:
        """Time at which a bucket is full again, s; 0 at first."""

    def fill_at(self, kind: int, slot: int, time: float) -> None:
        """Set that time."""


class Standing(NamedTuple):
    """One limit after a request."""

    limit: float  # per minute
    remaining: float  # of it, now
    full_in: float  # s, without further requests


@final
@dataclass(frozen=True, slots=True)
class Charge:
    """Charge for a request of a key with limits, to be settled at its end.

    Attributes:
        length: Bytes of its body; below 0: it is no request for tokens.
        tokens: Tokens that were taken for it.
        exceeded: `requests` or `tokens`, if it may not go.
        wait: Time after which it may come again, s.
    """

    length: int
    tokens: float = 0.0
    exceeded: str = ""
    wait: float = 0.0


class Verdict(NamedTuple):
    """Decision about a request, and what is left of its key's limits; None where it has none."""

    charge: Charge
    requests: Standing | None
    tokens: Standing | None


@final
class _Limited:
    """A key with limits."""

    __slots__ = ("output", "requests", "slot", "tokens", "tokens_per_byte")

    def __init__(self, limit: KeyLimit, slot: int) -> None:
        self.requests = limit.requests
        self.tokens = limit.tokens
        self.slot = slot
        self.tokens_per_byte = RunningRatio(TOKENS_PER_BYTE, 1.0)
        self.output = RunningRatio(0.0, 1.0)  # tokens of a request's response


@final
class KeyLimits:
    """Limits of keys by their names; those without any are not in there."""

    def __init__(self, limits: Mapping[str, KeyLimit], buckets: Buckets) -> None:
        """Initialise; `buckets` outlast a change of limits, and may be shared by several."""
        names = list(limits)
        slots = buckets.slots_of(names)
        self._buckets = buckets
        self._by_name = {
            name: _Limited(limits[name], slot) for name, slot in zip(names, slots, strict=True)
        }

    def take(self, name: str, now: float, length: int) -> Verdict:
        """Take a request from the limits of its key, if they have room for it.

        Args:
            name: Name of its key, one of those with limits.
            now: Seconds, of one clock for all processes that share the buckets.
            length: Bytes of its body; below 0: it is no request for tokens.
        """
        key = self._by_name[name]
        charge = 0.0
        if key.tokens is not None and length >= 0:
            charge = length * key.tokens_per_byte.value + key.output.value
        buckets, slot = self._buckets, key.slot
        buckets.lock(slot)
        try:
            waits = [
                self._wait(REQUESTS, slot, key.requests, 1.0, now),
                self._wait(TOKENS, slot, key.tokens, charge, now),
            ]
            wait = max(waits)
            if wait == 0.0:
                self._take(REQUESTS, slot, key.requests, 1.0, now)
                self._take(TOKENS, slot, key.tokens, charge, now)
            requests = self._standing(REQUESTS, slot, key.requests, now)
            tokens = self._standing(TOKENS, slot, key.tokens, now)
        finally:
            buckets.unlock(slot)
        if wait > 0.0:
            exceeded = "requests" if waits[REQUESTS] == wait else "tokens"
            return Verdict(Charge(length, 0.0, exceeded, wait), requests, tokens)
        return Verdict(Charge(length, charge), requests, tokens)

    def settle(self, name: str, now: float, charge: Charge, usage: Usage | None) -> None:
        """Correct the charge for a request, by its usage; None: it used no tokens.

        A key that has lost its limits meanwhile has nothing to settle.
        """
        key = self._by_name.get(name)
        if key is None or key.tokens is None or charge.exceeded:
            return
        used, length = 0.0, charge.length
        if usage is not None:
            prompt = max(length, 0) * key.tokens_per_byte.value
            if usage.prompt is not None:
                prompt = float(usage.prompt)
                if length > 0:
                    key.tokens_per_byte.add(prompt, float(length))
            key.output.add(float(usage.output), 1.0)
            used = prompt + usage.output
        buckets, slot = self._buckets, key.slot
        buckets.lock(slot)
        try:
            self._take(TOKENS, slot, key.tokens, used - charge.tokens, now)
        finally:
            buckets.unlock(slot)

    def take_over(self, before: "KeyLimits") -> None:
        """Take over what was learned of the requests of keys that are in both."""
        for name, key in self._by_name.items():
            known = before._by_name.get(name)
            if known is not None:
                key.tokens_per_byte, key.output = known.tokens_per_byte, known.output

    def _wait(self, kind: int, slot: int, limit: float | None, cost: float, now: float) -> float:
        """Time until a bucket has room for a cost, s; for more than it holds, until it is full."""
        if limit is None or cost <= 0.0:
            return 0.0
        room = limit - min(cost, limit)
        wait = self._buckets.full_at(kind, slot) - now - room * _PERIOD / limit
        return wait if wait > _ROUNDING else 0.0

    def _take(self, kind: int, slot: int, limit: float | None, cost: float, now: float) -> None:
        """Take a cost from a bucket; below 0, give it back."""
        if limit is None or cost == 0.0:
            return
        full = self._buckets.full_at(kind, slot)
        if cost > 0.0:
            full = max(full, now)
        self._buckets.fill_at(kind, slot, full + cost * _PERIOD / limit)

    def _standing(self, kind: int, slot: int, limit: float | None, now: float) -> Standing | None:
        if limit is None:
            return None
        full_in = max(self._buckets.full_at(kind, slot) - now, 0.0)
        return Standing(limit, max(limit - full_in * limit / _PERIOD, 0.0), full_in)


@final
class OwnBuckets:
    """Buckets of one process alone."""

    def __init__(self) -> None:
        self._slots: dict[str, int] = {}
        self._full_at: list[float] = []

    def slots_of(self, names: Sequence[str]) -> list[int]:
        for name in names:
            if name not in self._slots:
                self._slots[name] = len(self._slots)
                self._full_at += [-math.inf, -math.inf]
        return [self._slots[name] for name in names]

    def lock(self, slot: int) -> None:
        """Nobody else is there."""

    def unlock(self, slot: int) -> None:
        """Nobody else is there."""

    def full_at(self, kind: int, slot: int) -> float:
        return self._full_at[2 * slot + kind]

    def fill_at(self, kind: int, slot: int, time: float) -> None:
        self._full_at[2 * slot + kind] = time
