"""Live page of a run: a thread with a listener, which lasts as long as the run."""

import asyncio
import threading
from concurrent.futures import Future
from contextlib import suppress
from time import monotonic
from typing import final

from aiohttp import web

from isocline.dispatch.coordinator.event_loop import EventLoop
from isocline.dispatch.explain import Explanation, explain, sentences
from isocline.dispatch.live_page.frames import FrameMaker
from isocline.dispatch.live_page.layout import RunLayout
from isocline.dispatch.live_page.observer import RunObserver, RunSnapshot
from isocline.dispatch.log import LOG
from isocline.dispatch.user_code_guard import words
from isocline.errors import UsageError
from isocline.model.endpoint import port_problem, shown
from isocline.pages import CHARTS, UPLOT, UPLOT_STYLE, Head, asset_of
from isocline.pages.live import STREAM, STYLE, TABLES, Frame
from isocline.pages.live.feed import Feed
from isocline.pages.live.own_host import application
from isocline.pages.live.routes import LiveRoutes

_EXPLAINED = 10.0  # s between two explanations while there are viewers; each takes some ms
_PATIENCE = 2.0  # s for viewers to read the last frame


@final
class RunPage:
    """Page of one run, served until it is closed.

    Attributes:
        url: URL of the page.
    """

    def __init__(
        self, address: tuple[str, int], loop: EventLoop, observer: RunObserver, maker: FrameMaker
    ) -> None:
        """Start listening and observing the run.

        Args:
            address: Host and port; 0 for any free port.
            loop: Event loop of the run, in whose thread `observer` is called.
            observer: Takes snapshots of the run.
            maker: Makes frames of them.

        Raises:
            UsageError: The address is not available.
        """
        self.url = ""
        self._address = address
        self._run = loop
        self._observer = observer
        self._sentences: list[str] = []

        def frame(snapshot: RunSnapshot, now: float, watched: bool) -> Frame | None:
            return maker.frame(snapshot, now, watched, self._sentences)

        self._feed = Feed(self._look, frame, RunLayout(), cost=lambda it: it.seconds)
        self._begun: Future[str] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._main, name="isocline-page", daemon=True)
        self._thread.start()
        self.url = self._begun.result()

    def close(self) -> None:
        """Send the last frame, and stop listening; returns when that is done."""
        if self._loop is not None and self._end is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # of any kind, as the page must not end the run
            if not self._begun.done():
                self._begun.set_exception(error)
            else:
                LOG.warning("the live page has ended: %s", words(error))

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        head = Head(
            "Isocline run",
            "What this run does now: progress, nodes, who helps whom, and events.",
            styles=[UPLOT_STYLE, STYLE, asset_of(__package__, "run.css")],
            scripts=[UPLOT, CHARTS, TABLES, STREAM, asset_of(__package__, "run.js")],
        )
        body = asset_of(__package__, "run.html")
        pages = LiveRoutes(head, body, self._feed, name="Isocline run", policy="Scheduling policy")
        app = application(self._address[0])
        app.add_routes(pages.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_PATIENCE)
        await runner.setup()
        try:
            self._begun.set_result(await self._listen(runner))
            await pages.start()
            explaining = asyncio.create_task(self._explain_again())
            await self._end.wait()
            explaining.cancel()
            await asyncio.gather(explaining, return_exceptions=True)
            if self._feed.viewers:
                await self._explain()
            await pages.finish()
        finally:
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> str:
        host, port = self._address
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise UsageError(
                f"page: cannot listen on {host}:{port}: {error.strerror or error}; give another "
                "port, or 0 for any free one"
            ) from error
        at = runner.addresses[0]
        return f"http://{f'[{at[0]}]' if ':' in at[0] else at[0]}:{at[1]}/"

    async def _look(self) -> RunSnapshot:
        def look() -> RunSnapshot:
            return self._observer.look(monotonic(), over=self._run.over)

        return await asyncio.wrap_future(self._run.later(look))

    async def _explain_again(self) -> None:
        while True:
            await asyncio.sleep(_EXPLAINED)
            if self._feed.viewers:
                await self._explain()

    async def _explain(self) -> None:
        def explained() -> Explanation:
            return explain(*self._run.call(lambda: self._observer.measured(monotonic())))

        try:
            found = await asyncio.to_thread(explained)
        except Exception as error:  # the page must survive any state of the run
            self._sentences = [f"No explanation: {words(error)}"]
        else:
            self._sentences = list(sentences(found))


def address_of(text: str) -> tuple[str, int]:
    """Parse HOST:PORT, or a port alone, which is on 127.0.0.1.

    Raises:
        UsageError: The text is neither.
    """
    host, _, port = str(text).rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    problem = port_problem(f":{port}")
    if problem or not (port.isdecimal() and port.isascii()):
        raise UsageError(
            f"page {shown(str(text))}: {problem or 'it is no address'}; give HOST:PORT, or a port "
            "of 127.0.0.1, such as 8080, or 0 for any free one"
        )
    return host, int(port)
