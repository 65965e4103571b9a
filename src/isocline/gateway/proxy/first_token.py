"""The first token of a streamed response: the first event that has content.

A server may send the head of a stream, an opening event with a role and no text, and comments that
keep the connection alive long before its first token. Content is a text, a reasoning, or the name
or arguments of a call to a tool, which is not empty, in the events of OpenAI's chat, completions
and responses and of Anthropic's messages.
"""

import re
from typing import final

from isocline.gateway.http.body import Chunked
from isocline.gateway.http.response_head import ResponseHead

# In JSON no string holds an unescaped quote: this can only match a key and its value.
_CONTENT = re.compile(
    rb'"(?:content|text|reasoning|reasoning_content|thinking|refusal|delta|name|arguments'
    rb'|partial_json)"\s*:\s*"(?!")'
)
_WHOLE = re.compile(rb'"response"\s*:\s*\{')  # events of a response's state repeat what was asked
_MOST, _KEPT = 65_536, 64  # bytes of a line that are kept until it ends; if it is longer
_INFINITE = float("inf")


def is_event_stream(head: ResponseHead) -> bool:
    """Whether a response is server-sent events that can be read as they pass."""
    found = False
    for key, value, _, _ in head.fields:
        if key == b"content-type":
            found = value.lower().startswith(b"text/event-stream")
        elif key == b"content-encoding":
            return False
    return found


def has_content(line: bytes) -> bool:
    """Whether a line of a stream of events is data with content."""
    if not line.startswith(b"data:") or _CONTENT.search(line) is None:
        return False
    return _WHOLE.search(line) is None


@final
class FirstToken:
    """Search for the first token in a body that comes in pieces of any size."""

    __slots__ = ("_chunks", "_rest")

    def __init__(self, chunked: bool) -> None:
        """Initialise; `chunked`: pieces are those of a body in chunks, with their sizes between."""
        limits = (_MOST, _MOST)
        self._chunks = Chunked(_INFINITE, limits, bare=True) if chunked else None
        self._rest = b""  # a line whose end has not come

    def feed(self, data: bytes) -> bool:
        """Read more of the body; returns whether the first token has come."""
        if self._chunks is not None:
            data, _ = self._chunks.feed(data)
        lines = (self._rest + data).split(b"\n")
        rest = lines.pop()
        for line in lines:
            if has_content(line):
                return True
        if len(rest) > _MOST:
            if has_content(rest):
                return True
            rest = b"data:" + rest[-_KEPT:] if rest.startswith(b"data:") else rest[-_KEPT:]
        self._rest = rest
        return False
