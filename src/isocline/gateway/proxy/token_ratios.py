"""Tokens for each byte of text, by model, learned from responses with token counts."""

from typing import final

from isocline.gateway.memo import Memo

_MODELS = 1000  # whose ratio is kept, whatever names backends give
# Tokens, then the older ones count half: a ratio is known to 1 % after some ten thousand, and
# follows what clients ask for.
_REMEMBERED = 100_000.0


@final
class TokenRatios:
    """Sums of tokens and of bytes for each model."""

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums: Memo[bytes, list[float]] = Memo(_MODELS)

    def learn(self, model: bytes, tokens: int, length: int) -> None:
        """Add a response of a model: its tokens, and the bytes of its text."""
        sums = self._sums.get(model)
        if sums is None:
            sums = self._sums.keep(model, [0.0, 0.0])
        sums[0] += tokens
        sums[1] += length
        if sums[0] > _REMEMBERED:
            sums[0] /= 2.0
            sums[1] /= 2.0

    def tokens(self, model: bytes, length: int, events: int) -> int:
        """Estimate the tokens of a text of so many bytes, in so many events: at least one each."""
        sums = self._sums.get(model)
        if sums is None:
            return events
        return max(round(length * sums[0] / sums[1]), events)
