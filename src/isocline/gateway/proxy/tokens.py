"""Tokens of a response, read in passing: 0.3 us for each piece, and no body is held."""

import re
from typing import final

from isocline.gateway.work import Usage

# Servers write `usage` last, and what follows it is short.
_TAIL = 2048  # bytes
# As OpenAI's chat and completions have it, or its responses and Anthropic's messages. Within a
# generated text its quotes would be escaped.
_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_PROMPT = re.compile(rb'"(?:prompt|input)_tokens"\s*:\s*([0-9]{1,12})\b')
_OUTPUT = re.compile(rb'"(?:completion|output)_tokens"\s*:\s*([0-9]{1,12})\b')
_EVENT = b"\ndata:"  # a line of server-sent events; in chunks the first one follows a line, too
_NO_TOKENS = 2  # of those: the one that ends the text, and [DONE]


@final
class Tokens:
    """Of one response."""

    __slots__ = ("_events", "_tail")

    def __init__(self) -> None:
        self._events = 0
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """More of the body, in chunks or without."""
        self._events += data.count(_EVENT)
        self._tail = data[-_TAIL:] if len(data) >= _TAIL else (self._tail + data)[-_TAIL:]

    def usage(self) -> Usage | None:
        """What it says in `usage`, the last time it does; else one token for each event.

        None where neither is there, as where the body is compressed.
        """
        for found in reversed(list(_USAGE.finditer(self._tail))):
            said = self._tail[found.end() :]
            prompt, output = _PROMPT.search(said), _OUTPUT.search(said)
            if prompt or output:
                return Usage(int(prompt[1]) if prompt else None, int(output[1]) if output else 0)
        return Usage(None, self._events - _NO_TOKENS) if self._events > _NO_TOKENS else None
