"""Texts of prompts of a load: alike where the prompts of its schedule are."""

from typing import final

from isocline.loadgen.schedule import Schedule

# Four characters are about one token: OpenAI's rule of thumb.
TOKEN = "word"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS = [low + high for high in _DIGITS for low in _DIGITS]  # of two digits, the lower one first


@final
class Prompts:
    """Text of each request's prompt, of four characters a token.

    Where the schedule has blocks, as a trace with the hashes of prompts, a block has the same text
    in each prompt; else each prompt begins with the number of its request, so that no server finds
    it in a cache.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._tokens = schedule.prompt_tokens
        self._first, self._step = schedule.first, schedule.step
        self._blocks = schedule.blocks
        self._block_tokens = schedule.block_tokens

    def text(self, request: int) -> str:
        """Text of a request's prompt, by its place in the schedule."""
        tokens = int(self._tokens[request])
        if self._blocks is None:
            own = _word(self._first + self._step * request, 2 * len(TOKEN))
            return (own + TOKEN * tokens)[: len(TOKEN) * tokens]
        first, last = self._blocks.first[request : request + 2].tolist()
        ids = self._blocks.ids[first:last].tolist()
        known = "".join([_word(one, len(TOKEN)) * self._block_tokens for one in ids])
        return (known + TOKEN * tokens)[: len(TOKEN) * tokens]


def _word(number: int, length: int) -> str:
    """Number in base 36, of so many digits, an even count, the last ones; its own first."""
    pairs = []
    for _ in range(length // 2):
        number, pair = divmod(number, len(_PAIRS))
        pairs.append(_PAIRS[pair])
    return "".join(pairs)
