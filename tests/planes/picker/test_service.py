"""A picker over real sockets, asked by a real gRPC client."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, final

import grpc
import pytest
import trustme
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from isocline.errors import UsageError
from isocline.gateway.config import Listener, ProxySettings, Tls
from isocline.gateway.serve.worker import read_load
from isocline.planes.picker import protocol
from isocline.planes.picker.messages import ProcessingRequest, ProcessingResponse
from isocline.planes.picker.picker import Picker
from tests.live.processes import soon
from tests.planes.picker.streams import (
    CHAT,
    FAST,
    SLOW,
    Picking,
    body,
    chosen,
    endpoint,
    exchange,
    kinds,
    passed,
    request_head,
    response_head,
)

PROCESS = f"/{protocol.SERVICE}/Process"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@final
class Asking:
    """One stream of a real client."""

    def __init__(self, channel: Any) -> None:
        self._call = channel.stream_stream(PROCESS)()

    async def say(self, *messages: Any) -> None:
        for message in messages:
            await self._call.write(message.SerializeToString())

    async def hear(self) -> Any:
        data = await self._call.read()
        assert data is not aio.EOF, await self._call.details()
        return ProcessingResponse.FromString(data)

    async def end(self) -> Any:
        """Say no more; returns the stream's status."""
        await self._call.done_writing()
        while await self._call.read() is not aio.EOF:
            pass
        return await self._call.code()

    def cancel(self) -> None:
        self._call.cancel()

    async def served(self, messages: Sequence[Any]) -> list[Any]:
        """Say all of it, one after the other as the answers come."""
        answers = []
        for message in messages:
            await self.say(message)
            answers.append(await self.hear())
        return answers


@asynccontextmanager
async def picker(picking: Picking, **settings: Any) -> AsyncIterator[tuple[Picker, Any]]:
    """A picker with the core and settings of `picking`, and a channel to it."""
    given = ProxySettings(
        backends=picking.settings.backends, frontends=picking.settings.frontends, **settings
    )
    made = Picker(picking.core, given, [picking.records.append], read_load)
    await made.start()
    (_, host, port), *_ = made.addresses
    try:
        async with aio.insecure_channel(f"{host}:{port}") as channel:
            yield made, channel
    finally:
        await made.stop(0.0)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(120.0):
            await scenario()

    asyncio.run(bounded())


def test_a_request_is_answered_message_by_message() -> None:
    picking = Picking(FAST, SLOW)

    async def scenario() -> None:
        async with picker(picking) as (_, channel):
            stream = Asking(channel)
            answers = await stream.served(exchange())
            assert chosen(answers[0]) == [endpoint(0)]
            assert passed(answers, "request") == (CHAT, True)
            assert passed(answers, "response") == (b"{}", True)
            assert await stream.end() == grpc.StatusCode.OK
            await soon(lambda: picking.records, "the request has no record")
            assert picking.jobs == [0, 0]

    run(scenario)


def test_many_streams_at_once_share_one_core() -> None:
    picking = Picking(FAST, FAST)

    async def scenario() -> None:
        async with picker(picking) as (made, channel):
            streams = [Asking(channel) for _ in range(50)]
            for stream in streams:
                await stream.say(request_head(), body("request", CHAT, end=True))
            picked = [chosen(await stream.hear())[0] for stream in streams]
            assert picking.jobs == [25, 25]
            assert [picked.count(endpoint(b)) for b in range(2)] == [25, 25]
            assert made.in_flight == len(made.clients.connections) == 50
            for stream in streams:
                await stream.hear()
                await stream.say(response_head(end=True))
                await stream.hear()
                assert await stream.end() == grpc.StatusCode.OK
            assert picking.jobs == [0, 0]

    run(scenario)


def test_long_bodies_pass_in_both_directions() -> None:
    picking = Picking(FAST)
    long = bytes(range(256)) * 4096  # 1 MiB, far beyond the first window of a stream

    async def scenario() -> None:
        async with picker(picking) as (_, channel):
            stream = Asking(channel)
            await stream.say(request_head())
            answers = [await stream.hear()]
            for of in ("request", "response"):
                if of == "response":
                    await stream.say(response_head())
                    answers.append(await stream.hear())
                got = 0
                for at in range(0, len(long), 50_000):
                    part = long[at : at + 50_000]
                    await stream.say(body(of, part, end=at + 50_000 >= len(long)))
                    answers.append(await stream.hear())
                    got += len(part)
                assert passed(answers, of) == (long, True)
            assert await stream.end() == grpc.StatusCode.OK

    run(scenario)


def test_a_long_body_is_sent_before_anything_is_read() -> None:
    picking = Picking(FAST)
    part = b"x" * 50_000

    async def scenario() -> None:
        async with picker(picking) as (_, channel):
            stream = Asking(channel)
            await stream.say(request_head())
            saying = asyncio.ensure_future(
                stream.say(*[body("request", part, end=i == 39) for i in range(40)])
            )
            answers = [await stream.hear() for _ in range(41)]
            await saying
            assert passed(answers, "request") == (part * 40, True)

    run(scenario)


def test_a_cancelled_stream_leaves_nothing() -> None:
    picking = Picking(FAST)

    async def scenario() -> None:
        async with picker(picking) as (made, channel):
            stream = Asking(channel)
            await stream.say(request_head())
            await stream.hear()
            stream.cancel()
            await soon(lambda: picking.jobs == [0], "the request is still counted")
            await soon(lambda: not made.clients.connections, "the stream is still there")
            assert await Asking(channel).served(exchange())

    run(scenario)


def test_a_held_request_is_answered_as_soon_as_there_is_room() -> None:
    picking = Picking(FAST)
    picking.core.availability.limits.most[0] = 1

    async def scenario() -> None:
        async with picker(picking) as (_, channel):
            first, held = Asking(channel), Asking(channel)
            await first.say(request_head())
            await first.hear()
            await held.say(request_head(), body("request", CHAT, end=True))
            await soon(lambda: picking.core.waiting_queue.total == 1, "the request is not held")
            await first.say(response_head(end=True))
            answers = [await held.hear(), await held.hear()]
            assert kinds(answers) == ["request_headers", "request_body"]
            await held.say(response_head(end=True))
            assert kinds([await held.hear()]) == ["response_headers"]

    run(scenario)


@pytest.mark.parametrize(
    "garbage", [b"\xff\xff\xff", b"", ProcessingRequest().SerializeToString(), b"\x12\x80"]
)
def test_messages_that_are_none_end_the_stream_with_a_reason(garbage: bytes) -> None:
    picking = Picking(FAST)

    async def scenario() -> None:
        async with picker(picking) as (_, channel):
            call = channel.stream_stream(PROCESS)()
            await call.write(garbage)
            with pytest.raises(aio.AioRpcError) as refused:
                await call.read()
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert refused.value.details()
            assert await Asking(channel).served(exchange())

    run(scenario)


def test_an_unknown_method_is_unimplemented() -> None:
    async def scenario() -> None:
        async with picker(Picking(FAST)) as (_, channel):
            call = channel.stream_stream(f"/{protocol.SERVICE}/Nothing")()
            assert await call.code() == grpc.StatusCode.UNIMPLEMENTED

    run(scenario)


def test_there_are_at_most_so_many_streams() -> None:
    picking = Picking(FAST)

    async def scenario() -> None:
        sizes = picking.settings.sizes
        limited = type(sizes)(connections=1)
        async with picker(picking, sizes=limited) as (made, channel):
            first = Asking(channel)
            await first.say(request_head())
            await first.hear()
            second = channel.stream_stream(PROCESS)()
            assert await second.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert made.clients.refused == 1

    run(scenario)


def test_health_has_the_services_of_the_protocol() -> None:
    async def scenario() -> None:
        async with picker(Picking(FAST)) as (made, channel):
            health = health_pb2_grpc.HealthStub(channel)

            async def status(name: str) -> Any:
                answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
                return answer.status

            names = ("readiness", protocol.SERVICE, "")
            for name in ("liveness", *names):
                assert await status(name) == SERVING
            with pytest.raises(aio.AioRpcError) as unknown:
                await status("nobody")
            assert unknown.value.code() == grpc.StatusCode.NOT_FOUND
            watch = health.Watch(health_pb2.HealthCheckRequest(service="readiness"))
            assert (await watch.read()).status == SERVING

            stream = Asking(channel)
            await stream.say(request_head())
            await stream.hear()
            stopping = asyncio.ensure_future(made.stop(60.0))
            assert (await watch.read()).status == NOT_SERVING
            assert [await status(name) for name in names] == [NOT_SERVING] * 3
            assert await status("liveness") == SERVING
            await stream.say(response_head(end=True))
            await stream.hear()
            await stream.end()
            await stopping

    run(scenario)


def test_a_picker_whose_backends_are_down_is_ready_to_say_so() -> None:
    async def scenario() -> None:
        picking = Picking(FAST)
        picking.core.backend_down(0, 0.0)
        async with picker(picking) as (_, channel):
            health = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest(service="readiness"))
            assert answer.status == SERVING

    run(scenario)


def test_listeners_speak_tls_where_they_have_a_certificate(tmp_path: Any) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    file = tmp_path / "both.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(file)

    async def scenario() -> None:
        listener = Listener(tls=Tls(str(file), None))
        async with picker(Picking(FAST), listeners=(listener,)) as (made, _):
            port = made.addresses[0][2]
            credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
            async with aio.secure_channel(f"localhost:{port}", credentials) as channel:
                answers = await Asking(channel).served(exchange())
                assert chosen(answers[0]) == [endpoint(0)]

    run(scenario)


def test_an_address_that_is_taken_is_said() -> None:
    async def scenario() -> None:
        async with picker(Picking(FAST)) as (made, _):
            taken = Listener(port=made.addresses[0][2])
            with pytest.raises(UsageError, match="cannot listen"):
                async with picker(Picking(FAST), listeners=(taken,)):
                    pass

    run(scenario)
