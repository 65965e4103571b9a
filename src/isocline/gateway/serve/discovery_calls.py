"""Calls of the admin listener that put and delete backends of an entry `admin` of `discover`.

| call | answer |
|---|---|
| PUT /api/discover/ENTRY/NAME | `{"name", "new", "notes"}` |
| DELETE /api/discover/ENTRY/NAME | `{"name", "was_there"}` |

The body of PUT is `{"address": "HOST:PORT", "labels": {...}, "ttl": SECONDS}`; `labels` and `ttl`
may be left out. Calls need a key, and the control `backends`. An answer says that the call is
noted: the backend is served, or gone, once the change has settled. A name or address that another
backend has is refused with 409.
"""

from collections.abc import Sequence
from typing import Any, final

from aiohttp import web

from isocline.errors import UsageError
from isocline.gateway.discovery.discovery import Discovery
from isocline.gateway.discovery.registry import TakenError
from isocline.gateway.discovery.source import SourceError
from isocline.gateway.serve.control_calls import NAME, ControlCalls
from isocline.gateway.serve.log import LOG
from isocline.model.endpoint import LONGEST_NAME, Endpoint, shown
from isocline.model.systemfile.filled import placed
from isocline.structured_log import event

_FIELDS = {"address", "labels", "ttl"}
_MOST_LABELS = 64  # of each of 10 000 backends, which are held in memory


@final
class DiscoveryCalls:
    """Handlers of the calls on one router."""

    def __init__(self, discovery: Discovery, controls: ControlCalls) -> None:
        self._discovery = discovery
        self._controls = controls

    def routes(self) -> list[web.RouteDef]:
        """Routes for the admin listener."""
        path = f"/api/discover/{{entry:[^/]+}}/{NAME}"
        return [
            web.put(path, self._controls.guarded("backends", self._put)),
            web.delete(path, self._controls.guarded("backends", self._delete)),
        ]

    async def _put(self, request: web.Request, body: dict[str, Any], by: str) -> web.Response:
        entry, name = request.match_info["entry"], request.match_info["name"]
        address, labels, ttl = _checked(body)
        registry = self._discovery.registry(entry)
        notes = self._notes(entry, Endpoint(name, address, labels), registry.endpoints)
        try:
            is_new = registry.put(name, address, labels, ttl)
        except SourceError as error:
            LOG.error("discover %s: %s", entry, error)
            raise UsageError(f"{name} is served, but not kept: {error}") from error
        if is_new:
            fields = event("backend.put", backend=name, source=entry, address=address, by=by)
            LOG.info("discover %s: %s at %s is put, by %s", entry, name, address, by, extra=fields)
            self._controls.count("backends", by)
        return web.json_response({"name": name, "new": is_new, "notes": notes})

    def _notes(self, entry: str, endpoint: Endpoint, registered: Sequence[Endpoint]) -> list[str]:
        """Notes on a backend to be put.

        Args:
            entry: Name of the entry of `discover`.
            endpoint: What is to be put.
            registered: What is registered there.

        Raises:
            TakenError: A backend of the file or of another source has the name or url that it would
                have: it would be left out, for one server must not count twice.
        """
        serving = self._controls.serving
        ours = next((it for it in serving.discover if it.name == entry), None)
        place = None if ours is None else placed(ours, endpoint)
        if ours is None or place is None:
            return [f"no template of {entry} matches it; it is left out until one does"]
        name, url = place
        own = {found[0] for it in registered if (found := placed(ours, it)) is not None}
        for backend in serving.system.backends:
            if backend.name in own:
                continue
            if backend.name == name:
                raise TakenError(f"name: {shown(name)} is that of another backend; choose another")
            if backend.url == url:
                raise TakenError(
                    f"address: {shown(url)} is the url of backend {backend.name} already; one "
                    "server must not count twice"
                )
        return []

    async def _delete(self, request: web.Request, _body: dict[str, Any], by: str) -> web.Response:
        entry, name = request.match_info["entry"], request.match_info["name"]
        registry = self._discovery.registry(entry)
        try:
            was_there = registry.delete(name)
        except SourceError as error:
            LOG.error("discover %s: %s", entry, error)
            raise UsageError(f"{name} is gone, but comes back with a restart: {error}") from error
        if was_there:
            fields = event("backend.deleted", backend=name, source=entry, by=by)
            LOG.info("discover %s: %s is deleted, by %s", entry, name, by, extra=fields)
            self._controls.count("backends", by)
        return web.json_response({"name": name, "was_there": was_there})


def _checked(body: dict[str, Any]) -> tuple[str, dict[str, str], float | None]:
    """Return address, labels and time to live, s; raises UsageError."""
    for key in body:
        if key not in _FIELDS:
            raise UsageError(f"{key}: is unknown; known: {', '.join(sorted(_FIELDS))}")
    address, labels, ttl = body.get("address"), body.get("labels") or {}, body.get("ttl")
    if not isinstance(address, str):
        raise UsageError("address: is missing or no text; give HOST:PORT")
    texts = isinstance(labels, dict) and all(isinstance(it, str) for it in labels.values())
    if not texts:
        raise UsageError('labels: give a mapping of texts, as {"card": "h100"}')
    if len(labels) > _MOST_LABELS or any(
        len(text) > LONGEST_NAME for pair in labels.items() for text in pair
    ):
        raise UsageError(
            f"labels: give at most {_MOST_LABELS}, names and values of up to {LONGEST_NAME} "
            "characters"
        )
    if ttl is not None and (isinstance(ttl, bool) or not isinstance(ttl, int | float)):
        raise UsageError("ttl: give a time in seconds, or leave it out")
    return address, labels, None if ttl is None else float(ttl)
