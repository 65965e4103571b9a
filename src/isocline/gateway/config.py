"""Settings of the data plane: listeners, frontends, backends and limits.

All times are in seconds and all sizes in bytes. The defaults are those a careful operator would
choose before OpenAI-compatible servers; each says why it is what it is.
"""

import hashlib
import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, final
from urllib.parse import urlsplit

from isocline.errors import UsageError
from isocline.gateway.cors import Cors
from isocline.gateway.tls.certificate_files import (
    authorities_problem,
    pair_problem,
    refuse_passphrase,
)
from isocline.gateway.tls.listener import ListenerContext

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@final
@dataclass(frozen=True)
class Tls:
    """Certificate and key of a listener, PEM files."""

    certificate: str
    key: str | None = None  # None: it is in the certificate's file

    def context(self) -> ssl.SSLContext:
        """Context for TLS 1.2 or later, HTTP/1.1 only; raises UsageError if a file is unusable."""
        context = ListenerContext()
        self.load(context)
        return context

    def load(self, context: ssl.SSLContext) -> None:
        """Read the files again, for handshakes from now on; raises UsageError."""
        try:
            context.load_cert_chain(self.certificate, self.key, refuse_passphrase)
        except (OSError, ValueError) as error:
            raise UsageError(pair_problem(self.certificate, self.key, error)) from error


@final
@dataclass(frozen=True)
class Listener:
    """Address and port that accept connections; loopback by default."""

    host: str = "127.0.0.1"
    port: int = 8080  # 0: any free one
    name: str = "default"
    tls: Tls | None = None


@final
@dataclass(frozen=True)
class BackendAddress:
    """Address of a backend: `http://host:port[/base]` or `https://...`.

    Attributes:
        name: As in the system file.
        url: Its base; what a client asks for is appended.
        ca_file: Certificates to trust for https; None: the system's.
        keep_host: Pass the client's Host on; otherwise Host names the backend.
        authorization: Sent in place of the client's Authorization and x-api-key.
        reports: Load reports in responses (ORCA): `ask` requests and uses them, as vLLM sends them
            on request only; `take` uses those that come; `ignore` uses none.
    """

    name: str
    url: str
    ca_file: str | None = None
    keep_host: bool = True
    authorization: str | None = field(default=None, repr=False)
    reports: Literal["ask", "take", "ignore"] = "take"

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        try:
            port_is_good = parts.port is None or parts.port > 0
        except ValueError:
            port_is_good = False
        scheme_is_good = parts.scheme in ("http", "https")
        if not (scheme_is_good and parts.hostname and port_is_good) or parts.query:
            raise UsageError(
                f"url: {self.url!r} is not one to send requests to; "
                "give http://host:port or https://host:port, with a path if it has one"
            )

    @property
    def host(self) -> str:
        """Name or address to connect to."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Port of the URL, or the scheme's."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def base(self) -> str:
        """Path before every target, without its last slash."""
        return urlsplit(self.url).path.rstrip("/")

    def context(self) -> ssl.SSLContext | None:
        """TLS towards the backend; raises UsageError if `ca_file` cannot be read."""
        if urlsplit(self.url).scheme == "http":
            return None
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            if self.ca_file is None:
                raise
            raise UsageError(authorities_problem(self.ca_file, error)) from error


@final
@dataclass(frozen=True)
class Match:
    """Conditions of a frontend: it takes a request that meets all of those given.

    Attributes:
        listener: Name of the listener.
        host: Host without port, a shell-style pattern: `*.example.org`; case does not matter.
        path: Prefix that ends at a slash or at the path's end: /v1 takes /v1/models, not /v10.
        headers: Name to shell-style pattern of the value.
        model: Shell-style pattern of the `model` field of a JSON body.
    """

    listener: str | None = None
    host: str | None = None
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    model: str | None = None


@final
@dataclass(frozen=True)
class FrontendRule:
    """Frontend and its conditions; its number is its position in `ProxySettings.frontends`.

    Attributes:
        resend_unanswered: Send a request of any method again, a POST too, where a connection that
            had served others was closed before a byte of its response. The backend may have begun.
    """

    name: str
    match: Match = field(default_factory=Match)
    resend_unanswered: bool = False


@final
@dataclass(frozen=True)
class TimeLimits:
    """Time limits of the parts of an exchange, s."""

    header: float = 15.0  # from a connection's or a request's first sign to the end of its head
    keep_alive: float = 75.0  # an idle client connection, as nginx
    connect: float = 3.0  # to a backend, TLS included
    first_byte: float = 600.0  # an LLM that does not stream says nothing until it is done
    idle: float = 300.0  # no byte moved in either direction, within a message
    total: float = 3600.0  # from the head of a request to the end of its response
    tunnel: float = 3600.0  # no byte moved in an upgraded connection
    pool: float = 4.0  # an idle backend connection: below the 5 s after which uvicorn closes it
    linger: float = 2.0  # reading on after an early answer, so that a reset does not destroy it

    @property
    def shortest(self) -> float:
        """Shortest limit, s."""
        return float(min(vars(self).values()))


@final
@dataclass(frozen=True)
class SizeLimits:
    """Size limits of the parts of a message, in bytes unless said otherwise."""

    head: int = 32_768
    header_count: int = 100
    body: int = 256 * 2**20
    # Kept of the bodies of all requests, for each process, before one more that is read for its
    # model is refused: four of the longest.
    bodies: int = 2**30
    replay: int = 65_536  # kept of a request's body so that it can be sent again
    buffer: int = 65_536  # written and not yet taken by the peer, then its source is paused
    pool: int = 256  # idle connections kept for each backend; 0: each request gets a new one
    connections: int = 10_000  # of clients, for each process

    def __post_init__(self) -> None:
        if self.bodies < self.body:
            raise UsageError(
                f"limit bodies = {self.bodies} is less than body = {self.body}, which one request "
                "may have; give more"
            )


@final
@dataclass(frozen=True)
class ProxySettings:
    """All settings of the data plane.

    Attributes:
        trusted: Networks of proxies whose Forwarded and X-Forwarded-* are passed on; others' are
            replaced.
        key_digests: SHA-256 of the accepted API keys, see `digest`; empty: no key needed.
        cors: Which web pages may call; None: the backends decide.
        upgrades: Protocols, in lower case, to which a connection may be upgraded.
        candidates: Give observers the candidates of each choice: 1 us for each backend and request.
        tokens: Count the tokens of responses: 2 us for each piece of a stream.
        ask_usage: Request usage of streams whose clients do not, and remove it from the response.
    """

    backends: tuple[BackendAddress, ...]
    frontends: tuple[FrontendRule, ...]
    listeners: tuple[Listener, ...] = (Listener(),)
    times: TimeLimits = field(default_factory=TimeLimits)
    sizes: SizeLimits = field(default_factory=SizeLimits)
    trusted: tuple[Network, ...] = ()
    key_digests: tuple[bytes, ...] = ()
    cors: Cors | None = None
    upgrades: tuple[str, ...] = ("websocket",)
    candidates: bool = True
    tokens: bool = False
    ask_usage: bool = False

    def __post_init__(self) -> None:
        for group in (self.times, self.sizes):
            for name, value in vars(group).items():
                if not (value > 0 or (group is self.sizes and name == "pool" and value == 0)):
                    raise UsageError(f"limit {name} = {value!r}: give a number above 0")
        _require_distinct("listener", [listener.name for listener in self.listeners])
        _require_distinct("frontend", [frontend.name for frontend in self.frontends])
        known = {listener.name for listener in self.listeners}
        for frontend in self.frontends:
            wanted = frontend.match.listener
            if wanted is not None and wanted not in known:
                raise UsageError(
                    f"frontend {frontend.name}: match.listener {wanted!r} is not one of "
                    f"{', '.join(sorted(known))}"
                )


def digest(key: str) -> bytes:
    """SHA-256 of an API key, kept so that neither memory nor log holds the key itself."""
    return hashlib.sha256(key.encode()).digest()


def _require_distinct(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{what} {name} is given twice; names tell them apart")
