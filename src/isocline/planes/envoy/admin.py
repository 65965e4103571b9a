"""Admin listener of the plane, for operators and Prometheus.

| path | answer |
|---|---|
| /metrics | Envoy's own metrics, in Prometheus' text format |
| /statistics | one JSON document: workloads, curves, restarts |
| /health, /healthz | 200 while the process answers, and whether it is draining |
| /ready | 200; 503 while it drains, Envoy does not serve, or a frontend has no backend up |
"""

from collections.abc import Callable
from typing import Any, final

from aiohttp import web

from isocline.errors import UsageError
from isocline.gateway.serve.addresses import ListenAddress
from isocline.pages.live.own_host import application
from isocline.planes.envoy.admin_client import AdminClient, AdminError

_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@final
class PlaneAdmin:
    """Server of these paths.

    Attributes:
        address: Where it listens, once started.
        draining: Whether the plane is about to stop.
    """

    def __init__(
        self,
        address: ListenAddress,
        envoy: AdminClient,
        statistics: Callable[[], dict[str, Any]],
        not_ready: Callable[[], list[str]],
    ) -> None:
        """Initialise without opening anything.

        Args:
            address: Where it is to listen.
            envoy: Envoy's own admin listener.
            statistics: The answer to /statistics.
            not_ready: Why frontends cannot be served, in words.
        """
        self.address = address
        self.draining = False
        self._envoy = envoy
        self._statistics = statistics
        self._not_ready = not_ready
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen; raises UsageError if the address is not available."""
        app = application(self.address.host)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/statistics", self._show)
        app.router.add_get("/health", self._health)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/ready", self._ready)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.address.host, self.address.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise UsageError(
                f"admin: cannot listen on {self.address}: {error.strerror or error}; "
                "give another port, or stop what listens there"
            ) from error
        self.address = ListenAddress(self.address.host, self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        try:
            text = await self._envoy.get("/stats/prometheus?usedonly")
        except AdminError as error:
            raise web.HTTPServiceUnavailable(text=f"{error}\n") from None
        return web.Response(body=text.encode(), headers={"Content-Type": _PROMETHEUS})

    async def _show(self, _request: web.Request) -> web.Response:
        return web.json_response(self._statistics())

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"live": True, "draining": self.draining})

    async def _ready(self, _request: web.Request) -> web.Response:
        if self.draining:
            missing = ["draining"]
        elif not await self._envoy.is_live():
            missing = ["Envoy does not serve"]
        else:
            missing = self._not_ready()
        return web.json_response(
            {"ready": not missing, "why_not": missing}, status=503 if missing else 200
        )
