"""Settings of the load generator."""

import math
import re
from dataclasses import dataclass
from typing import final
from urllib.parse import urlsplit

from isocline.errors import UsageError
from isocline.model.endpoint import port_problem, shown

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a field name (RFC 9110, Section 5.6.2)
_LONGEST = 3600.0  # s; what the histograms reach


@final
@dataclass(frozen=True)
class LoadSettings:
    """Where to, and how.

    Raises:
        UsageError: The URL is none of http or https, a header is malformed, a number is out of
            range.
    """

    url: str  # without a path: /v1/chat/completions is meant
    model: str = "isocline"
    streams: bool = False  # ask for server-sent events, and time their tokens
    connections: int = 1000  # open at a time, at most; requests that find none free wait
    timeout: float = 60.0  # s from when a request is due
    warmup: float = 0.0  # s; requests due earlier are sent but not measured
    headers: tuple[str, ...] = ()  # more header lines, as "Authorization: Bearer ..."

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f"{self.url!r} is not a URL to load; give http://HOST:PORT")
        try:
            _ = parts.port
        except ValueError:
            problem = port_problem(self.url) or "its port is no number"
            raise UsageError(f"{shown(self.url)}: {problem}; give http://HOST:PORT") from None
        if re.search(r"[\x00-\x20\x7f-\U0010ffff]", self.url):
            raise UsageError(f"{self.url!r}: write spaces and letters beyond ASCII as %20 and such")
        for line in self.headers:
            name, colon, value = line.partition(":")
            if not (colon and _TOKEN.fullmatch(name)) or re.search(r"[\r\n\0]", value):
                raise UsageError(f"header {line!r}: give it as 'Name: value'")
        if self.connections < 1:
            raise UsageError(f"connections is {self.connections}; give a whole number above 0")
        if not 0 < self.timeout <= _LONGEST:
            raise UsageError(f"timeout is {self.timeout} s; give one above 0, up to {_LONGEST:g}")
        if not (math.isfinite(self.warmup) and self.warmup >= 0):
            raise UsageError(f"warmup is {self.warmup} s; give a finite time of at least 0")
