"""An API server of Kubernetes on loopback, as far as EndpointSlices of one service go."""

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, final

from aiohttp import web

PATH = "/apis/discovery.k8s.io/v1/namespaces/ml/endpointslices"


def ready(
    address: str, pod: str = "", *, conditions: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """An endpoint as a slice has it."""
    endpoint = {"addresses": [address], "conditions": {"ready": True} | dict(conditions or {})}
    if pod:
        endpoint["targetRef"] = {"kind": "Pod", "name": pod, "namespace": "ml"}
    return endpoint | more


def slice_of(
    name: str,
    endpoints: Sequence[Mapping[str, Any]] | None,
    *,
    family: str = "IPv4",
    ports: Sequence[Mapping[str, Any]] = ({"name": "http", "port": 8000, "protocol": "TCP"},),
) -> dict[str, Any]:
    """An EndpointSlice; None in place of endpoints is what the API sends for an empty list."""
    return {
        "metadata": {"name": name, "namespace": "ml"},
        "addressType": family,
        "endpoints": endpoints,
        "ports": list(ports),
    }


@final
class KubernetesStub:
    """Slices, and those who watch them.

    Attributes:
        lists, watches: Queries of each list and each watch.
        tokens: Value of Authorization of each request.
        page: Slices on a page of a list.
        refusal: Status and object that answer each request, if given.
        hangs: Requests get no answer.
    """

    def __init__(self) -> None:
        self.lists: list[dict[str, str]] = []
        self.watches: list[dict[str, str]] = []
        self.tokens: list[str | None] = []
        self.page = 500
        self.refusal: tuple[int, Any] | None = None
        self.hangs = False
        self.url = ""
        self._version = 10
        self._slices: dict[str, dict[str, Any]] = {}
        self._events: list[tuple[int, bytes]] = []  # since the oldest version that is known
        self._oldest = 0
        self._watching: set[asyncio.Queue[bytes | None]] = set()

    async def start(self, context: ssl.SSLContext | None = None) -> None:
        app = web.Application()
        app.router.add_get(PATH, self._asked)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        port = self._runner.addresses[0][1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.hang_up()
        await self._runner.cleanup()

    def put(self, one: dict[str, Any], kind: str = "") -> None:
        """Add or replace a slice; watchers see it."""
        name = one["metadata"]["name"]
        known = name in self._slices
        self._slices[name] = one
        self._tell(kind or ("MODIFIED" if known else "ADDED"), one)

    def delete(self, name: str) -> None:
        self._tell("DELETED", self._slices.pop(name))

    def bookmark(self) -> None:
        self._tell("BOOKMARK", {"metadata": {}})

    def forget(self) -> None:
        """Forget old versions: whoever asks for events since then gets 410."""
        self._version += 1
        self._oldest = self._version

    def silently(self, one: dict[str, Any]) -> None:
        """Change a slice without an event, as one that watchers missed."""
        self._slices[one["metadata"]["name"]] = one

    def send(self, data: bytes) -> None:
        """Send this to all who watch, whatever it is."""
        for queue in self._watching:
            queue.put_nowait(data)

    def hang_up(self) -> None:
        """End all watches."""
        for queue in self._watching:
            queue.put_nowait(None)

    def _tell(self, kind: str, one: dict[str, Any]) -> None:
        self._version += 1
        one["metadata"]["resourceVersion"] = str(self._version)
        line = json.dumps({"type": kind, "object": one}).encode() + b"\n"
        self._events.append((self._version, line))
        self.send(line)

    async def _asked(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        self.tokens.append(request.headers.get("Authorization"))
        if query.get("labelSelector") != "kubernetes.io/service-name=vllm":
            raise web.HTTPBadRequest(text=f"unexpected {query}")
        watches = query.get("watch") == "1"
        (self.watches if watches else self.lists).append(query)
        if self.hangs:
            await asyncio.Event().wait()
        if self.refusal is not None:
            status, what = self.refusal
            return web.Response(status=status, body=json.dumps(what))
        return await (self._watch(request, query) if watches else self._list(query))

    async def _list(self, query: Mapping[str, str]) -> web.StreamResponse:
        items = [self._slices[name] for name in sorted(self._slices)]
        first = int(query.get("continue", "0"))
        after = first + min(self.page, int(query["limit"]))
        metadata = {"resourceVersion": str(self._version)}
        if after < len(items):
            metadata["continue"] = str(after)
        return web.json_response(
            {"kind": "EndpointSliceList", "metadata": metadata, "items": items[first:after] or None}
        )

    async def _watch(self, request: web.Request, query: Mapping[str, str]) -> web.StreamResponse:
        since = int(query["resourceVersion"])
        response = web.StreamResponse()
        await response.prepare(request)
        if since < self._oldest:
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            await response.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
            return response
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        for version, line in self._events:
            if version > since:
                queue.put_nowait(line)
        self._watching.add(queue)
        try:
            while (data := await queue.get()) is not None:
                await response.write(data)
        except ConnectionError:
            pass
        finally:
            self._watching.discard(queue)
        if request.transport is not None:
            request.transport.close()  # without the end of the message: a connection that breaks
        return response
