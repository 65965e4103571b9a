"""The stream of the live page, over real sockets and without a browser."""

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.gateway.metrics.admin_server import AdminServer
from isocline.gateway.metrics.live_page.frames import FrameMaker
from isocline.gateway.metrics.live_page.layout import Layout
from isocline.gateway.metrics.optimality import Optimality
from isocline.gateway.metrics.snapshot import LearnedCurve, Snapshot
from isocline.pages.live import Event, Frame
from isocline.pages.live.feed import Feed, pause_after
from isocline.pages.live.routes import leaves
from tests.gateway.metrics.fleet_snapshots import backend, pair, snapshot

PATIENCE = 120.0  # s, of a busy machine
Gather = Callable[[], Awaitable[Snapshot]]
UP = {"a": backend("a", workload=2), "b <b>": backend("b", up=0)}


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await scenario

    asyncio.run(bounded())


class Router:
    """One whose snapshots say that one more request has ended at each look."""

    def __init__(self, backends: Any = None) -> None:
        self.backends = backends or UP
        self.looks = 0
        self.failing: Exception | None = None

    async def gather(self) -> Snapshot:
        self.looks += 1
        if self.failing is not None:
            failing, self.failing = self.failing, None
            raise failing
        return snapshot(float(self.looks), self.backends, {("f", "a"): pair([0.1] * self.looks)})

    async def snapshots(self) -> list[Snapshot]:
        return [await self.gather()]


def feed_of(router: Router, every: float) -> Feed[Snapshot]:
    maker = FrameMaker()

    def frame(found: Snapshot, time: float, watched: bool) -> Frame | None:
        return maker.frame(found, Optimality(), time, watched)

    return Feed(router.gather, frame, Layout(), every=every)


@asynccontextmanager
async def feeding(router: Router, every: float = 0.01) -> AsyncIterator[Feed[Snapshot]]:
    feed = feed_of(router, every)
    task = asyncio.create_task(feed.run())
    try:
        yield feed
    finally:
        feed.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def parsed(data: bytes) -> list[tuple[str, Any]]:
    """(kind, value) of whole server-sent events."""
    found = []
    for block in data.decode().split("\n\n")[:-1]:
        kind, value = block.split("\n")
        found.append((kind.removeprefix("event: "), json.loads(value.removeprefix("data: "))))
    return found


class Viewer:
    """One that reads a feed when it is asked to."""

    def __init__(self, feed: Feed[Snapshot]) -> None:
        self._messages = feed.follow()
        self.heard: list[tuple[str, Any]] = []

    async def read(self) -> list[tuple[str, Any]]:
        """The messages that come at once; empty at the end."""
        found = parsed(await anext(self._messages, b""))
        self.heard += found
        return found

    async def until(self, kind: str, times: int = 1) -> Any:
        while len(told := [value for each, value in self.heard if each == kind]) < times:
            assert await self.read(), self.heard
        return told[times - 1]

    async def leave(self) -> None:
        await self._messages.aclose()


def test_all_viewers_get_the_same_frames_of_one_gather() -> None:
    async def scenario() -> None:
        router = Router()
        async with feeding(router) as feed:
            viewers = [Viewer(feed) for _ in range(5)]
            await asyncio.gather(*(it.until("frame", 4) for it in viewers))
            frames = [
                {value["number"]: value for kind, value in it.heard if kind == "frame"}
                for it in viewers
            ]
            common = set.intersection(*map(set, frames))
            assert len(common) >= 3
            for number in common:
                assert len({json.dumps(it[number]) for it in frames}) == 1
            last = max(max(it) for it in frames)
            assert router.looks <= last + 3  # one look for each frame, not one for each viewer
            assert all(it.heard[0][0] == "history" for it in viewers)

    run(scenario())


def test_one_that_comes_later_has_the_history() -> None:
    async def scenario() -> None:
        router = Router()
        async with feeding(router) as feed:
            first = Viewer(feed)
            seen = await first.until("frame", 5)
            await first.leave()
            while router.looks < seen["number"] + 10:  # nobody looks meanwhile
                await asyncio.sleep(0.01)
            late = Viewer(feed)
            history = await late.until("history")
            numbers = [it["number"] for it in history["frames"]]
            assert numbers == list(range(1, numbers[-1] + 1))
            assert numbers[-1] > seen["number"]
            [kept] = [it for it in history["frames"] if it["number"] == seen["number"]]
            assert kept == {key: seen[key] for key in kept}
            assert history["layout"]["backends"] == ["a", "b <b>"]
            next_ = await late.until("frame")
            assert next_["number"] > numbers[-1]  # no old one from before

    run(scenario())


def test_a_slow_viewer_misses_frames_but_no_event() -> None:
    async def scenario() -> None:
        router = Router()
        async with feeding(router) as feed:
            slow, quick = Viewer(feed), Viewer(feed)
            await slow.until("frame")
            for n in range(3):
                feed.note(Event("reload", "", f"number {n}", "ok"))
                await quick.until("frame", len(quick.heard) + 3)
            await slow.until("events")
            await slow.until("frame", 2)
            frames = [value["number"] for kind, value in slow.heard if kind == "frame"]
            events = [it for kind, value in slow.heard if kind == "events" for it in value]
            assert frames[1] - frames[0] > 3
            assert [it["text"] for it in events if it["kind"] == "reload"] == [
                "number 0",
                "number 1",
                "number 2",
            ]

    run(scenario())


def test_a_viewer_that_leaves_is_forgotten() -> None:
    async def scenario() -> None:
        async with feeding(Router()) as feed:
            one, other = Viewer(feed), Viewer(feed)
            await one.until("frame")
            await other.until("frame")
            assert feed.viewers == 2
            await one.leave()
            assert feed.viewers == 1
            await other.until("frame", 4)

    run(scenario())


def test_the_end_reaches_all() -> None:
    async def scenario() -> None:
        async with feeding(Router()) as feed:
            viewers = [Viewer(feed) for _ in range(3)]
            await asyncio.gather(*(it.until("frame") for it in viewers))
            feed.close()
            for viewer in viewers:
                await viewer.until("end")
                assert not await viewer.read()
            assert feed.viewers == 0

    run(scenario())


def test_a_fleet_that_changes_is_told_before_its_frames() -> None:
    async def scenario() -> None:
        router = Router()
        async with feeding(router) as feed:
            viewer = Viewer(feed)
            await viewer.until("frame")
            router.backends = {**UP, "c": backend("c")}
            [event] = await viewer.until("events")
            assert (event["kind"], event["subject"]) == ("added", "c")
            frames = len([kind for kind, _ in viewer.heard if kind == "frame"])
            await viewer.until("frame", frames + 2)
            known = {0}
            for kind, value in viewer.heard:
                if kind == "history":
                    known.add(value["layout"]["version"])
                elif kind == "layout":
                    known.add(value["version"])
                    last = value
                elif kind == "frame":
                    assert value["version"] in known
            assert last["backends"] == ["a", "b <b>", "c"]

    run(scenario())


@pytest.mark.parametrize("failing", [TimeoutError(), ValueError("a defect")])
def test_a_gather_that_fails_is_followed_by_others(failing: Exception) -> None:
    async def scenario() -> None:
        router, wrong = Router(), list[Any]()
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: wrong.append(context["exception"])
        )
        async with feeding(router) as feed:
            viewer = Viewer(feed)
            await viewer.until("frame")
            router.failing = failing
            await viewer.until("frame", 4)
        assert wrong == ([failing] if isinstance(failing, ValueError) else [])

    run(scenario())


def test_gathers_take_a_small_part_of_a_processor() -> None:
    for took in (0.0, 0.001, 0.01, 0.05, 5.0):
        watched, unwatched = (pause_after(took, 1.0, it) for it in (True, False))
        assert 1.0 <= watched <= unwatched <= 10.0
        assert took / watched <= 0.02 or watched == 10.0
        assert took / unwatched <= 0.004 or unwatched == 10.0
    assert pause_after(0.002, 1.0, watched=False) == 1.0  # a small fleet has each second


# Over HTTP


@asynccontextmanager
async def serving(router: Router) -> AsyncIterator[AdminServer]:
    admin = AdminServer("127.0.0.1", 0, router.snapshots)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def asked(port: int, path: str, *fields: str) -> tuple[int, dict[str, str], bytes]:
    """Status, head and body of an answer that ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "".join(f"{it}\r\n" for it in ("Host: localhost", "Connection: close", *fields))
    writer.write(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
    answer = await reader.read()
    writer.close()
    top, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = top.decode().split("\r\n")
    named = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if named.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    return int(first.split()[1]), named, body


async def following(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    return reader, writer


def test_every_answer_forbids_other_hosts() -> None:
    async def scenario() -> None:
        async with serving(Router()) as admin:
            status, head, page = await asked(admin.port, "/")
            assert status == 200
            assert b"<script>" not in page
            assert b"style=" not in page
            names = ["/", "/curves?backend=a", "/assets/none.js"]
            names += [f"/{it}" for it in re.findall(r'"(assets/[^"]+)"', page.decode())]
            assert len(names) > 9
            for name in names:
                status, head, _ = await asked(admin.port, name)
                assert status == (404 if "none" in name else 200), name
                assert head["content-security-policy"].startswith("default-src 'self';")
                assert head["x-content-type-options"] == "nosniff"
            reader, writer = await asyncio.open_connection("127.0.0.1", admin.port)
            writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            top = await reader.readuntil(b"\r\n\r\n")
            writer.close()
            assert b"content-security-policy: default-src 'self';" in top.lower()

    run(scenario())


def test_files_are_asked_for_once() -> None:
    async def scenario() -> None:
        async with serving(Router()) as admin:
            _, head, whole = await asked(admin.port, "/assets/uPlot.iife.min.js")
            _, packed, body = await asked(
                admin.port, "/assets/uPlot.iife.min.js", "Accept-Encoding: gzip"
            )
            assert packed["content-encoding"] == "gzip"
            assert body == whole
            tag = head["etag"]
            again = await asked(admin.port, "/assets/isocline.css", f"If-None-Match: {tag}")
            assert again[0] == 200  # that is another file's
            mine = f"If-None-Match: {again[1]['etag']}"
            status, _, body = await asked(admin.port, "/assets/isocline.css", mine)
            assert (status, body) == (304, b"")

    run(scenario())


def test_curves_with_intervals() -> None:
    learned = LearnedCurve(
        120.0,
        None,
        {1.0: (10.0, 1.0), 4.0: (30.0, 1.0)},
        {1: (20.0, 2.0), 2: (40.0, 2.2), 4: (60.0, 2.0)},
    )
    backends = {
        "given": backend("given", workload=2),
        "learned": backend("learned", given=None, learned=learned, workload=4, service_rate=30.0),
        "new": backend("new", given=None, learned=replace(learned, points={}, counts={})),
    }

    async def scenario() -> None:
        async with serving(Router(backends)) as admin:
            path = "/curves?backend=learned&backend=given&backend=nobody"
            while not (found := json.loads((await asked(admin.port, path))[2])["curves"]):
                await asyncio.sleep(0.01)
            one, other = found
            assert [one["name"], other["name"]] == ["learned", "given"]
            assert one["seen"] == 4
            for n, rate, low, high in one["points"]:
                assert low <= rate * 1.001, n
                assert high is None or high >= rate * 0.999, n
            assert one["points"][-1][0] > 4  # beyond what was seen
            assert other["at"] == [2.0, pytest.approx(100 * 2 / 6, rel=1e-3)]
            assert {tuple(it[1:]) for it in other["points"]} == {
                (it[1],) * 3 for it in other["points"]
            }

    run(scenario())


def test_one_that_does_not_read_stops_neither_others_nor_the_end() -> None:
    many = {f"backend-{n}": backend(f"b{n}") for n in range(300)}

    async def scenario() -> None:
        async with serving(Router(many)) as admin:
            _, deaf = await following(admin.port)  # its socket fills, and stays full
            reader, writer = await following(admin.port)
            for n in count():
                line = await reader.readuntil(b"\n\n")
                if b"event: frame" in line and n > 3:
                    break
            writer.close()
            loop = asyncio.get_running_loop()
            began = loop.time()
            await admin.close()
            assert loop.time() - began < PATIENCE / 4
            deaf.close()

    run(scenario())


def test_the_stream_ends_with_the_router() -> None:
    async def scenario() -> None:
        async with serving(Router()) as admin:
            reader, writer = await following(admin.port)
            await reader.readuntil(b"event: frame")
            await admin.close()
            rest = await reader.read()
            assert b"event: end\n" in rest
            writer.close()

    run(scenario())


def test_a_viewer_too_many_takes_the_place_of_the_one_that_came_first() -> None:
    async def scenario() -> None:
        async with serving(Router()) as admin:
            viewers = []
            for _ in range(64):
                viewers.append(await following(admin.port))
                await viewers[-1][0].readuntil(b"event: history")  # in this order
            newcomers = [await following(admin.port) for _ in range(3)]
            for reader, _ in newcomers:
                await reader.readuntil(b"event: frame")
            for reader, _ in viewers[:3]:
                await reader.readuntil(b"event: replaced")
                rest = await reader.readuntil(b"\r\n0\r\n\r\n")  # the end of the answer
                assert rest.startswith(b"\ndata: {}\n\n\r\n")
            for reader, _ in viewers[3:]:  # all others go on
                await reader.readuntil(b"event: frame")
                assert not reader.at_eof()
            for _, writer in [*viewers, *newcomers]:
                writer.close()

    run(scenario())


@pytest.mark.parametrize(
    ("addresses", "newcomer", "leaving"),
    [
        ("abc", "d", 0),  # each has one: the first
        ("abbc", "d", 1),  # b has most
        ("abbc", "c", 1),  # b and c would have as many: the oldest of both
        ("abbcccc", "b", 3),
        ("abb", "a", 0),
        ("a", "a", 0),
    ],
)
def test_those_who_have_most_make_room(addresses: str, newcomer: str, leaving: int) -> None:
    assert leaves(addresses, newcomer) == leaving


@given(st.lists(st.sampled_from("abcd"), min_size=1), st.sampled_from("abcd"))
def test_nobody_loses_a_place_to_one_who_has_more(addresses: list[str], newcomer: str) -> None:
    victim = addresses[leaves(addresses, newcomer)]
    assert addresses.count(victim) >= addresses.count(newcomer)
    assert addresses.index(victim) == leaves(addresses, newcomer)


def test_a_viewer_that_comes_as_the_feed_is_cancelled_does_not_keep_it() -> None:
    async def scenario() -> None:
        router = Router()
        feed = feed_of(router, PATIENCE)
        task = asyncio.create_task(feed.run())
        while feed.latest is None:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)  # it rests by now; if it does not, this test shows less
        await Viewer(feed).read()  # which ends the rest, in the same turn of the loop
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=PATIENCE / 4)
        assert done == {task}

    run(scenario())
