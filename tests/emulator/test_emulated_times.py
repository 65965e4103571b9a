"""How long an emulated server takes, through HTTP and all, in virtual time: exact."""

import asyncio

import numpy as np
import pytest

from isocline.emulator.faults import Faults
from isocline.emulator.settings import Settings
from isocline.model.curves import HyperbolicCurve, ServersCurve
from isocline.model.traffic import ExponentialSizes
from tests.emulator.in_memory import InMemory, emulating, request
from tests.virtual_time import run_virtually

STREAM = {"stream": True}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "twelve chars"}]} | STREAM


def now() -> float:
    return asyncio.get_running_loop().time()


async def timed(server: InMemory, body: object) -> float:
    """Seconds until the answer is whole."""
    began = now()
    assert await server.ask(body) == 200
    return now() - began


def test_tokens_of_a_stream_come_when_their_work_is_done() -> None:
    """3 prompt tokens of a tenth of a token's work each, at 100 tokens/s."""

    async def scenario() -> None:
        async with emulating(Settings(ServersCurve(100.0, 1), prefill=0.1)) as server:
            began, times = now(), []
            client = await server.connect()
            asked = request(CHAT | {"max_tokens": 20}, "/v1/chat/completions")
            client.writer.write(asked)
            while (line := await client.reader.readline()) != b"data: [DONE]\n":
                times += [now() - began] * line.count(b'" token"')
            client.close()
        late = np.array(times) - [0.003 + 0.01 * (k + 1) for k in range(20)]
        assert ((late > -1e-9) & (late < 0.001 + 1e-9)).all()

    run_virtually(scenario())


def test_tokens_closer_than_a_millisecond_are_sent_together() -> None:
    async def scenario() -> None:
        async with emulating(Settings(ServersCurve(10_000.0, 1))) as server:
            client = await server.connect()
            client.writer.write(request({"model": "m", "prompt": "x", "max_tokens": 100} | STREAM))
            times = []
            while (line := await client.reader.readline()) != b"data: [DONE]\n":
                times += [now()] * line.count(b'" token"')
            client.close()
        assert len(times) == 100
        *apart, _ = np.diff(sorted(set(times)))  # the end of a request is never put off
        assert apart == pytest.approx([0.001] * len(apart))
        assert 8 <= len(apart) <= 9  # about ten tokens each

    run_virtually(scenario())


def test_slow_and_a_curve_that_changes_count_for_requests_in_service() -> None:
    async def scenario() -> None:
        async with emulating(Settings(ServersCurve(1.0, 1))) as server:
            body = {"model": "m", "prompt": "x", "max_tokens": 100}
            under_way = asyncio.create_task(timed(server, body))
            await asyncio.sleep(40.0)  # 40 tokens are done
            curve = "{type: servers, rate: 1000, count: 1}"
            assert await server.ask(curve, "/curve", "PUT") == 200
            assert await server.ask({"slow": 3.0}, "/faults") == 200
            assert await under_way == pytest.approx(40.0 + 60 * 3 / 1000)

    run_virtually(scenario())


def test_many_jobs_at_once_take_as_long_as_the_curve_says() -> None:
    """16 jobs of size 1 at l(16) = 80 jobs/s: 0.2 s each."""

    async def scenario() -> None:
        async with emulating(Settings(HyperbolicCurve(160.0, 16.0), unit="jobs")) as server:
            body = {"model": "m", "prompt": "x"}
            took = await asyncio.gather(*(timed(server, body) for _ in range(16)))
        assert took == pytest.approx([0.2] * 16)

    run_virtually(scenario())


def test_those_who_wait_are_served_one_after_the_other() -> None:
    async def scenario() -> None:
        settings = Settings(ServersCurve(10.0, 1), unit="jobs", max_num_seqs=1)
        async with emulating(settings) as server:
            body = {"model": "m", "prompt": "x"}
            took = await asyncio.gather(*(timed(server, body) for _ in range(4)))
        assert took == pytest.approx([0.1, 0.2, 0.3, 0.4])

    run_virtually(scenario())


def test_sizes_keep_their_law_and_mean() -> None:
    async def scenario() -> list[float]:
        settings = Settings(
            ServersCurve(500.0, 1000), unit="jobs", sizes=ExponentialSizes(), seed=5
        )
        async with emulating(settings) as server:
            return [await timed(server, {"model": "m", "prompt": "x"}) for _ in range(1000)]

    times = np.array(run_virtually(scenario()))
    # Four standard errors: of the mean, of 1000 exponentials, and of a share of 0.135.
    assert times.mean() == pytest.approx(0.002, rel=4 / np.sqrt(1000))
    assert (times > 2.0 * 0.002).mean() == pytest.approx(np.exp(-2.0), abs=4 * 0.0108)


def test_a_hang_is_no_answer_ever() -> None:
    async def scenario() -> None:
        settings = Settings(ServersCurve(1000.0, 1), faults=Faults(hang=1.0))
        async with emulating(settings) as server:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(server.ask({"model": "m", "prompt": "x"}), 3600.0)
            assert await server.ask("", "/health", "GET") == 200

    run_virtually(scenario())


def test_latencies_in_its_metrics_are_those_of_its_clock() -> None:
    async def scenario() -> str:
        async with emulating(Settings(ServersCurve(10.0, 1))) as server:
            body = {"model": "m", "prompt": "x", "max_tokens": 20, **STREAM}
            client = await server.connect()
            client.writer.write(request(body))
            await client.reader.readuntil(b"[DONE]")
            client.close()
            return server.engine.metrics.text().decode()

    text = run_virtually(scenario())
    sums = {
        name: float(line.split()[-1])
        for line in text.splitlines()
        for name in ("e2e_request_latency", "time_to_first_token")
        if line.startswith(f"vllm:{name}_seconds_sum")
    }
    assert sums == pytest.approx({"e2e_request_latency": 2.0, "time_to_first_token": 0.1})
