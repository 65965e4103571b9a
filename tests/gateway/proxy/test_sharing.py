"""Order of held requests over real sockets, and what tells their priority and tenant."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from isocline.gateway.config import digest
from isocline.gateway.core.core import Core
from isocline.model.curves import TableCurve
from isocline.model.serving_settings import HoldingRule, Rules, SharingRule
from tests.gateway.proxies import Backend, Handler, ok, proxying, read_request, run, until, value_of

PEAK_AT_ONE = TableCurve(((1, 2.0), (2, 1.0)))
TENANT = SharingRule("X-Tenant", {}, "X-Priority")


def request(name: str, *fields: str) -> bytes:
    lines = ["GET / HTTP/1.1", "Host: a", f"X-Name: {name}", *fields]
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


class Gate:
    """A backend that answers from when it is opened on."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    def __call__(self, backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                await self.open.wait()
                writer.write(ok())

        return handle


def named(backend: Backend) -> list[str]:
    return [(value_of(head, b"x-name") or b"").decode() for head in backend.heads]


def arrived(core: Core, count: int) -> Callable[[], bool]:
    return lambda: core.arrivals == count


async def order_of(
    waiting: list[bytes], rule: SharingRule, most: int = 99, **settings: Any
) -> tuple[list[str], list[int]]:
    """Names in the order in which the backend gets them, and the status of each response."""
    gate = Gate()
    rules = Rules(HoldingRule(60.0, most), sharing=rule)
    async with proxying(gate, curve=PEAK_AT_ONE, rules=rules, **settings) as (
        seen,
        [backend],
    ):
        core, clients = seen.proxy.bridge.core, []
        for i, text in enumerate(waiting):
            clients.append(await seen.connect())
            clients[-1].writer.write(text)
            await until(arrived(core, i + 1))
        gate.open.set()
        statuses = [(await client.response())[0] for client in clients]
        await seen.settled()
        for client in clients:
            client.close()
        return named(backend), statuses


def test_headers_tell_priority_and_tenant() -> None:
    async def scenario() -> None:
        waiting = [
            request("first", "X-Tenant: other"),
            *(request(f"a{i}", "x-tenant: a") for i in range(3)),
            request("b", "X-Tenant: b"),
            request("later", "X-Priority: -1"),
            request("urgent", "X-Priority: 5", "X-Tenant: a"),
        ]
        names, statuses = await order_of(waiting, TENANT)
        assert names == ["first", "urgent", "b", "a0", "a1", "a2", "later"]
        assert statuses == [200] * 7

    run(scenario())


def test_keys_tell_the_tenant_by_their_names() -> None:
    keys = ("sk-one", "sk-two")

    async def scenario() -> None:
        rule = SharingRule("key", {"two": 10.0})
        bearer, other = "Authorization: Bearer sk-one", "x-api-key: sk-two"
        waiting = [request("first", bearer), *(request(f"a{i}", bearer) for i in range(3))]
        waiting += [request(f"b{i}", other) for i in range(3)]
        names, _ = await order_of(
            waiting, rule, key_digests=tuple(map(digest, keys)), key_names=("one", "two")
        )
        assert names == ["first", "b0", "b1", "b2", "a0", "a1", "a2"]

    run(scenario())


def test_one_that_gives_way_has_an_answer_at_once() -> None:
    async def scenario() -> None:
        waiting = [request(f"a{i}", "x-tenant: a") for i in range(3)]
        names, statuses = await order_of([*waiting, request("b", "x-tenant: b")], TENANT, most=2)
        assert names == ["a0", "b", "a1"]
        assert statuses == [200, 200, 503, 200]

    run(scenario())


@pytest.mark.parametrize("name", ["X-Tenant", "X-Priority"])
def test_a_header_that_stands_twice_is_refused(name: str) -> None:
    """A client's own, and that which a proxy has added: it may not choose."""

    async def scenario() -> None:
        async with proxying(Gate(), rules=Rules(sharing=TENANT)) as (seen, [backend]):
            client = await seen.connect()
            status, _, body = await client.ask(request("it", f"{name}: 1", f"{name}: 2"))
            assert status == 400
            assert b"stands more than once" in body
            assert not backend.heads
            client.close()

    run(scenario())


@pytest.mark.parametrize("value", ["high", "1001", "-9999", "1.5", "", "99999999999999"])
def test_a_priority_that_is_no_number_is_refused(value: str) -> None:
    async def scenario() -> None:
        gate = Gate()
        gate.open.set()
        async with proxying(gate, rules=Rules(sharing=TENANT)) as (seen, [backend]):
            client = await seen.connect()
            status, _, body = await client.ask(request("it", f"X-Priority: {value}"))
            assert status == 400
            assert b"x-priority: give a whole number from -1000 to 1000" in body
            assert (await client.ask(request("next", "X-Priority: +7")))[0] == 200
            assert named(backend) == ["next"]
            assert [access.priority for access in seen.accesses] == [0, 7]
            client.close()

    run(scenario())
