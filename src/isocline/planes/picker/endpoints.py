"""Endpoints of the pool: `ADDRESS:PORT` of each backend, as the protocol names it."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import final
from urllib.parse import urlsplit

from isocline.errors import UsageError
from isocline.gateway.config import BackendAddress
from isocline.gateway.memo import Memo
from isocline.model.endpoint import joined

_MOST = 1000  # subsets kept: a gateway has few


@final
class Endpoint:
    """One backend, as metrics read its connections: the picker has none.

    Attributes:
        text: `ADDRESS:PORT`.
        host: The address alone.
        asks: Whether the backend is asked for load reports in its responses.
    """

    __slots__ = ("asks", "host", "idle", "opened", "text")

    def __init__(self, address: BackendAddress) -> None:
        """Initialise; raises UsageError for a URL that is not one of an address and a port."""
        self.text, self.host = _endpoint(address)
        self.asks = address.reports == "ask"
        self.idle = self.opened = 0


@final
class Endpoints:
    """Endpoints of all backends, and subsets of them."""

    def __init__(self, backends: Sequence[BackendAddress]) -> None:
        """Initialise; raises UsageError where a backend has no endpoint."""
        self.all = [Endpoint(address) for address in backends]
        self._numbers: dict[str, int] = {}
        for number, endpoint in enumerate(self.all):
            self._numbers.setdefault(endpoint.text, number)
        self._everywhere = frozenset(self._numbers.values())
        self._subsets: Memo[tuple[str, ...], frozenset[int]] = Memo(_MOST)

    def number(self, endpoint: str) -> int | None:
        """Number of the backend at an endpoint; None if there is none."""
        return self._numbers.get(_canonical(endpoint))

    def among(self, endpoints: Iterable[str] | None) -> frozenset[int] | None:
        """Backends at these endpoints; None: no limit, as all are among them, or none are given."""
        if endpoints is None:
            return None
        names = tuple(endpoints)
        found = self._subsets.get(names)
        if found is None:
            numbers = (self.number(name) for name in names)
            found = self._subsets.keep(names, frozenset(b for b in numbers if b is not None))
        return None if found == self._everywhere and found else found

    def at(self, hosts: Iterable[str]) -> frozenset[int]:
        """Backends at these addresses, each with a port or, for all of its ports, without."""
        wanted = {_canonical(host) for host in hosts}
        return frozenset(
            number
            for number, endpoint in enumerate(self.all)
            if endpoint.text in wanted or endpoint.host in wanted
        )


def _endpoint(address: BackendAddress) -> tuple[str, str]:
    if urlsplit(address.url).path.strip("/"):
        raise UsageError(
            "url: has a path, which a picker cannot add to requests; leave it out, and add it in "
            "the gateway's route"
        )
    try:
        host = str(ip_address(address.host))
    except ValueError:
        raise UsageError(
            f"url: has {address.host!r} in place of an address, and a picker names ADDRESS:PORT; "
            "give an address, or discover the backends"
        ) from None
    return joined(host, address.port), host


def _canonical(endpoint: str) -> str:
    """Write an address of IPv6 in one way, with a port or without."""
    text = endpoint.strip()
    if not text.startswith("["):
        return text
    host, _, port = text[1:].partition("]")
    try:
        written = str(ip_address(host))
    except ValueError:
        return text
    return f"[{written}]{port}" if port else written
