"""Page of a Dask scheduler's HTTP server with the statistics, in HTML and JSON."""

from collections.abc import Callable
from typing import Any, final

from distributed.http.routing import RoutingApplication
from distributed.http.utils import RequestHandler

from isocline.integrations.dask.statistics import Statistics, page


@final
class StatisticsPage:
    """Page at `/name`, and `/name.json`, until it is removed."""

    def __init__(self, scheduler: Any, name: str, statistics: Callable[[], Statistics]) -> None:
        """Serve the page."""
        shown: dict[str, Callable[[], Any]] = {
            "": lambda: page(statistics()),
            r"\.json": lambda: statistics().to_dict(),
        }
        routes = [
            (rf"(?:/.*)?/{name}{ending}", _Handler, {"content": content})
            for ending, content in shown.items()
        ]
        self._server = scheduler.http_application
        self._page = RoutingApplication(routes)
        self._server.add_application(self._page)

    def remove(self) -> None:
        """Serve it no longer."""
        if self._page in self._server.applications:
            self._server.applications.remove(self._page)


@final
class _Handler(RequestHandler):
    """Answer to one request; a mapping is sent as JSON."""

    def initialize(self, content: Callable[[], Any]) -> None:
        self._content = content

    def get(self) -> None:
        self.write(self._content())
