"""Probe: one request to a backend by aiohttp's client, with limits on time and size."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic
from types import SimpleNamespace, TracebackType
from typing import NamedTuple, Protocol, Self, final
from urllib.parse import urlsplit

import aiohttp

from isocline.errors import IsoclineError
from isocline.gateway import connect_failures
from isocline.gateway.config import BackendAddress

# Connections are kept from one request to the next until the backend closes them.
_KEEP = 15.0  # s
_PIECE = 65_536  # bytes read at a time
# A body that is not compressed is as long as it seems.
_HEADERS = {"User-Agent": "isocline", "Accept-Encoding": "identity"}
_RESOLVED = 10  # s a name stays resolved: a backend that moves is found as soon


class NoAnswerError(IsoclineError):
    """A backend gave no usable answer; the message has the reason, for the log."""


class Answer(NamedTuple):
    """Answer of a backend."""

    status: int
    body: bytes | None  # None: it is longer than was asked for
    measured: float  # s of the client's clock, midway between the question and the answer's head
    # s, from the question to the answer's head, once there was a connection; None: not known
    round_trip: float | None = None


@final
class _Sent:
    """When the head of a request is written, s of the client's clock."""

    time: float | None = None


class Probe(Protocol):
    """Client of backends, which are known by their numbers; open within its `async with` block."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def get(self, backend: int, path: str, timeout: float, largest: int) -> Answer:
        """GET a path of a backend within `timeout`, s, and up to `largest` bytes of the body.

        Raises:
            NoAnswerError: There was no usable answer.
        """
        ...


@final
class Client:
    """HTTP client of backends, by their numbers.

    A backend gets one request of a kind at a time, so it has at most two connections; a common
    limit on connections would make requests to good backends wait for bad ones.
    """

    def __init__(
        self,
        addresses: Sequence[BackendAddress],
        now: Callable[[], float] = monotonic,
        keeps: bool = True,
    ) -> None:
        """Make a client; `keeps`: keep connections from one request to the next.

        Raises:
            UsageError: A backend's certificates cannot be read.
        """
        self._now = now
        self._addresses = tuple(addresses)
        self._keeps = keeps
        self._bases = [address.url.rstrip("/") for address in addresses]
        self._contexts = _contexts(addresses)
        self._headers = [_headers(address) for address in addresses]
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = (
            aiohttp.TCPConnector(limit=0, ttl_dns_cache=_RESOLVED, keepalive_timeout=_KEEP)
            if self._keeps
            else aiohttp.TCPConnector(limit=0, ttl_dns_cache=_RESOLVED, force_close=True)
        )
        tracing = aiohttp.TraceConfig()
        tracing.on_request_headers_sent.append(self._note_sent)
        self._session = aiohttp.ClientSession(
            connector=connector,
            trace_configs=[tracing],
            headers=None
            if self._keeps
            else {"Connection": "close"},  # aiohttp 3.11 does not say so
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),  # each question has its own
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, backend: int, path: str, timeout: float, largest: int) -> Answer:
        """GET a path of a backend within `timeout`, s, and up to `largest` bytes of the body.

        A whole URL in place of the path is requested without the backend's credentials.

        Raises:
            NoAnswerError: There was no answer, or none that is HTTP.
        """
        return await self._asked(backend, ("GET", path, b""), timeout, largest)

    async def send(
        self, backend: int, request: tuple[str, str, bytes], timeout: float, largest: int
    ) -> Answer:
        """Send (method, path, JSON) to a backend, as `get`; raises NoAnswerError."""
        return await self._asked(backend, request, timeout, largest)

    async def _asked(
        self, backend: int, request: tuple[str, str, bytes], timeout: float, largest: int
    ) -> Answer:
        path = request[1]
        try:
            async with asyncio.timeout(timeout):
                return await self._answer(backend, request, largest)
        except TimeoutError:
            words = connect_failures.no_answer(self._address(backend, path), timeout)
            raise NoAnswerError(words) from None
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            raise NoAnswerError(_failure_text(error, self._address(backend, path))) from None

    def _address(self, backend: int, path: str) -> BackendAddress:
        """Return the URL of a request."""
        address = self._addresses[backend]
        return address if path.startswith("/") else replace(address, url=origin_of(path))

    async def _answer(self, backend: int, request: tuple[str, str, bytes], largest: int) -> Answer:
        assert self._session is not None
        method, path, body_sent = request
        at_backend = path.startswith("/")
        headers = self._headers[backend] if at_backend else _HEADERS
        if body_sent:
            headers = headers | {"Content-Type": "application/json"}
        sent = _Sent()
        async with self._session.request(
            method,
            self._bases[backend] + path if at_backend else path,
            data=body_sent or None,
            ssl=self._contexts[backend],
            headers=headers,
            allow_redirects=False,
            trace_request_ctx=sent,
        ) as response:
            answered = self._now()
            trip = None if sent.time is None else answered - sent.time
            measured = answered - (trip or 0.0) / 2
            body = await _bounded(response.content, largest)
            return Answer(response.status, body, measured, trip)

    async def _note_sent(self, session: object, context: SimpleNamespace, _: object) -> None:  # noqa: ARG002
        context.trace_request_ctx.time = self._now()


_TOO_LONG = "Got more than"  # aiohttp's words of a line beyond its limit, 8190 bytes


async def _bounded(content: aiohttp.StreamReader, largest: int) -> bytes | None:
    body = bytearray()
    while piece := await content.read(_PIECE):
        body += piece
        if len(body) > largest:
            return None  # leaving the response unread closes its connection
    return bytes(body)


def _contexts(addresses: Sequence[BackendAddress]) -> list[ssl.SSLContext | bool]:
    """Make one context for all backends that trust the same; True is what http wants."""
    made: dict[tuple[bool, str | None], ssl.SSLContext | None] = {}
    contexts: list[ssl.SSLContext | bool] = []
    for address in addresses:
        key = (address.url.startswith("https:"), address.ca_file)
        if key not in made:
            made[key] = address.context()
        contexts.append(made[key] or True)
    return contexts


def _headers(address: BackendAddress) -> dict[str, str]:
    if address.authorization is None:
        return _HEADERS
    return _HEADERS | {"Authorization": address.authorization}


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _failure_text(error: Exception, address: BackendAddress) -> str:
    """Describe an error as for a failed request in the log."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return connect_failures.failure_of(error.certificate_error, address)[1]
    if isinstance(error, aiohttp.ClientConnectorError):
        return connect_failures.failure_of(error.os_error, address)[1]
    if isinstance(error, (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)):
        return connect_failures.broken(address)
    if isinstance(error, aiohttp.ClientResponseError) and _TOO_LONG in error.message:
        return connect_failures.head_too_long(address)
    if isinstance(error, aiohttp.ClientResponseError):
        return connect_failures.malformed(address)
    # A name that is none, which aiohttp tells before it connects; or what connecting raised.
    return connect_failures.failure_of(error, address)[1]
