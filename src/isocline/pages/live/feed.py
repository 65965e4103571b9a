"""Feed of a live page: one gather per interval for all viewers, as server-sent events.

    feed = Feed(gather, maker.frame, Layout())
    task = asyncio.create_task(feed.run())
    async for message in feed.follow(): ...     # of one viewer
    feed.close()                                # ends all of them

A viewer gets the history first, and then the latest frame each time it has read the previous one: a
slow viewer misses frames, and costs no memory.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from time import monotonic, thread_time, time
from typing import Generic, TypeVar, final

from isocline.pages.live.frames import Event, Frame, Layout
from isocline.pages.live.history import History, encoded

Snapshot = TypeVar("Snapshot")

_LONGEST = 10.0  # intervals between two gathers at most, in a fleet whose snapshots take long
# Share of a CPU core that gathers may use. With a single worker, they take it from requests.
_SHARE_WATCHED, _SHARE_UNWATCHED = 0.02, 0.004


def pause_after(took: float, every: float, watched: bool) -> float:
    """Pause after a gather that took `took` s of CPU time, s: at least `every`."""
    least = took / (_SHARE_WATCHED if watched else _SHARE_UNWATCHED)
    return min(max(every, least), _LONGEST * every)


def message(kind: str, data: bytes) -> bytes:
    """Server-sent event; `data` is JSON, so it has no line breaks."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


@final
class Viewer:
    """Viewer of a page, by address."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.replaced = False


@final
class Feed(Generic[Snapshot]):
    """Frames and events of one page, and their viewers.

    Attributes:
        latest: Latest snapshot; None before the first.
    """

    def __init__(
        self,
        gather: Callable[[], Awaitable[Snapshot]],
        make: Callable[[Snapshot, float, bool], Frame | None],
        empty: Layout,
        *,
        every: float = 1.0,
        cost: Callable[[Snapshot], float] = lambda _: 0.0,
    ) -> None:
        """Initialise.

        Args:
            gather: Takes a snapshot; may raise TimeoutError.
            make: Called in a thread with a snapshot, the time in s since 1970, and whether there
                are viewers; returns the next frame, or None for the first snapshot.
            empty: Layout before the first frame.
            every: Time between two gathers, s; longer if they take long.
            cost: CPU time that a snapshot took in other threads, s.
        """
        self.latest: Snapshot | None = None
        self._gather = gather
        self._make = make
        self._every = every
        self._cost = cost
        self._history = History(empty)
        self._viewers = 0
        self._frame: tuple[int, bytes] | None = None  # number and message, while there are viewers
        self._version = 0  # of the layout
        self._changed = asyncio.Event()  # set and replaced at each change
        self._came = asyncio.Event()
        self._closed = False

    @property
    def viewers(self) -> int:
        """Number of viewers."""
        return self._viewers

    async def run(self) -> None:
        """Gather until cancelled."""
        while True:
            watched = self._viewers > 0
            took = 0.0
            self._came.clear()
            try:
                took = await self._step(watched)
            except TimeoutError:  # a worker did not answer; try again in the next interval
                pass
            except Exception as defect:  # one failed gather must not end the feed
                problem = {"message": "live page", "exception": defect}
                asyncio.get_running_loop().call_exception_handler(problem)
            await self._rest(monotonic(), pause_after(took, self._every, watched), watched)

    def note(self, event: Event) -> None:
        """Add an event that no snapshot shows."""
        self._history.note(event, time())
        self._wake()

    async def finish(self) -> None:
        """Add a last frame, after `run` was cancelled, and end all streams."""
        try:
            await self._step(watched=True)
        finally:
            self.close()

    def close(self) -> None:
        """End all streams, once viewers have read the last frame."""
        self._closed = True
        self._wake()

    def replace(self, viewer: "Viewer") -> None:
        """End the stream of one viewer with a message that another takes the place."""
        viewer.replaced = True
        self._wake()

    async def follow(self, viewer: "Viewer | None" = None) -> AsyncGenerator[bytes, None]:
        """Yield messages for one viewer until the feed is closed, or the viewer is replaced.

        The first message is `history`; then follow `layout` if it changed, `events` and `frame`,
        and at last `end` or `replaced`.
        """
        self._viewers += 1
        self._came.set()
        try:
            event, seen = self._history.last_event, 0
            version = self._version
            yield message("history", self._history.whole())
            while True:
                changed, parts = self._changed, []
                if viewer is not None and viewer.replaced:
                    yield message("replaced", b"{}")
                    return
                if version != self._version:
                    version = self._version
                    parts.append(message("layout", self._history.layout()))
                if event < self._history.last_event:
                    parts.append(message("events", self._history.events_after(event)))
                    event = self._history.last_event
                if self._frame is not None and self._frame[0] > seen:
                    seen, data = self._frame
                    parts.append(data)
                if parts:
                    yield b"".join(parts)
                elif self._closed:  # and everything has been sent
                    break
                else:
                    await changed.wait()
            yield message("end", b"{}")
        finally:
            self._viewers -= 1

    async def _step(self, watched: bool) -> float:
        """Make and publish one frame; returns the CPU time that it took, s."""
        began = thread_time()
        snapshot = await self._gather()
        took = thread_time() - began + self._cost(snapshot)

        def made() -> tuple[Frame | None, bytes, float]:
            start = thread_time()
            frame = self._make(snapshot, time(), watched)
            data = message("frame", encoded(frame.full)) if frame and watched else b""
            return frame, data, thread_time() - start

        # In a thread, as 500 backends take some ms, which would delay requests.
        frame, data, more = await asyncio.to_thread(made)
        self.latest = snapshot
        if frame is not None:
            self._history.add(frame)
            self._version = frame.version
            self._frame = (frame.number, data) if watched else None
            self._wake()
        return took + more

    async def _rest(self, since: float, pause: float, watched: bool) -> None:
        """Sleep for `pause` s; the first viewer to arrive ends a longer, unwatched pause."""
        if not watched:
            with suppress(TimeoutError):
                # Not wait_for, which before Python 3.12 loses a cancellation that arrives together
                # with the awaited result.
                async with asyncio.timeout(pause):
                    await self._came.wait()
            pause = min(pause, self._every)
        await asyncio.sleep(max(since + pause - monotonic(), 0.0))

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
