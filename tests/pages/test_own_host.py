"""Host check of listeners on loopback."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

from isocline.pages.live.own_host import application, is_loopback, is_own


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:9090",
        "10.0.0.7:1",
        "[::1]",
        "[::1]:9090",
        "localhost",
        "LOCALHOST:1",
    ],
)
def test_addresses_and_localhost_are_own(host: str) -> None:
    assert is_own(host)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9090", "127.0.0.1.evil.example", "localhost.evil:1", ""]
)
def test_names_are_not(host: str) -> None:
    assert not is_own(host)


@pytest.mark.parametrize(
    ("host", "on_loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_only_listeners_on_loopback_look_at_the_name(host: str, on_loopback: bool) -> None:
    assert is_loopback(host) == on_loopback


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1", 403), ("0.0.0.0", 200)])
def test_a_page_whose_name_leads_here_is_refused_on_loopback(host: str, status: int) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="secret")

    async def scenario() -> int:
        app = application(host)
        app.router.add_get("/", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
            async with aiohttp.ClientSession() as session:
                assert (await session.get(url)).status == 200
                return (await session.get(url, headers={"Host": "evil.example"})).status
        finally:
            await runner.cleanup()

    assert asyncio.run(scenario()) == status
