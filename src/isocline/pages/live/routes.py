"""Live pages over HTTP: the page and its files, and the stream of events.

| path | answer |
|---|---|
| / | the page |
| /assets/NAME | its files |
| /events | server-sent events, see `feed` |

Every answer forbids the page to contact any other host, and to run any script but its own.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from string import Template
from typing import Any, final

from aiohttp import web

from isocline.pages.assets import Asset, asset_of
from isocline.pages.documents import CONTENT_SECURITY_POLICY, Head, linked
from isocline.pages.live.feed import Feed, Viewer
from isocline.pages.live.frames import Event
from isocline.pages.markup import Markup, escaped

_MOST_VIEWERS = 64  # each takes a connection, and some 20 kB/s for 500 backends
_MOST_LEAVING = 64  # viewers who were replaced, and have not read so yet
_PATIENCE = 30.0  # s that a viewer has to read a message; a page that is still open reconnects
_COMPRESSED = 2048  # bytes from which on compression is worthwhile

# Connection, pause, range and theme: the head of every live page.
_BAR = Template(asset_of(__package__, "bar.html").text)

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@final
class LiveRoutes:
    """Page, stream and history, for an aiohttp application."""

    def __init__(self, head: Head, body: Asset, feed: Feed[Any], *, name: str, policy: str) -> None:
        """Initialise.

        Args:
            head: Head of the page.
            body: HTML below the bar.
            feed: Source of the page's data.
            name: Name in the bar, until the first frame has that of the system.
            policy: Tooltip of the policy's name.
        """
        self._feed = feed
        self._task: asyncio.Task[None] | None = None
        self._viewers: list[Viewer] = []  # the one that came first, first
        self._assets = {asset.name: asset for asset in head.assets}
        bar = _BAR.substitute(name=escaped(name), policy=escaped(policy))
        self._page = linked(head, Markup(bar + body.text))

    def routes(self) -> list[web.RouteDef]:
        """Routes of the page."""
        return [
            web.get("/", self._index),
            web.get("/assets/{name}", self._asset),
            web.get("/events", self._events),
        ]

    async def start(self) -> None:
        """Start gathering."""
        self._task = asyncio.create_task(self._feed.run())

    async def close(self) -> None:
        """End all streams, and stop gathering."""
        self._feed.close()
        await self._stop()

    async def finish(self) -> None:
        """End all streams with a last frame, and stop gathering."""
        await self._stop()
        await self._feed.finish()

    def note(self, event: Event) -> None:
        """Show viewers an event that is in no snapshot, such as a reload."""
        self._feed.note(event)

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _index(self, _request: web.Request) -> web.Response:
        return answer(self._page.encode(), "text/html; charset=utf-8")

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        asset = self._assets.get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound(headers=_HEADERS)
        tag = f'"{asset.digest}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers | _HEADERS)
        return answer(asset.text.encode(), asset.content_type, headers)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if len(self._viewers) >= _MOST_VIEWERS + _MOST_LEAVING:
            text = f"there are already {_MOST_VIEWERS} viewers; close some\n"
            raise web.HTTPServiceUnavailable(text=text, headers=_HEADERS | {"Retry-After": "10"})
        viewer = Viewer(request.remote or "")
        staying = [it for it in self._viewers if not it.replaced]
        if len(staying) >= _MOST_VIEWERS:
            addresses = [it.address for it in staying]
            self._feed.replace(staying[leaves(addresses, viewer.address)])
        self._viewers.append(viewer)
        try:
            return await self._stream(request, viewer)
        finally:
            self._viewers.remove(viewer)

    async def _stream(self, request: web.Request, viewer: Viewer) -> web.StreamResponse:
        """Send the feed until it ends, the viewer goes or is replaced."""
        response = web.StreamResponse(
            headers=_HEADERS
            | {
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # nginx would buffer events
            }
        )
        await response.prepare(request)
        messages = self._feed.follow(viewer)
        try:
            async for message in messages:
                async with asyncio.timeout(_PATIENCE):
                    await response.write(message)
        except (TimeoutError, ConnectionError):  # the viewer does not read, or is gone
            if request.transport is not None:
                request.transport.abort()
        finally:
            await messages.aclose()
        return response


def leaves(addresses: Sequence[str], newcomer: str) -> int:
    """Who makes room for one more viewer: the oldest of the address that has most.

    So one who opens page after page, or a script that never closes any, takes places from nobody
    else. Where all have as many, the page that was opened first goes: it is most likely forgotten.

    Args:
        addresses: Of the viewers, the one that came first, first; one at least.
        newcomer: Address of the one more.
    """
    counts = Counter([*addresses, newcomer])
    most = max(counts[address] for address in addresses)
    return next(i for i, address in enumerate(addresses) if counts[address] == most)


def answer(
    body: bytes, content_type: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer of a page's listener, compressed if that is worthwhile."""
    response = web.Response(
        body=body, headers={**_HEADERS, "Content-Type": content_type, **(headers or {})}
    )
    if len(body) >= _COMPRESSED:
        response.enable_compression()
    return response
