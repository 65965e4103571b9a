"""Exporter: sends OTLP messages to a collector over HTTP, with retries.

Retries follow the protocol (https://opentelemetry.io/docs/specs/otlp/, OTLP/HTTP): if there is no
answer, or status 429, 502, 503 or 504, a message is sent again after a pause that doubles, or after
the time in `Retry-After`.
"""

import asyncio
import gzip
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import final

import aiohttp

from isocline.errors import UsageError
from isocline.gateway.http.retry_after import seconds_of
from isocline.gateway.telemetry.environment import Collector
from isocline.gateway.tls.certificate_files import authorities_problem
from isocline.structured_log import event

_log = logging.getLogger("isocline.serve.telemetry")

_AGAIN = frozenset((429, 502, 503, 504))
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 10.0  # s between two tries of one message
_MOST = 65_536  # most bytes of an answer that are read
_FIELDS = {"Content-Type": "application/x-protobuf", "User-Agent": "isocline"}


def context_of(collector: Collector) -> ssl.SSLContext | bool:
    """TLS context for a collector, True for the default; raises UsageError for a bad CA file."""
    if collector.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=collector.ca_file)
    except OSError as error:
        raise UsageError(authorities_problem(collector.ca_file, error)) from error


@final
class Exporter:
    """Sender of one kind of message, one after the other.

    Attributes:
        closing: Event after which failed messages are not sent again.
    """

    def __init__(
        self,
        collector: Collector,
        patience: float,
        clock: Callable[[], float],
        unix_time: Callable[[], float],
    ) -> None:
        """Initialise; raises UsageError if certificates cannot be read.

        Args:
            collector: Receiver of the messages.
            patience: Time after which a message is given up, s.
            clock: Monotonic clock, s.
            unix_time: Clock in s since 1970, for dates in Retry-After.
        """
        self.closing = asyncio.Event()
        self._collector = collector
        self._patience = patience
        self._clock = clock
        self._unix_time = unix_time
        self._context = context_of(collector)
        self._session: aiohttp.ClientSession | None = None
        self._problem = ""
        self._random = Random()

    async def send(self, message: bytes) -> bytes | None:
        """Send a message; returns the body of the answer, or None if the message is lost."""
        if self._collector.gzip:
            message = await asyncio.to_thread(gzip.compress, message)  # releases the GIL
        end = self._clock() + self._patience
        pause = _FIRST_PAUSE
        while True:
            status, body, wait = await self._try(message)
            if 200 <= status < 300:
                self._note("")
                return body
            if status and status not in _AGAIN:
                self._note(f"status {status}")
                return None
            rest = max(pause * self._random.uniform(0.5, 1.0), wait or 0.0)
            if self.closing.is_set() or self._clock() + rest > end:
                return None
            with suppress(TimeoutError):
                await asyncio.wait_for(self.closing.wait(), rest)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()

    async def _try(self, message: bytes) -> tuple[int, bytes, float | None]:
        """Send once; returns (status or 0, body, pause before the next try in s, or None)."""
        collector = self._collector
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=None)
            )
        fields = _FIELDS | ({"Content-Encoding": "gzip"} if collector.gzip else {})
        try:
            async with (
                asyncio.timeout(collector.timeout),
                self._session.post(
                    collector.url,
                    data=message,
                    headers=fields | dict(collector.headers),
                    ssl=self._context,
                    allow_redirects=False,
                ) as response,
            ):
                body = await _beginning(response.content)
                said = response.headers.get("Retry-After")
                wait = None if said is None else seconds_of(said.encode(), self._unix_time())
                if response.status in _AGAIN:
                    self._note(f"status {response.status}")
                return response.status, body, wait
        except TimeoutError:
            self._note(f"no answer within {collector.timeout:g} s")
        except (aiohttp.ClientError, OSError, UnicodeError, ValueError) as error:
            self._note(str(error) or type(error).__name__)
        return 0, b"", None

    def _note(self, problem: str) -> None:
        """Log a problem once, and that it is over."""
        if problem and not self._problem:
            what = "%s: %s; requests are served as before, telemetry may be lost"
            fields = event("telemetry.failed", url=self._collector.url, problem=problem)
            _log.warning(what, self._collector.url, problem, extra=fields)
        elif self._problem and not problem:
            fields = event("telemetry.recovered", url=self._collector.url)
            _log.info("%s: telemetry is accepted again", self._collector.url, extra=fields)
        self._problem = problem


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    """Read an answer, or the beginning of one too long to be a collector's."""
    body = b""
    while len(body) < _MOST and (piece := await content.read(_MOST)):
        body += piece
    return body
