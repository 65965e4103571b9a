"""Messages of servers in each form that they have had, and routing by them, over real sockets."""

import asyncio
import json
import socket
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq
import zmq.asyncio

from isocline.errors import SystemFileError
from isocline.gateway.cache_events import CacheEventReader, CacheEventSource
from isocline.gateway.cache_events.messages import MessageError, read_message
from isocline.gateway.core.cache_index import CacheEvent, Cleared, Removed, Stored
from isocline.gateway.serve.config import Overrides
from isocline.gateway.serve.from_file import read
from isocline.gateway.serve.worker import Worker
from tests.gateway.proxies import Client, ok, run, saying, serving, until

A, B = b"\x01" * 32, b"\x02" * 32


def message(number: int, *events: Any) -> list[bytes]:
    return [b"kv", number.to_bytes(8, "big"), msgpack.packb([1.5, list(events), 0])]


def events_of(*events: Any) -> list[CacheEvent]:
    number, found = read_message(message(7, *events))
    assert number == 7
    return found


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (["AllBlocksCleared"], Cleared()),
        (["BlockRemoved", [5, -6]], Removed((5, -6))),
        (["BlockRemoved", [A, B], "GPU"], Removed((A, B))),
        (["BlockStored", [5], None, [1, 2], 2], Stored((5,), None, (1, 2), 2)),
        (["BlockStored", [B], A, [1, 2], 2, None, "GPU"], Stored((B,), A, (1, 2), 2)),
        (["BlockStored", [B], A, [1, 2], 2, 3], Stored((B,), A, (), 2)),
        (["BlockStored", [B], A, [1], 1, None, "GPU", "adapter"], Stored((B,), A, (), 1)),
        (
            ["BlockStored", [B], A, [1], 1, None, None, None, [["salt"]]],
            Stored((B,), A, (), 1),
        ),
        (
            ["BlockStored", [B], A, [1], 1, None, None, None, [None], 0],
            Stored((B,), A, (1,), 1),
        ),
        (["BlockStored", [B], A, [1], 1, None, None, None, None, 2], Stored((B,), A, (), 1)),
        ({"type": "BlockRemoved", "block_hashes": [A], "new": 1}, Removed((A,))),
        (
            {
                "type": "BlockStored",
                "block_hashes": [B],
                "parent_block_hash": None,
                "token_ids": [4],
                "block_size": 1,
            },
            Stored((B,), None, (4,), 1),
        ),
        ({"type": "AllBlocksCleared"}, Cleared()),
    ],
)
def test_each_form_of_an_event_is_read(event: Any, expected: CacheEvent) -> None:
    assert events_of(event) == [expected]


def test_what_lies_elsewhere_and_new_kinds_of_events_are_passed_over() -> None:
    assert not events_of(
        ["BlockRemoved", [5], "CPU"], ["BlockStored", [5], None, [1], 1, None, "CPU"]
    )
    assert events_of(["SomethingNew", 1], ["AllBlocksCleared"]) == [Cleared()]


def test_a_batch_may_be_a_map() -> None:
    cleared = [{"type": "AllBlocksCleared"}]
    batch = {"ts": 1.5, "events": cleared, "data_parallel_rank": 0}
    assert read_message([b"", b"\0" * 8, msgpack.packb(batch)]) == (0, [Cleared()])


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"", b"\0" * 8],
        [b"", b"\0" * 7, b""],
        [b"", b"\0" * 8, b"\xc1"],
        message(0, 5),
        message(0, ["BlockRemoved", 5]),
        message(0, ["BlockRemoved", ["a"]]),
        message(0, {"block_hashes": [1]}),
    ],
)
def test_other_messages_are_refused(frames: list[bytes]) -> None:
    with pytest.raises(MessageError):
        read_message(frames)


@asynccontextmanager
async def publishing() -> AsyncIterator[tuple[Any, str]]:
    """A socket that publishes, and gets a message from each that subscribes; its address."""
    context = zmq.asyncio.Context()
    socket = context.socket(zmq.XPUB)
    try:
        yield socket, f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"
    finally:
        socket.close(linger=0)
        context.term()


def test_a_reader_goes_on_after_messages_that_it_cannot_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[tuple[int, int, int, Sequence[CacheEvent]]] = []

    def receive(backend: int, rank: int, number: int, events: Sequence[CacheEvent]) -> None:
        heard.append((backend, rank, number, events))

    async def scenario() -> None:
        async with publishing() as (socket, address):
            reader = CacheEventReader({1: CacheEventSource(address)}, ["a", "b"], receive)
            await reader.start()
            await socket.recv()
            for frames in (message(0, ["AllBlocksCleared"]), [b"", b"x"], [b"", b"x"], message(2)):
                await socket.send_multipart(frames)
            await until(lambda: len(heard) == 2)
            await reader.close()

    run(scenario())
    assert heard == [(1, 0, 0, [Cleared()]), (1, 0, 2, [])]
    warnings = [it.getMessage() for it in caplog.records if it.levelname == "WARNING"]
    assert len(warnings) == 1
    assert warnings[0].startswith("backend b: cache events: a message does not have three frames")


class Publisher:
    """A server's publisher, with the last `kept` messages to be repeated, as vLLM has it."""

    def __init__(self, context: Any, ports: tuple[int, int], kept: int = 100) -> None:
        self.events, self.replay = context.socket(zmq.XPUB), context.socket(zmq.ROUTER)
        for one, port in zip((self.events, self.replay), ports, strict=True):
            one.bind(f"tcp://127.0.0.1:{port}")
        self.buffer: deque[tuple[bytes, bytes]] = deque(maxlen=kept)
        self.asked: list[int] = []
        self.task = asyncio.ensure_future(self._repeat())

    async def publish(self, number: int, *events: Any, lost: bool = False) -> None:
        frames = message(number, *events)
        self.buffer.append((frames[1], frames[2]))
        if not lost:
            await self.events.send_multipart(frames)

    async def _repeat(self) -> None:
        while True:
            client, empty, first = await self.replay.recv_multipart()
            self.asked.append(int.from_bytes(first, "big"))
            for number, batch in self.buffer:
                if number >= first:
                    await self.replay.send_multipart((client, empty, number, batch))
            await self.replay.send_multipart((client, empty, b"\xff" * 8, b""))

    def close(self) -> None:
        self.task.cancel()
        self.events.close(linger=0)
        self.replay.close(linger=0)


@asynccontextmanager
async def ranks(count: int) -> AsyncIterator[tuple[list[Publisher], CacheEventSource]]:
    """So many publishers, each at ports one higher than those of the last; where they are."""
    context, made = zmq.asyncio.Context(), list[Publisher]()
    try:
        first = free_ports(2 * count)
        for rank in range(count):
            made.append(Publisher(context, (first + rank, first + count + rank)))
        events, replay = (f"tcp://127.0.0.1:{port}" for port in (first, first + count))
        yield made, CacheEventSource(events, replay, count)
    finally:
        for one in made:
            one.close()
        context.term()


def free_ports(count: int) -> int:
    """The first of so many ports, one after the other, that were free a moment ago."""
    for first in range(24000, 32000, count):
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    one = stack.enter_context(socket.socket())
                    one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise AssertionError("no ports are free")


Heard = list[tuple[int, int, int]]


@asynccontextmanager
async def hearing(source: CacheEventSource, expected: int = 0) -> AsyncIterator[Heard]:
    """A reader of backend 0, and what it has heard: rank, number, and number of events."""
    heard: Heard = []
    reader = CacheEventReader(
        {0: source},
        ["a"],
        lambda _, rank, number, events: heard.append((rank, number, len(events))),
        lambda _, __: expected,
    )
    await reader.start()
    try:
        yield heard
    finally:
        await reader.close()


GONE = ["AllBlocksCleared"]


def test_what_was_published_before_is_asked_for_and_heard_once() -> None:
    async def scenario() -> None:
        async with ranks(1) as ([publisher], source):
            for number in range(3):
                await publisher.publish(number, lost=True)
            async with hearing(source) as heard:
                await publisher.events.recv()
                await until(lambda: len(heard) == 3)
                await publisher.publish(2)  # other bytes would be of another server
                await publisher.publish(3, GONE)
                await until(lambda: len(heard) == 4)
            assert heard == [(0, 0, 0), (0, 1, 0), (0, 2, 0), (0, 3, 1)]
            assert publisher.asked == [0]

    run(scenario())


def test_what_is_missing_is_asked_for_and_comes_in_order() -> None:
    async def scenario() -> None:
        async with ranks(1) as ([publisher], source), hearing(source) as heard:
            await publisher.events.recv()
            await until(lambda: publisher.asked == [0])
            await publisher.publish(0)
            await publisher.publish(1, lost=True)
            await publisher.publish(2, lost=True)
            await publisher.publish(3)
            await publisher.publish(4)
            await until(lambda: len(heard) == 5)
            assert [number for _, number, _ in heard] == [0, 1, 2, 3, 4]
            assert publisher.asked == [0, 1]

    run(scenario())


def test_a_server_that_starts_again_is_asked_for_all() -> None:
    async def scenario() -> None:
        async with ranks(1) as ([publisher], source), hearing(source, 7) as heard:
            await publisher.events.recv()
            await until(lambda: publisher.asked == [7])  # known from before a reload
            await publisher.publish(7)
            await until(lambda: len(heard) == 1)
            publisher.buffer.clear()
            await publisher.publish(0, GONE, lost=True)
            await publisher.publish(1)
            await until(lambda: len(heard) == 3)
            assert heard == [(0, 7, 0), (0, 0, 1), (0, 1, 0)]
            assert publisher.asked == [7, 0]

    run(scenario())


def test_each_rank_has_a_publisher_of_its_own() -> None:
    async def scenario() -> None:
        async with ranks(3) as (publishers, source), hearing(source) as heard:
            for number, publisher in enumerate(publishers):
                await publisher.events.recv()
                await until(lambda at=publisher: at.asked == [0])  # type: ignore[misc]
                await publisher.publish(0, *[GONE] * number)
            await until(lambda: len(heard) == 3)
            assert sorted(heard) == [(0, 0, 0), (1, 0, 1), (2, 0, 2)]

    run(scenario())


FILE = """kind: routing
work: {unit: tokens, mean: 80, prefill: 1.0, decode: 1.0}
prefix_cache: {tokens: 100000}
backends:
  - {name: a, url: "http://127.0.0.1:%d", report: orca, curve: %s, cache_events: "%s"}
  - {name: b, url: "http://127.0.0.1:%d", report: orca, curve: %s, cache_events: "%s"}
frontends: [{name: all, backends: ["*"]}]
"""
CURVE = "{type: hyperbolic, peak: 1000, half: 10}"


def stored(prompts: list[list[int]]) -> list[Any]:
    return [
        ["BlockStored", [hash((*it, i)) for i in range(4)], None, it, 16, None] for it in prompts
    ]


def test_prompts_of_tokens_go_where_events_say_that_they_are(tmp_path: Path) -> None:
    """None was sent by this router before, so that nothing else tells where each one is."""
    prompts = [[1000 * k + i for i in range(64)] for k in range(600)]

    async def scenario() -> None:
        said = saying(ok(b"{}"))
        async with (
            serving(said) as a,
            serving(said) as b,
            publishing() as (one, first),
            publishing() as (other, second),
        ):
            file = tmp_path / "fleet.yaml"
            file.write_text(FILE % (a.port, CURVE, first, b.port, CURVE, second))
            worker = Worker(read(file, Overrides(listen="127.0.0.1:0")))
            await worker.start()
            for socket, held in ((one, prompts[::2]), (other, prompts[1::2])):
                await socket.recv()
                await socket.send_multipart(message(0, *stored(held)))
            client = Client(*await asyncio.open_connection("127.0.0.1", worker.addresses[0][2]))
            right = 0
            for k, prompt in enumerate(prompts):
                body = json.dumps({"model": "m", "prompt": prompt, "max_tokens": 4}).encode()
                head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
                await client.ask(head % len(body) + body)
                warm = a if k % 2 == 0 else b
                right = right + 1 if warm.bodies[-1:] == [body] else 0
                if right == 16:  # by chance one in 65 536 times
                    break
                if not right:
                    await asyncio.sleep(0.005)  # messages are still on their way
            assert right == 16
            client.close()
            await worker.stop(1.0)

    run(scenario())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "prefix_cache: {tokens: 100000}\n",
            "",
            r":4: .*cache_events: has no effect without a cache",
        ),
        (
            'cache_events: "tcp://h:1"',
            "cache_events: h",
            r":5: .*cache_events: is 'h'; give tcp://HOST:PORT",
        ),
        (
            'cache_events: "tcp://h:1"',
            'cache_replay: "tcp://h:1"',
            r":5: .*cache_replay: has no effect without cache_events",
        ),
        (
            'cache_events: "tcp://h:1"',
            'cache_events: "tcp://h:1", cache_ranks: 0',
            r":5: .*cache_ranks",
        ),
        (
            'cache_events: "tcp://h:1"',
            'cache_events: "tcp://h:65535", cache_ranks: 2',
            r":5: .*cache_ranks: .* ports beyond 65535",
        ),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = FILE % (1, CURVE, "tcp://h:1", 2, CURVE, "tcp://h:2")
    assert old in text
    file = tmp_path / "fleet.yaml"
    file.write_text(text.replace(old, new))
    with pytest.raises(SystemFileError, match=message):
        read(file)
