"""Limits of keys that several workers share, through reloads and the death of a worker."""

import asyncio
import json
import os
import signal
from pathlib import Path
from time import monotonic

from tests.cli.served import PATIENCE, Served, served
from tests.gateway.proxies import ok, saying, serving

FILE = """kind: routing
backends: [{name: a, url: "http://127.0.0.1:PORT", report: none,
            curve: {type: hyperbolic, peak: 1000, half: 10}}]
frontends: [{name: all, backends: ["*"]}]
serve:
  listen: 127.0.0.1:0
  admin: 127.0.0.1:0
  drain: 1
  workers: 2
  access_log: log
  api_keys: {file: keys}
  key_limits: {ann: {requests: LIMIT}}
"""


async def statuses(port: int, key: str, times: int) -> list[int]:
    """Statuses of so many requests, each on a connection of its own."""
    found = []
    for _ in range(times):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nx-api-key: {key}\r\n\r\n"
        writer.write(head.encode())
        answer = await reader.read()
        writer.close()
        found.append(int(answer.split()[1]))
    return found


def test_a_limit_is_that_of_the_router(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"

    async def scenario(router: Served) -> None:
        port, began = router.port, monotonic()
        found = await statuses(port, "a-key", 60)
        filled = (monotonic() - began) * 24 / 60
        assert 24 <= found.count(200) <= 24 + filled + 1
        assert found.count(200) + found.count(429) == 60
        assert set(await statuses(port, "b-key", 30)) == {200}
        os.kill(int(router.wait_for(r"worker 0 serves, process (\d+)")[1]), signal.SIGKILL)
        await asyncio.to_thread(router.wait_for, "worker 0 serves", 2)
        os.kill(router.process.pid, signal.SIGHUP)
        await asyncio.to_thread(router.wait_for, "reloaded")
        found += await statuses(port, "a-key", 30)
        filled = (monotonic() - began) * 24 / 60
        assert found.count(200) <= 24 + filled + 1
        metrics = await asyncio.to_thread(router.asked, "/metrics")
        assert 'isocline_key_requests_total{code="200",key="bob"} ' in metrics
        assert 'isocline_key_limited_total{key="ann",limit="requests"} ' in metrics
        assert 'reason="rate_limited"' in metrics
        assert "a-key" not in metrics

    async def whole() -> None:
        async with asyncio.timeout(2 * PATIENCE), serving(saying(ok(b"a"))) as a:
            (tmp_path / "keys").write_text("ann a-key\nbob b-key\n")
            file.write_text(FILE.replace("PORT", str(a.port)).replace("LIMIT", "24"))
            with served(file) as router:
                await scenario(router)

    asyncio.run(whole())
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {line["key"] for line in lines} == {"ann", "bob"}
    assert {line["status"] for line in lines if line["key"] == "bob"} == {200}
