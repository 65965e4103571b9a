"""Source of endpoints in DNS: A, AAAA and SRV records, queried again when their TTL has expired.

- The TTL is the least in the answer's chain, aliases included, limited to `shortest` and `longest`:
  a TTL of 0 must not become a busy loop, nor a TTL of a day hide a change.
- A name that does not exist, or lacks the record, is an answer without endpoints (RFC 2308). It is
  queried again after the TTL of the zone's SOA record, within the same limits.
- A failure (no server answers, SERVFAIL) is no answer: the last one is kept. The pause doubles from
  `shortest` to `longest`.
- Of SRV records, those with the lowest priority number are used, as RFC 2782 requires; the target's
  name is resolved at each connection.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import NamedTuple, final
from urllib.parse import urlsplit

from isocline.gateway.discovery.source import Reports, Source, SourceError
from isocline.model.endpoint import Endpoint, joined
from isocline.model.systemfile.discovery_schema import DnsEntry

_PORT = 53


class Records(NamedTuple):
    """Answer to one query: records in the text form of their type, and a TTL, s."""

    texts: tuple[str, ...]
    ttl: float


Ask = Callable[[str, str], Awaitable[Records]]
"""Function that queries the records of a name and a type; raises SourceError."""


class Answer(NamedTuple):
    """Endpoints of a name, and the time until the next query, s."""

    endpoints: tuple[Endpoint, ...]
    pause: float


@final
class DnsSource(Source):
    """Source that queries one name."""

    def __init__(self, entry: DnsEntry, ask: Ask | None = None) -> None:
        """Initialise; `ask` defaults to a resolver with the entry's servers.

        Raises:
            SourceError: The address of a name server is invalid, or the system has no name server.
        """
        self._entry = entry
        self._ask = ask or _resolver(entry)

    async def once(self) -> Sequence[Endpoint]:
        return (await self._answer()).endpoints

    async def run(self, reports: Reports) -> None:
        entry, failures = self._entry, 0
        while True:
            try:
                answer = await self._answer()
            except SourceError as error:
                reports.failed(str(error))
                pause = min(entry.shortest * 2.0**failures, entry.longest)
                failures = min(failures + 1, 30)
            else:
                failures = 0
                reports.found(answer.endpoints)
                pause = answer.pause
            await asyncio.sleep(pause)

    async def _answer(self) -> Answer:
        entry = self._entry
        types = ("A", "AAAA") if entry.record == "both" else (entry.record,)
        answers = [await self._ask(entry.name, each) for each in types]
        texts = [text for answer in answers for text in answer.texts]
        endpoints = _of_srv(texts) if entry.record == "SRV" else _of_addresses(texts, entry.port)
        ttl = min(answer.ttl for answer in answers)
        return Answer(tuple(endpoints), min(max(ttl, entry.shortest), entry.longest))


def _of_addresses(texts: Sequence[str], port: int | None) -> list[Endpoint]:
    assert port is not None  # by the schema
    addresses = [joined(text, port) for text in sorted(set(texts))]
    return [Endpoint(it, it, {"address": it.rpartition(":")[0].strip("[]")}) for it in addresses]


def _of_srv(texts: Sequence[str]) -> list[Endpoint]:
    """Endpoints of records `priority weight port target`; `0 0 0 .` means no such service."""
    records = [text.split() for text in texts]
    usable = [it for it in records if it[3] != "."]
    least = min((int(it[0]) for it in usable), default=0)
    found: dict[str, Endpoint] = {}
    for priority, weight, port, target in usable:
        if int(priority) == least:
            name = joined(target.rstrip("."), int(port))
            labels = {"target": target.rstrip("."), "weight": weight}
            found[name] = Endpoint(name, name, labels)
    return [found[name] for name in sorted(found)]


def _resolver(entry: DnsEntry) -> Ask:
    """Return a stub resolver without a cache: UDP, and TCP if an answer is truncated."""
    import dns.asyncresolver  # noqa: PLC0415 - only those who ask need the extra
    import dns.exception  # noqa: PLC0415
    import dns.nameserver  # noqa: PLC0415
    import dns.resolver  # noqa: PLC0415

    try:
        resolver = dns.asyncresolver.Resolver(configure=not entry.servers)
    except dns.exception.DNSException as error:
        raise SourceError(f"the system has no DNS server ({error}); give servers") from error
    if entry.servers:
        resolver.nameservers = [
            dns.nameserver.Do53Nameserver(*_server(text)) for text in entry.servers
        ]

    async def ask(name: str, record: str) -> Records:
        try:
            answer = await resolver.resolve(
                name, record, lifetime=entry.timeout, raise_on_no_answer=False, search=True
            )
        except dns.resolver.NXDOMAIN as error:
            responses = error.kwargs["responses"].values()
            ttls = [it.resolve_chaining().minimum_ttl for it in responses]
            return Records((), _ttl(min(ttls, default=0)))
        except (dns.exception.DNSException, OSError, ValueError) as error:
            problem = " ".join(str(error).split()) or type(error).__name__
            raise SourceError(f"{record} of {name}: {problem}") from error
        texts = () if answer.rrset is None else tuple(it.to_text() for it in answer.rrset)
        return Records(texts, _ttl(answer.chaining_result.minimum_ttl))

    return ask


# Value of dnspython for an answer without any TTL, such as a negative one without SOA.
_NO_TTL = 2**31 - 1


def _ttl(seconds: int) -> float:
    return float(seconds) if seconds < _NO_TTL else 0.0


def _server(text: str) -> tuple[str, int]:
    """Read `ADDRESS` or `ADDRESS:PORT`; raises SourceError."""
    try:
        return str(ip_address(text)), _PORT
    except ValueError:
        pass
    try:
        parts = urlsplit(f"//{text}")
        return str(ip_address(parts.hostname or "")), parts.port or _PORT
    except ValueError:
        raise SourceError(
            f"servers: {text!r} is not a name server; give an address, as 10.0.0.10 or 10.0.0.10:53"
        ) from None
