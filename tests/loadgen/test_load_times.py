"""Latencies of an open loop in virtual time: from when requests were due, and exact."""

import asyncio

import numpy as np
import pytest

from isocline.emulator.settings import Settings
from isocline.emulator.sharing import Job, ProcessorSharing
from isocline.loadgen import Schedule
from isocline.model.curves import ServersCurve
from isocline.model.traffic import ExponentialSizes
from tests.emulator.in_memory import emulating
from tests.loadgen.in_memory import Answering, answering, at_once, evenly, load
from tests.loadgen.servers import OK
from tests.virtual_time import run_virtually

EXACT = 1.1e-3  # of a percentile, relative


def now() -> float:
    return asyncio.get_running_loop().time()


def stalling(begin: float, end: float) -> Answering:
    """Answers at once, but not from `begin` to `end`, s of the loop."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        if begin <= now() < end:
            await asyncio.sleep(end - now())
        writer.write(OK)

    return answer


@pytest.mark.parametrize("connections", [1, 200])
def test_a_stall_is_felt_by_all_who_were_due_in_it(connections: int) -> None:
    """A closed loop on one connection would measure one slow request in hundreds.

    Due times are even over the stall of 0.5 s, a quarter of the 2 s, so that the latency exceeds x
    with probability (0.5 - x) / 2, and its mean is 0.0625 s.
    """

    async def scenario() -> None:
        begin = now() + 0.7
        async with answering(stalling(begin, begin + 0.5)) as port:
            result = await load(port, evenly(400.0, 2.0), connections=connections)
        assert (result.completed, result.errors) == (800, {})
        assert result.latency.max == pytest.approx(0.5 - 0.5 / 400)
        assert result.latency.mean == pytest.approx(0.0625)
        assert result.latency.p90 == pytest.approx(0.3, abs=1 / 400)
        assert result.latency.p50 == pytest.approx(0.0, abs=1e-6)

    run_virtually(scenario())


def test_all_that_is_due_is_sent_when_it_is_due() -> None:
    schedule = Schedule.poisson(800.0, 1.2, 4, 8, seed=2)

    async def scenario() -> list[float]:
        begin, came = now(), []

        async def noting(writer: asyncio.StreamWriter) -> None:
            came.append(now() - begin)
            writer.write(OK)

        async with answering(noting) as port:
            result = await load(port, schedule)
        assert (result.completed, result.errors) == (result.due, {})
        assert result.completed_rate == pytest.approx(schedule.rate)
        assert result.lag.max == pytest.approx(0.0, abs=1e-9)
        return came

    assert run_virtually(scenario()) == pytest.approx(schedule.times.tolist())


def test_a_warm_up_is_sent_and_not_counted() -> None:
    schedule = evenly(100.0, 1.0)

    async def scenario() -> None:
        async with answering(at_once) as port:
            result = await load(port, schedule, warmup=0.25)
        assert (result.due, result.completed, result.latency.count) == (75, 75, 75)
        assert result.completed_rate == pytest.approx(100.0)

    run_virtually(scenario())


def test_streams_have_times_of_tokens() -> None:
    """8 tokens at 100/s each: the first after 10 ms, the last after 80 ms."""

    async def scenario() -> None:
        async with emulating(Settings(ServersCurve(100.0, 1000))) as server:
            schedule = Schedule.poisson(40.0, 1.0, 4, 8, seed=2)
            result = await load(server.port, schedule, streams=True)
        assert result.errors == {}
        assert result.first_token is not None
        assert result.between_tokens is not None
        assert result.tokens == 8 * result.due
        assert result.between_tokens.count == 7 * result.due
        # The server sends tokens that are less than 1 ms apart, of all requests, together.
        assert 0.010 <= result.first_token.mean <= 0.011
        assert result.between_tokens.mean == pytest.approx(0.010, abs=0.001 / 7)
        assert result.latency.mean == pytest.approx(0.080)
        assert result.latency.max == pytest.approx(0.080)

    run_virtually(scenario())


def exact_sojourns(times: list[float], works: list[float]) -> list[float]:
    """Of jobs at one server that does 1 unit/s, shared: from arrival to end."""
    server = ProcessorSharing(lambda _: 1.0)
    came: dict[Job, float] = {}
    sojourns: list[float] = []
    for time_due, work in [*zip(times, works, strict=True), (1e6, 1.0)]:
        while (end := server.next_end()) <= time_due:
            sojourns += [end - came[job] for job in server.advance(end)]
        server.advance(time_due)
        job = Job(work)
        came[job] = time_due
        server.admit(job)
    return sojourns


def test_a_queue_is_measured_as_it_must_be_for_these_arrivals_and_sizes() -> None:
    """Both are known by their seeds, and so are all latencies."""
    schedule = Schedule.poisson(60.0, 10.0, 4, 8, seed=2)
    sizes = ExponentialSizes().sample(np.random.default_rng(7), 1024)[::-1][: schedule.times.size]
    exact = np.array(exact_sojourns(schedule.times.tolist(), (sizes / 100.0).tolist()))
    assert exact.mean() == pytest.approx(0.025, rel=0.4)  # 1 / (mu - lambda), roughly in 600 jobs

    async def scenario() -> None:
        settings = Settings(ServersCurve(100.0, 1), unit="jobs", sizes=ExponentialSizes(), seed=7)
        async with emulating(settings) as server:
            result = await load(server.port, schedule, path="")
        assert result.latency.mean == pytest.approx(exact.mean())
        assert result.latency.max == pytest.approx(exact.max())
        for found, q in ((result.latency.p50, 0.5), (result.latency.p99, 0.99)):
            expected = np.quantile(exact, q, method="inverted_cdf")
            assert found == pytest.approx(expected, rel=EXACT)

    run_virtually(scenario())


def test_too_few_connections_make_requests_wait_and_that_is_counted() -> None:
    """100/s on one connection that serves 50/s: the k-th waits k times 10 ms."""

    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        writer.write(OK)

    async def scenario() -> None:
        async with answering(slow) as port:
            result = await load(port, evenly(100.0, 0.5), connections=1)
        assert (result.connections, result.completed) == (1, 50)
        assert result.lag.max == pytest.approx(0.49)
        assert result.lag.mean == pytest.approx(0.245)
        assert result.latency.mean == pytest.approx(0.265)

    run_virtually(scenario())


def test_what_is_not_answered_in_time_is_given_up() -> None:
    """Of 10 requests on two connections, those two that were sent, and all that waited for one."""

    async def never(_: asyncio.StreamWriter) -> None:
        pass

    async def scenario() -> None:
        begin = now()
        async with answering(never) as port:
            result = await load(port, evenly(10.0, 1.0), connections=2, timeout=5.0)
        assert result.errors == {"timeout": 10}
        assert now() - begin == pytest.approx(0.95 + 5.0)

    run_virtually(scenario())


def test_a_kept_connection_that_is_closed_costs_no_request() -> None:
    """Each connection answers once; the next request on it finds it closed, 5 ms later.

    It is sent once more, on a new one, and its latency counts from when it was due.
    """
    known = set()

    async def answer(writer: asyncio.StreamWriter) -> None:
        if writer not in known:
            known.add(writer)
            writer.write(OK)
        else:
            await asyncio.sleep(0.005)
            writer.close()

    async def scenario() -> None:
        async with answering(answer) as port:
            result = await load(port, evenly(100.0, 1.0))
        assert (result.completed, result.errors) == (100, {})
        assert (result.reconnections, result.connections) == (99, 1)
        assert result.latency.max == pytest.approx(0.005)
        assert result.latency.mean == pytest.approx(0.99 * 0.005)
        assert result.lag.max == pytest.approx(0.0, abs=1e-9)

    run_virtually(scenario())


def test_a_new_connection_that_is_closed_costs_its_request() -> None:
    """A request is sent a second time only where the first may not have reached the server."""
    came = 0

    async def answer(writer: asyncio.StreamWriter) -> None:
        nonlocal came
        came += 1
        writer.close()

    async def scenario() -> None:
        async with answering(answer) as port:
            result = await load(port, evenly(100.0, 1.0))
        assert result.errors == {"closed without an answer": 100}
        assert (came, result.reconnections) == (100, 0)

    run_virtually(scenario())


def test_an_answer_that_breaks_off_on_a_kept_connection_is_cut_off() -> None:
    known = set()

    async def answer(writer: asyncio.StreamWriter) -> None:
        if writer in known:
            writer.write(OK[:-1])
            writer.close()
        else:
            known.add(writer)
            writer.write(OK)

    async def scenario() -> None:
        async with answering(answer) as port:
            result = await load(port, evenly(100.0, 1.0))
        assert (result.completed, result.errors) == (50, {"cut off": 50})
        assert result.reconnections == 0

    run_virtually(scenario())


LATE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 10\r\nConnection: close\r\n\r\ndata: late"
EVENTS = b'data: {"choices":[{"text":"a"}]}\n\ndata: [DONE]\n\n'
STREAM = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(EVENTS), EVENTS)


@pytest.mark.parametrize("streams", [False, True])
def test_408_on_a_kept_connection_costs_no_request(streams: bool) -> None:
    """Each connection answers once, and the next request on it crosses a farewell."""
    known = set()

    async def answer(writer: asyncio.StreamWriter) -> None:
        if writer not in known:
            known.add(writer)
            writer.write(STREAM if streams else OK)
        else:
            writer.write(LATE)
            writer.close()

    async def scenario() -> None:
        async with answering(answer) as port:
            result = await load(port, evenly(100.0, 1.0), "/v1/completions", streams=streams)
        assert (result.completed, result.errors) == (100, {})
        assert (result.reconnections, result.connections) == (99, 1)
        assert result.tokens == 100 * streams

    run_virtually(scenario())


@pytest.mark.parametrize(
    "refusal",
    [LATE, LATE.replace(b"Connection: close\r\n", b"")],
    ids=["on a new connection", "on one that stays open"],
)
def test_408_of_a_request_is_an_error(refusal: bytes) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(refusal)

    async def scenario() -> None:
        async with answering(answer) as port:
            result = await load(port, evenly(100.0, 1.0))
        assert (result.errors, result.reconnections) == ({"status 408": 100}, 0)

    run_virtually(scenario())
