"""Targets of requests, and the bytes sent to them."""

import json
import ssl
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from typing import Literal, final
from urllib.parse import urlsplit

from isocline.loadgen.settings import LoadSettings

Kind = Literal["chat", "completion", "get"]
_CHAT, _COMPLETION = "/chat/completions", "/completions"


@final
class Target:
    """A server's address and what is asked of it.

    A path that ends in /chat/completions or /completions gets OpenAI requests, any other a GET.
    """

    def __init__(self, settings: LoadSettings, fields: Mapping[str, object] | None = None) -> None:
        """`fields` are more of each body of an OpenAI request."""
        parts = urlsplit(settings.url)
        assert parts.hostname is not None  # by LoadSettings
        self.host = parts.hostname
        self.tls = ssl.create_default_context() if parts.scheme == "https" else None
        self.port = parts.port or (443 if self.tls else 80)
        path = parts.path.rstrip("/")
        if path in {"", "/v1"}:
            path = f"/v1{_CHAT}"
        self.kind: Kind = "get"
        if path.endswith(_COMPLETION):
            self.kind = "chat" if path.endswith(_CHAT) else "completion"
        target = (path if self.kind != "get" else parts.path) + (parts.query and f"?{parts.query}")
        method = "GET" if self.kind == "get" else "POST"
        place = parts.netloc.rpartition("@")[2]
        lines = [f"{method} {target} HTTP/1.1", f"host: {place}", *settings.headers]
        if self.kind != "get":
            lines.append("content-type: application/json")
        self._head = "\r\n".join(lines).encode("latin-1", "replace")
        self.streams = settings.streams and self.kind != "get"
        self._body = self._template(
            {"model": settings.model, "stream": self.streams, **(fields or {})}
        )

    def _template(self, fields: Mapping[str, object]) -> bytes:
        """Format of a body, which lacks the prompt in JSON and the output tokens."""
        said = json.dumps(fields).replace("%", "%%")[1:-1]
        asked = '"prompt": %b'
        if self.kind == "chat":
            asked = '"messages": [{"role": "user", "content": %b}]'
        return f'{{{said}, {asked}, "max_tokens": %d}}'.encode()

    def request(self, prompt: str, output_tokens: int) -> bytes:
        """The bytes of one request."""
        if self.kind == "get":
            return self._head + b"\r\n\r\n"
        text = encode_basestring_ascii(prompt)
        body = self._body % (text.encode(), output_tokens)
        return b"%s\r\ncontent-length: %d\r\n\r\n%s" % (self._head, len(body), body)
