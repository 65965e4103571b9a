"""Server-sent events of a completion, as far as timing needs them."""

import re
from typing import final

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
