"""Control calls of the admin listener: what operators read of backends and curves, and change.

| call | control | |
|---|---|---|
| GET /api/controls | | controls that the file allows, and the changes in force |
| GET /api/backends, /api/backends/NAME | | backends with their controls and states |
| PATCH /api/backends/NAME | drain, weight, max_share, curves | change fields of a backend |
| GET /api/curves, /api/curves/NAME | | learned curves, as JSON or YAML |
| POST /api/curves/NAME/reset | curves | forget what was learned |
| POST /api/reload | reload | read the file again |

Reads are open, as all else on the admin listener. A change needs a key that the file names and
`Content-Type: application/json`, which no form of a web page can send; pages of other origins are
refused, and no CORS field is ever sent.
"""

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, final
from urllib.parse import urlsplit

from aiohttp import web

from isocline.arguments import whole_number
from isocline.errors import IsoclineError, PolicyError, SystemFileError, UsageError
from isocline.gateway.discovery.registry import TakenError
from isocline.gateway.metrics.api_errors import error_answer
from isocline.gateway.metrics.snapshot import STATES, BackendSnapshot, merged
from isocline.gateway.proxy.admission import NO_KEY, key_shown
from isocline.gateway.serve.config import Serving
from isocline.gateway.serve.controls import CONTROL_OF, ControlName
from isocline.gateway.serve.learned_curves import LearnedBackend
from isocline.gateway.serve.operations import ConflictError, Operations, in_file, summary
from isocline.model.endpoint import shown
from isocline.model.systemfile.backend_schema import MOST_WEIGHT

Guarded = Callable[[web.Request, dict[str, Any], str], Awaitable[web.Response]]
"""Handler of a change: the request, its JSON object, and the name of the key."""

Handler = Callable[[web.Request], Awaitable[web.Response]]

NAME = "{name:[^/]+}"
"""Place of a backend's name in a route. aiohttp's usual pattern takes no braces."""

_FIELDS = (*CONTROL_OF, "force")


class CallError(IsoclineError):
    """A call that is refused, with its status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@final
class ControlCalls:
    """Handlers of the calls on one router."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def routes(self) -> list[web.RouteDef]:
        """Routes for the admin listener."""
        return [
            web.get("/api/controls", self._answered(self._controls)),
            web.get("/api/backends", self._answered(self._backends)),
            web.get(f"/api/backends/{NAME}", self._answered(self._backend)),
            web.patch(f"/api/backends/{NAME}", self._answered(self._change)),
            web.get("/api/curves", self._answered(self._curves)),
            web.get(f"/api/curves/{NAME}", self._answered(self._curve)),
            web.post(f"/api/curves/{NAME}/reset", self.guarded("curves", self._reset)),
            web.post("/api/reload", self.guarded("reload", self._reload)),
        ]

    def guarded(self, control: ControlName, handler: Guarded) -> Handler:
        """Let a handler be called only with a key, where the file allows the control."""

        async def handle(request: web.Request) -> web.Response:
            by = self._admitted(request, [control])
            return await handler(request, await _object(request), by)

        return self._answered(handle)

    @property
    def serving(self) -> Serving:
        """Settings in force."""
        return self._operations.serving

    def count(self, control: ControlName, by: str) -> None:
        """Count a call of another module that has changed something."""
        self._operations.count(control, by)

    def _answered(self, handler: Handler) -> Handler:
        """Answer errors of a handler with JSON."""

        async def handle(request: web.Request) -> web.Response:
            try:
                return await handler(request)
            except CallError as error:
                return error_answer(error.status, str(error), ".".join(map(str, error.field)))
            except (ConflictError, TakenError) as error:
                return error_answer(409, str(error))
            except web.HTTPRequestEntityTooLarge:
                return error_answer(
                    413, "the body is too long; give an object with the fields to change"
                )
            except (SystemFileError, PolicyError, UsageError) as error:
                return error_answer(422, str(error))

        return handle

    # Reads

    async def _controls(self, _request: web.Request) -> web.Response:
        serving = self._operations.serving
        changes = {
            name: {what: _change_document(it) for what, it in theirs.items()}
            for name, theirs in serving.controls.changes.items()
        }
        allowed = serving.control.allowed if serving.control else ()
        document = {"allowed": list(allowed), "key_needed": True, "changes": changes}
        return web.json_response(document)

    async def _backends(self, _request: web.Request) -> web.Response:
        return web.json_response({"backends": await self._documents()})

    async def _backend(self, request: web.Request) -> web.Response:
        return web.json_response(await self._document(self._name(request)))

    async def _curves(self, request: web.Request) -> web.Response:
        learned = await self._operations.learned()
        if learned is None:
            raise CallError(404, "curves are as the file gives them; none is learned")
        if _wants_yaml(request):
            return _yaml(learned.backends)
        return web.json_response(learned.model_dump())

    async def _curve(self, request: web.Request) -> web.Response:
        name = self._name(request)
        learned = await self._operations.learned()
        found = [it for it in learned.backends if it.name == name] if learned else []
        if not found:
            raise CallError(404, f"backend {name} has no learned curve")
        if _wants_yaml(request):
            return _yaml(found)
        return web.json_response(found[0].model_dump())

    # Changes

    async def _change(self, request: web.Request) -> web.Response:
        # Whether a caller may change anything is said before what it sent is looked at.
        by = self._admitted(request, [])
        values = _checked(await _object(request))
        force = values.pop("force", False)
        self._admitted(request, [CONTROL_OF[what] for what in values])
        name = self._name(request)
        done = await self._operations.control(name, values, by, force=force)
        return web.json_response(done._asdict() | {"backend": await self._document(name)})

    async def _reset(self, request: web.Request, _body: dict[str, Any], by: str) -> web.Response:
        name = self._name(request)
        said = await self._operations.forget(name, by)
        return web.json_response({"reset": name, "message": said})

    async def _reload(self, _request: web.Request, _body: dict[str, Any], by: str) -> web.Response:
        serving = await self._operations.reload(by)
        return web.json_response({"reloaded": summary(serving), "notes": list(serving.notes)})

    # Steps

    def _admitted(self, request: web.Request, controls: list[ControlName]) -> str:
        """Return the name of the key of a request that may use these controls.

        Raises:
            CallError: It may not.
        """
        _require_own_origin(request)
        settings = self._operations.serving.control
        if settings is None:
            raise CallError(403, "the file allows no control calls; add serve.admin_control to it")
        for control in controls:
            if control not in settings.allowed:
                what = f"the file does not allow {control}; add it to serve.admin_control.allow"
                raise CallError(403, what)
        given = [
            None if value is None else value.encode("utf-8", "surrogateescape")
            for value in map(request.headers.get, ("Authorization", "x-api-key"))
        ]
        key = key_shown(settings.key_digests, *given)
        if key == NO_KEY:
            raise CallError(
                401, "give a key of serve.admin_control as Authorization: Bearer or x-api-key"
            )
        return settings.key_names[key]

    def _name(self, request: web.Request) -> str:
        """Return the name of the backend in the path; raises CallError if there is none."""
        name = request.match_info["name"]
        known = [backend.name for backend in self._operations.serving.system.backends]
        if name not in known:
            raise _unknown(name)
        return name

    async def _document(self, name: str) -> dict[str, Any]:
        found = [it for it in await self._documents() if it["name"] == name]
        if not found:  # a reload came meanwhile
            raise _unknown(name)
        return found[0]

    async def _documents(self) -> list[dict[str, Any]]:
        serving = self._operations.serving
        system, seen = serving.system, merged(await self._operations.snapshots()).backends
        frontends: dict[int, list[str]] = {b: [] for b in range(len(system.backends))}
        for f, frontend in enumerate(system.frontends):
            for b in system.graph.neighbours(f).tolist():
                frontends[b].append(frontend.name)
        return [
            {
                "name": backend.name,
                "frontends": frontends[b],
                **asdict(serving.controls.of(backend.name)),
                "learned": serving.learning is not None,
                "in_file": {
                    what: getattr(in_file(serving, backend.name), what)
                    for what in ("weight", "max_share")
                },
                "changed_by": {
                    what: change.by
                    for what, change in serving.controls.changes.get(backend.name, {}).items()
                },
                **_live(seen.get(backend.name)),
            }
            for b, backend in enumerate(system.backends)
        ]


def _unknown(name: str) -> CallError:
    return CallError(404, f"no backend is named {shown(name)}")


def _live(seen: BackendSnapshot | None) -> dict[str, Any]:
    """State of a backend as the workers have it; null where none has answered."""
    live = seen.live if seen else None
    return {
        "url": live.url if live else None,
        "state": {it: getattr(live, it) / live.workers for it in STATES} if live else {},
        "in_flight": live.in_flight if live else None,
        "workload": live.workload / live.workers if live else None,
        "round_trip": live.round_trip if live else None,
    }


def _require_own_origin(request: web.Request) -> None:
    """Raise CallError for a call by a web page of another origin."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    foreign = origin is not None and _host_of(origin) != request.host
    if foreign or site not in (None, "same-origin", "none"):
        raise CallError(403, "pages of another origin may not call")


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # as of `http://[`: no page has such an origin
        return None


async def _object(request: web.Request) -> dict[str, Any]:
    """Return the JSON object of a request; raises CallError if it has none."""
    if request.content_type != "application/json":
        raise CallError(415, "give Content-Type: application/json")
    try:
        # JSON is UTF-8, whatever `charset` says (RFC 8259).
        text = (await request.read()).decode() or "{}"
        found = json.loads(text, parse_constant=_no_number, parse_int=whole_number)
    except UsageError as error:
        raise CallError(422, str(error)) from None
    except (ValueError, RecursionError) as error:
        raise CallError(422, f"the body is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise CallError(422, "the body is no JSON object")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _checked(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a backend that may be set; raises CallError for others."""
    if not body.keys() - {"force"}:
        raise CallError(422, f"nothing to change; give {', '.join(CONTROL_OF)}")
    return {field: _value(field, value) for field, value in body.items()}


def _value(field: str, value: Any) -> Any:
    if field not in _FIELDS:
        raise CallError(422, f"unknown field {field!r}; known: {', '.join(_FIELDS)}").within(field)
    if field in ("draining", "frozen", "force"):
        if not isinstance(value, bool):
            raise CallError(422, f"{field} is {json.dumps(value)}; give true or false").within(
                field
            )
        return value
    if value is None:
        return None
    most = 1.0 if field == "max_share" else MOST_WEIGHT
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        remedy = "; to send it nothing, drain it" if value == 0 else ""
        wanted = f"give a number above 0, up to {most:g}, or null for the file's"
        raise CallError(422, f"{field} is {json.dumps(value)}; {wanted}{remedy}").within(field)
    return float(value)


def _change_document(change: Any) -> dict[str, Any]:
    since = datetime.fromtimestamp(math.floor(change.since), UTC)
    return {
        "value": change.value,
        "by": change.by,
        "since": since.isoformat().replace("+00:00", "Z"),
    }


def _wants_yaml(request: web.Request) -> bool:
    return request.query.get("format") == "yaml" or "yaml" in request.headers.get("Accept", "")


def _yaml(backends: list[LearnedBackend]) -> web.Response:
    """Answer with backends as a system file has them; JSON's texts and lists are YAML's, too."""
    lines = ["backends:\n"]
    for backend in backends:
        points = [[float(f"{n:.6g}"), float(f"{rate:.6g}")] for n, rate in backend.points if n > 0]
        lines.append(f"  - name: {json.dumps(backend.name)}\n")
        lines.append(f"    curve: {{type: table, points: {json.dumps(points)}}}\n")
    return web.Response(text="".join(lines), content_type="application/yaml")
