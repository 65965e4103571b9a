"""Routes of the live page: those of `isocline.pages.live`, and curves.

| path | answer |
|---|---|
| /, /assets/NAME, /events | the page, its files and the stream |
| /curves?backend=NAME | curves of the named backends, with intervals |
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import final

from aiohttp import web

from isocline.gateway.metrics.live_page.curves import curve_documents
from isocline.gateway.metrics.live_page.frames import FrameMaker
from isocline.gateway.metrics.live_page.layout import Layout
from isocline.gateway.metrics.optimality import Optimality
from isocline.gateway.metrics.snapshot import Snapshot
from isocline.pages import CHARTS, UPLOT, UPLOT_STYLE, Head, asset_of
from isocline.pages.live import STREAM, STYLE, TABLES, Event, Frame
from isocline.pages.live.feed import Feed
from isocline.pages.live.history import encoded
from isocline.pages.live.routes import LiveRoutes, answer

_SCRIPTS = ("graph.js", "plots.js", "controls.js", "live.js")


@final
class LivePage:
    """Page, stream and history of one router."""

    def __init__(
        self,
        gather: Callable[[], Awaitable[Snapshot]],
        optimality: Callable[[], Optimality],
        every: float = 1.0,
    ) -> None:
        """Initialise.

        Args:
            gather: Takes a snapshot of all workers; may raise TimeoutError.
            optimality: Returns the latest optimality gap and its parts.
            every: Time between two gathers, s; longer if they take long.
        """
        maker = FrameMaker()

        def frame(snapshot: Snapshot, time: float, watched: bool) -> Frame | None:
            return maker.frame(snapshot, optimality(), time, watched)

        self._feed = Feed(gather, frame, Layout(), every=every)
        self._optimality = optimality
        head = Head(
            "Isocline live",
            "What this router does now: flows, prices, latencies and events.",
            styles=[UPLOT_STYLE, STYLE, asset_of(__package__, "live.css")],
            scripts=[
                UPLOT,
                CHARTS,
                TABLES,
                STREAM,
                *(asset_of(__package__, it) for it in _SCRIPTS),
            ],
        )
        body = asset_of(__package__, "live.html")
        self._pages = LiveRoutes(head, body, self._feed, name="Isocline", policy="Policy in force")

    def routes(self) -> list[web.RouteDef]:
        """Routes for the admin listener."""
        return [*self._pages.routes(), web.get("/curves", self._curves)]

    async def start(self) -> None:
        """Start gathering."""
        await self._pages.start()

    async def close(self) -> None:
        """End all streams, and stop gathering."""
        await self._pages.close()

    def note(self, event: Event) -> None:
        """Show viewers an event that is in no snapshot, such as a reload."""
        self._pages.note(event)

    async def _curves(self, request: web.Request) -> web.Response:
        snapshot = self._feed.latest
        names = request.query.getall("backend", [])
        found = []
        if snapshot is not None:
            # In a thread, as the intervals of a curve take some ms.
            found = await asyncio.to_thread(curve_documents, snapshot, self._optimality(), names)
        return answer(encoded({"curves": found}), "application/json")
