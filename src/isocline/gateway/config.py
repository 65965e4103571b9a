"""Settings of the data plane: listeners, frontends, backends and limits.

All times are in seconds and all sizes in bytes. What a system file gives as it is used here
(conditions and limits) is defined in `isocline.model.serving_settings`.
"""

import hashlib
import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, final
from urllib.parse import urlsplit

from isocline.errors import UsageError
from isocline.gateway.tls.certificate_files import (
    authorities_problem,
    pair_problem,
    refuse_passphrase,
)
from isocline.gateway.tls.listener import ListenerContext
from isocline.model.endpoint import port_problem, shown
from isocline.model.match import Match
from isocline.model.serving_settings import Cors, KeyLimit, PickerSettings, SizeLimits, TimeLimits

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
    port: int = 0  # any free one
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
        http2: Speak HTTP/2 with it, which the built-in plane cannot.
    """

    name: str
    url: str
    ca_file: str | None = None
    keep_host: bool = True
    authorization: str | None = field(default=None, repr=False)
    reports: Literal["ask", "take", "ignore"] = "take"
    http2: bool = False

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        try:
            port_is_good = parts.port is None or parts.port > 0
        except ValueError:
            port_is_good = False
        scheme_is_good = parts.scheme in ("http", "https")
        if not (scheme_is_good and parts.hostname and port_is_good) or parts.query:
            problem = port_problem(self.url) or "it is not one to send requests to"
            raise UsageError(
                f"url: {shown(self.url)}: {problem}; "
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
class Sampling:
    """Choice of the requests that are traced.

    Attributes:
        share: Of the traces that begin here, those that are recorded.
        follows_parent: A request of a trace is recorded where its caller was; else by its trace id.
        continues: A request goes on with the trace that it names; else each one begins its own.
    """

    share: float = 1.0
    follows_parent: bool = True
    continues: bool = True


@final
@dataclass(frozen=True)
class ProxySettings:
    """All settings of the data plane.

    Attributes:
        trusted: Networks of proxies whose Forwarded and X-Forwarded-* are passed on; others' are
            replaced.
        key_digests: SHA-256 of the accepted API keys, see `digest`; empty: no key needed.
        key_names: Name of each of them.
        key_limits: Limits of the keys that have any, by name.
        cors: Which web pages may call; None: the backends decide.
        upgrades: Protocols, in lower case, to which a connection may be upgraded.
        candidates: Give observers the candidates of each choice: 1 us for each backend and request.
        tokens: Count the tokens of responses: 2 us for each piece of a stream.
        prompts: Read the beginning of each prompt, for what backends have cached of it.
        session: Name of a header, in lower case, that names a session in place of its prompt.
        picker: How `--plane picker` answers; the router itself does not read it.
        token_block: Tokens in a block of a prompt that comes as tokens; 0: it is read as text.
        residency: Whether backends hold only some models, so that each request's is read.
        homes: Whether prompts get keys by which routers agree on a backend for each.
        ask_usage: Request usage of streams whose clients do not, and remove it from the response.
        request_ids: Read the id of each request, or make one; else of those that are recorded.
        sampling: Which requests are traced; None: trace context passes through as it is.
    """

    backends: tuple[BackendAddress, ...]
    frontends: tuple[FrontendRule, ...]
    listeners: tuple[Listener, ...] = (Listener(),)
    times: TimeLimits = field(default_factory=TimeLimits)
    sizes: SizeLimits = field(default_factory=SizeLimits)
    trusted: tuple[Network, ...] = ()
    key_digests: tuple[bytes, ...] = ()
    key_names: tuple[str, ...] = ()
    key_limits: Mapping[str, KeyLimit] = field(default_factory=dict)
    cors: Cors | None = None
    upgrades: tuple[str, ...] = ("websocket",)
    candidates: bool = True
    tokens: bool = False
    ask_usage: bool = False
    prompts: bool = False
    session: bytes = b""
    request_ids: bool = False
    sampling: Sampling | None = None
    token_block: int = 0
    picker: PickerSettings = field(default_factory=PickerSettings)
    homes: bool = False
    residency: bool = False

    def __post_init__(self) -> None:
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
