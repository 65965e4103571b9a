"""The source `dns`: a name server over UDP and TCP, and TTLs on virtual time."""

import asyncio
from collections.abc import Coroutine
from typing import Any, final

import dns.rcode
import pytest

from isocline.gateway.discovery.dns import DnsSource, Records
from isocline.gateway.discovery.source import SourceError
from isocline.model.endpoint import Endpoint
from isocline.model.systemfile.discovery_schema import DnsEntry
from tests.gateway.discovery.dns_stub import DnsStub
from tests.gateway.discovery.reports import PATIENCE, Running
from tests.virtual_time import run_virtually


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(2 * PATIENCE):
            await scenario

    asyncio.run(bounded())


def entry(stub: DnsStub, **more: Any) -> DnsEntry:
    port = None if more.get("record") == "SRV" else 80
    server = f"127.0.0.1:{stub.port}"
    more = {"name": "gpu.test.", "port": port, "servers": [server], "timeout": PATIENCE} | more
    return DnsEntry(**more)


async def addresses(stub: DnsStub, **more: Any) -> list[str]:
    return [it.address for it in await DnsSource(entry(stub, **more)).once()]


def test_addresses_are_endpoints_in_an_order_of_their_own() -> None:
    async def scenario() -> None:
        async with DnsStub() as stub:
            stub.records["gpu.test.", "A"] = ["10.0.0.2", "10.0.0.1"]
            stub.records["gpu.test.", "AAAA"] = ["fd00::1"]
            assert await addresses(stub) == ["10.0.0.1:80", "10.0.0.2:80"]
            assert await addresses(stub, record="AAAA") == ["[fd00::1]:80"]
            both = await addresses(stub, record="both")
            assert both == ["10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80"]
            (first, _) = await DnsSource(entry(stub)).once()
            assert first == Endpoint("10.0.0.1:80", "10.0.0.1:80", {"address": "10.0.0.1"})

    run(scenario())


def test_services_have_hosts_and_ports_and_only_the_most_preferred_are_taken() -> None:
    async def scenario() -> None:
        async with DnsStub() as stub:
            stub.records["gpu.test.", "SRV"] = [
                "10 50 8001 b.test.",
                "10 50 8000 a.test.",
                "20 50 8000 spare.test.",
            ]
            found = await DnsSource(entry(stub, record="SRV")).once()
            assert [it.address for it in found] == ["a.test:8000", "b.test:8001"]
            assert found[0].labels == {"target": "a.test", "weight": "50"}
            stub.records["gpu.test.", "SRV"] = ["0 0 0 ."]  # RFC 2782: there is no such service
            assert await addresses(stub, record="SRV") == []

    run(scenario())


def test_an_alias_is_followed_and_an_answer_that_is_cut_off_is_asked_for_by_tcp() -> None:
    async def scenario() -> None:
        async with DnsStub() as stub:
            stub.records["gpu.test.", "CNAME"] = ["real.test."]
            stub.records["real.test.", "A"] = [f"10.0.{i // 250}.{i % 250}" for i in range(500)]
            stub.cut_off = True
            assert len(await addresses(stub)) == 500
            assert stub.questions == {"udp": 1, "tcp": 1}

    run(scenario())


@pytest.mark.parametrize("negative", [20, None])
def test_no_such_name_and_no_such_record_are_answers_without_endpoints(
    negative: int | None,
) -> None:
    async def scenario() -> None:
        async with DnsStub() as stub:
            stub.negative = negative
            assert await addresses(stub) == []
            stub.records["gpu.test.", "TXT"] = ["x"]
            assert await addresses(stub) == []

    run(scenario())


def test_a_failure_is_no_answer() -> None:
    async def scenario() -> None:
        async with DnsStub() as stub:
            stub.records["gpu.test.", "A"] = ["10.0.0.1"]
            for rcode in (dns.rcode.SERVFAIL, dns.rcode.REFUSED):
                stub.rcode = rcode
                with pytest.raises(SourceError, match=r"^A of gpu.test.: "):
                    await addresses(stub)
            stub.rcode, stub.silent = None, True
            with pytest.raises(SourceError, match="lifetime expired"):
                await addresses(stub, timeout=0.2)

    run(scenario())


def test_changing_answers_are_reported_one_after_another() -> None:
    async def scenario() -> None:
        async with DnsStub() as stub:
            stub.ttl = stub.negative = 0
            source = DnsSource(entry(stub, shortest=0.01))
            stub.records["gpu.test.", "A"] = ["10.0.0.1"]
            async with Running(source) as reports:
                await reports.until(["10.0.0.1:80"])
                stub.records["gpu.test.", "A"] = ["10.0.0.2", "10.0.0.1"]
                await reports.until(["10.0.0.1:80", "10.0.0.2:80"])
                stub.rcode = dns.rcode.SERVFAIL
                await reports.failure("SERVFAIL")
                assert len(reports.last) == 2
                stub.rcode = None
                del stub.records["gpu.test.", "A"]
                await reports.until([])

    run(scenario())


@pytest.mark.parametrize("server", ["dns.example.org", "10.0.0.1:x", "10.0.0.1:99999", ""])
def test_a_server_that_is_none_is_refused(server: str) -> None:
    with pytest.raises(SourceError, match="is not a name server; give an address"):
        DnsSource(DnsEntry(name="a", port=1, servers=[server or "?"]))


@final
class Script:
    """Answers in turn, and the times at which they were asked for."""

    def __init__(self, *answers: Records | SourceError) -> None:
        self._answers = list(answers)
        self.asked: list[float] = []

    async def __call__(self, name: str, record: str) -> Records:  # noqa: ARG002
        self.asked.append(asyncio.get_running_loop().time())
        if not self._answers:
            await asyncio.Event().wait()
        answer = self._answers.pop(0)
        if isinstance(answer, SourceError):
            raise answer
        return answer


def pauses(script: Script, **more: Any) -> list[float]:
    """s between the questions of a source."""

    async def scenario() -> None:
        source = DnsSource(DnsEntry(name="gpu.test", port=80, **more), script)
        async with Running(source):
            await asyncio.sleep(1e4)

    run_virtually(scenario())
    return [round(b - a, 9) for a, b in zip(script.asked, script.asked[1:], strict=False)]


def test_a_name_is_asked_for_again_when_its_ttl_is_over_within_the_limits() -> None:
    ttls = (30.0, 0.0, 5.0, 86400.0)
    script = Script(*(Records(("10.0.0.1",), ttl) for ttl in ttls))
    assert pauses(script, shortest=2.0, longest=60.0) == [30.0, 2.0, 5.0, 60.0]


def test_after_a_failure_pauses_double_and_an_answer_ends_that() -> None:
    failure = SourceError("SERVFAIL")
    answer = Records((), 7.0)
    script = Script(*[failure] * 5, answer, failure, answer)
    assert pauses(script, shortest=1.0, longest=10.0) == [1, 2, 4, 8, 10, 7, 1, 7]


def test_of_two_records_the_shorter_ttl_counts() -> None:
    script = Script(Records(("10.0.0.1",), 9.0), Records(("fd00::1",), 4.0))
    assert pauses(script, record="both") == [0.0, 4.0]


def test_the_ttl_of_negative_answers_and_aliases_is_that_of_the_zone() -> None:
    async def scenario() -> None:
        async with DnsStub() as stub:
            stub.ttl, stub.negative = 40, 20
            source = DnsSource(entry(stub))
            assert await wait_after(source) == 20.0  # no such name
            stub.records["gpu.test.", "TXT"] = ["x"]
            assert await wait_after(source) == 20.0  # no such record
            stub.records["gpu.test.", "A"] = ["10.0.0.1"]
            assert await wait_after(source) == 40.0

    run(scenario())


async def wait_after(source: DnsSource) -> float:
    """s for which a source sleeps after its first answer."""
    slept: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(1e6)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "sleep", sleep)
        async with Running(source):
            while not slept:
                await real(0.01)
    return slept[0]
