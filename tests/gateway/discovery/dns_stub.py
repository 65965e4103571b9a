"""A name server on loopback, over UDP and TCP, whose answers a test changes."""

import asyncio
from collections import Counter
from types import TracebackType
from typing import Self, final

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

_SOA = "ns. admin. 1 3600 600 86400"


@final
class DnsStub:
    """Answers of one server.

    Attributes:
        records: Texts of records by name and type; a name that has none at all does not exist.
        ttl: Of all answers, s.
        negative: Of the SOA record with answers that have none, s; None: there is no such record.
        rcode: Sent in place of any answer, if given.
        silent: It does not answer at all.
        cut_off: It answers by UDP that TCP is needed.
        questions: Questions by protocol.
    """

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.ttl = 60
        self.negative: int | None = 20
        self.rcode: dns.rcode.Rcode | None = None
        self.silent = self.cut_off = False
        self.questions: Counter[str] = Counter()
        self.port = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._tcp, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self._udp, _ = await loop.create_datagram_endpoint(
            lambda: _Udp(self), ("127.0.0.1", self.port)
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._udp.close()
        self._server.close()
        await self._server.wait_closed()

    def answer(self, wire: bytes, protocol: str) -> bytes | None:
        """The answer to a question; None: silence."""
        query = dns.message.from_wire(wire)
        self.questions[protocol] += 1
        if self.silent:
            return None
        response = dns.message.make_response(query)
        if self.cut_off and protocol == "udp":
            response.flags |= dns.flags.TC
            return response.to_wire()
        question = query.question[0]
        name = question.name.to_text()
        if self.rcode is not None:
            response.set_rcode(self.rcode)
            return response.to_wire()
        alias = self.records.get((name, "CNAME"))
        if alias:
            response.answer.append(dns.rrset.from_text(name, self.ttl, "IN", "CNAME", *alias))
            name = alias[0]
        kind = question.rdtype.name
        texts = self.records.get((name, kind), [])
        if texts:
            response.answer.append(dns.rrset.from_text(name, self.ttl, "IN", kind, *texts))
        elif not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        if not texts and self.negative is not None:
            response.authority.append(
                dns.rrset.from_text(".", 3600, "IN", "SOA", f"{_SOA} {self.negative}")
            )
        return response.to_wire()

    async def _tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            length = int.from_bytes(await reader.readexactly(2))
            answer = self.answer(await reader.readexactly(length), "tcp")
            if answer is not None:
                writer.write(len(answer).to_bytes(2) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()


@final
class _Udp(asyncio.DatagramProtocol):
    def __init__(self, stub: DnsStub) -> None:
        self._stub = stub

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._stub.answer(data, "udp")
        if answer is not None:
            self._transport.sendto(answer, addr)
