"""Prefix cache of an emulated server: blocks of prompts, the least recently used dropped first."""

from collections.abc import Iterator
from typing import Any, final

from isocline.gateway.core.prefix_caches import PrefixCaches

# Of a text, that are about one token (OpenAI's rule of thumb).
CHARACTERS = 4


@final
class PrefixCache:
    """Cache of `tokens` tokens of prompts, in blocks of `block_size`."""

    def __init__(self, tokens: int, block_size: int) -> None:
        """Initialise, empty."""
        self._block_size = block_size
        self._caches = PrefixCaches([tokens // block_size])

    def read(self, prompt: Any, tokens: int, model: str) -> int:
        """Read a prompt, and keep it; returns how many of its tokens were there.

        At least one token is always read, as by vLLM, which needs it for the first one it writes.
        """
        blocks = list(self._blocks(prompt, model))
        (hits,) = self._caches.hits(blocks, [0])
        self._caches.hold(0, blocks)
        return min(hits * self._block_size, tokens - 1)

    def _blocks(self, prompt: Any, model: str) -> Iterator[int]:
        """Hashes of the whole blocks of a prompt, each with all before it."""
        text = "".join(_texts(prompt))
        length = self._block_size * CHARACTERS
        number = hash(model)
        for at in range(0, len(text) - length + 1, length):
            number = hash((number, text[at : at + length]))
            yield number


def _texts(value: Any) -> Iterator[str]:
    """Text of a prompt; tokens that are given as numbers get as many characters as one has."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, dict):  # a message, or a part of one
        yield str(value.get("role", ""))
        yield from _texts(value.get("content") or value.get("text") or "")
    else:
        yield f"{value:>{CHARACTERS}}"
