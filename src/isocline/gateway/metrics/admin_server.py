"""Admin listener for operators and Prometheus, on loopback by default.

| path | answer |
|---|---|
| / | the live page, see `live_page` |
| /metrics | Prometheus' text format, or OpenMetrics where that is asked for |
| /statistics | one JSON document, see `summary` |
| /health | 200 while the process answers at all, and whether it is draining |
| /ready | 200; 503 while it drains, no worker takes requests, or a frontend has no backend up |

These need no key and show no secrets; anyone who reaches them sees names, backend addresses and
traffic. On loopback they answer only those who ask for an address or localhost. Further routes, as
those by which operators control the router, come from the caller.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import final

from aiohttp import web

from isocline.errors import UsageError
from isocline.gateway.metrics.api_errors import api_errors
from isocline.gateway.metrics.live_page import LivePage
from isocline.gateway.metrics.optimality import History, Optimality
from isocline.gateway.metrics.prometheus_format.exposition import exposed
from isocline.gateway.metrics.readiness import unserved
from isocline.gateway.metrics.snapshot import Snapshot, merged
from isocline.gateway.metrics.summary import statistics
from isocline.pages.live.own_host import application

_PATIENCE = 5.0  # s for workers to answer: half of Prometheus' usual limit on a scrape


@final
class AdminServer:
    """Server of the workers' metrics.

    Attributes:
        port: Port, once started.
        draining: Whether the router is about to stop.
        live_page: The page at `/`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        snapshots: Callable[[], Awaitable[list[Snapshot]]],
        *,
        every: float = 10.0,
        window: float = 60.0,
        routes: Sequence[web.RouteDef] = (),
    ) -> None:
        """Initialise without opening anything.

        Args:
            host: Host to listen on.
            port: Port; 0 for any free one.
            snapshots: Snapshots of the workers, and counts of ended ones: no count may fall, as
                Prometheus takes that for a restart and counts all of them anew.
            every: s between two accounts of the optimality gap, in a thread.
            window: s that an account goes back.
            routes: Further paths, with what answers them.
        """
        self.port = port
        self.draining = False
        self._host = host
        self._snapshots = snapshots
        self._every = every
        self._window = History(window)
        self._routes = routes
        self._optimality = Optimality()
        self.live_page = LivePage(self._gather, lambda: self._optimality)
        self._runner: web.AppRunner | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; raises UsageError if the address is not available."""
        app = application(self._host)
        app.middlewares.insert(0, api_errors)  # around the check of the host
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/statistics", self._statistics)
        app.router.add_get("/health", self._health)
        app.router.add_get("/ready", self._ready)
        app.router.add_routes(self._routes)
        app.add_routes(self.live_page.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise UsageError(
                f"admin: cannot listen on {self._host}:{self.port}: {error.strerror or error}; "
                "give another port, or stop what listens there"
            ) from error
        self.port = self._runner.addresses[0][1]
        self._task = asyncio.create_task(self._keep_account())
        await self.live_page.start()

    async def close(self) -> None:
        """Stop listening."""
        await self.live_page.close()
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._runner:
            await self._runner.cleanup()

    async def _keep_account(self) -> None:
        while True:
            try:
                self._window.add(await self._gather())
                self._optimality = await asyncio.to_thread(self._window.optimality)
            except Exception as error:  # the account must not end because of one that failed
                self._optimality = Optimality(why_not=f"{type(error).__name__}: {error}")
            await asyncio.sleep(self._every)

    async def _gather(self) -> Snapshot:
        """Merge the snapshots of all workers; raises TimeoutError."""
        async with asyncio.timeout(_PATIENCE):
            return merged(await self._snapshots())

    async def _metrics(self, request: web.Request) -> web.Response:
        snapshot = await self._asked()
        accept = ",".join(request.headers.getall("Accept", []))
        # In a thread: 20 000 samples, as of 100 backends and 5 frontends, take 0.3 s.
        text, content_type = await asyncio.to_thread(exposed, snapshot, self._optimality, accept)
        return web.Response(body=text, headers={"Content-Type": content_type})

    async def _statistics(self, _request: web.Request) -> web.Response:
        snapshot = await self._asked()
        return web.json_response(await asyncio.to_thread(statistics, snapshot, self._optimality))

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"live": True, "draining": self.draining})

    async def _ready(self, _request: web.Request) -> web.Response:
        missing = ["draining"] if self.draining else not_ready(await self._asked())
        return web.json_response(
            {"ready": not missing, "why_not": missing}, status=503 if missing else 200
        )

    async def _asked(self) -> Snapshot:
        try:
            return await self._gather()
        except TimeoutError:
            text = f"the workers did not answer within {_PATIENCE:g} s\n"
            raise web.HTTPServiceUnavailable(text=text) from None


def not_ready(seen: Snapshot) -> list[str]:
    """Reason why requests cannot be served; empty if they can."""
    if seen.draining >= seen.workers:
        return ["no worker takes requests"]
    known = ((name, it.live.backends) for name, it in seen.frontends.items() if it.live)
    lives = ((name, [seen.backends[b].live for b in backends]) for name, backends in known)
    return unserved(
        (name, [it is not None and it.up > it.draining for it in live]) for name, live in lives
    )
