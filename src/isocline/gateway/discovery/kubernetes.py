"""Source of endpoints in Kubernetes: list and watch of a service's EndpointSlices.

The list gives a resourceVersion, from which the watch continues. Bookmarks move it forward when
nothing else happens, so that a broken watch resumes where it was. After 410 Gone, or a malformed
event, a new list is fetched. The token is read for each request, because pods' tokens are renewed
every hour; certificates are read for each connection.
"""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import aiohttp

from isocline.gateway.discovery.endpoint_slices import GONE, EndpointSlices, ExpiredError
from isocline.gateway.discovery.source import Reports, Source, SourceError
from isocline.model.endpoint import Endpoint, joined
from isocline.model.systemfile.discovery_schema import KubernetesEntry

POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Folder with a pod's token, ca.crt and namespace."""

_PAGE = 500  # slices per page of a list, as kubectl requests
# s. The server ends a watch after `_WATCH`; a watch that does not end is given up `_LATE` later.
_CONNECT, _LIST, _WATCH, _LATE = 10.0, 30.0, 240, 60.0
_FIRST, _LONGEST = 0.5, 30.0  # s of pauses after failures
_LARGEST = 64 * 2**20  # bytes of a page or a line: slices of 1000 endpoints have 0.4 MB


@final
@dataclass(frozen=True)
class _Server:
    """Address and credentials of the API server."""

    url: str
    token: Path | None
    authorities: Path | None

    def headers(self) -> dict[str, str]:
        if self.token is None:
            return {}
        return {"Authorization": f"Bearer {_text(self.token)}"}

    def context(self) -> ssl.SSLContext | bool:
        if self.authorities is None:
            return True
        try:
            return ssl.create_default_context(cafile=self.authorities)
        except OSError as error:
            raise SourceError(
                f"{self.authorities}: no certificates can be read: {error}"
            ) from error


@final
class KubernetesSource(Source):
    """Source that watches one service."""

    def __init__(
        self,
        entry: KubernetesEntry,
        folder: Path,
        pod: Path = POD,
        pauses: tuple[float, float] = (_FIRST, _LONGEST),
    ) -> None:
        """Initialise, without reading anything.

        Args:
            entry: Settings.
            folder: Folder at which relative paths start.
            pod: Folder of the pod's own token, certificates and namespace.
            pauses: First and longest pause after a failure, s.
        """
        self._entry = entry
        self._folder = folder
        self._pod = pod
        self._first, self._longest = pauses

    async def once(self) -> Sequence[Endpoint]:
        slices = EndpointSlices(self._entry)
        async with self._session() as session:
            await self._list(session, slices)
        return slices.endpoints()

    async def run(self, reports: Reports) -> None:
        slices, failures = EndpointSlices(self._entry), 0
        while True:
            try:
                async with self._session() as session:
                    fresh = not slices.version
                    if fresh:
                        await self._list(session, slices)
                        reports.found(slices.endpoints())
                    heard = await self._follow(session, slices, reports)
            except ExpiredError:
                # If a fresh list is already too old, the next one is fetched only after a pause.
                heard = not fresh
            except SourceError as error:
                reports.failed(str(error))
                heard = False
            failures = 0 if heard else failures + 1
            if failures:
                doubled: float = self._first * 2.0 ** min(failures - 1, 30)
                await asyncio.sleep(min(doubled, self._longest))

    async def _follow(
        self, session: aiohttp.ClientSession, slices: EndpointSlices, reports: Reports
    ) -> bool:
        """Report changes until the server ends the watch; returns whether it sent anything."""
        heard = False
        async with aclosing(self._watch(session, slices)) as lines:
            async for line in lines:
                heard = True
                if slices.event(line):
                    reports.found(slices.endpoints())
        return heard

    async def _list(self, session: aiohttp.ClientSession, slices: EndpointSlices) -> None:
        pages: list[Any] = []
        more = ""
        while more or not pages:
            query = {"limit": str(_PAGE)} | ({"continue": more} if more else {})
            timeout = aiohttp.ClientTimeout(total=_LIST, sock_connect=_CONNECT)
            async with self._asked(session, slices, query, timeout) as response:
                body = await _read(response)
            try:
                pages.append(json.loads(body))
                more = str(pages[-1]["metadata"].get("continue") or "")
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise SourceError(f"the API server sent a malformed list: {body[:80]!r}") from error
        slices.listed(pages)

    async def _watch(
        self, session: aiohttp.ClientSession, slices: EndpointSlices
    ) -> AsyncGenerator[bytes]:
        """Yield the lines of a watch until the server ends it."""
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": slices.version,
            "timeoutSeconds": str(_WATCH),
        }
        timeout = aiohttp.ClientTimeout(
            total=_WATCH + _LATE, sock_connect=_CONNECT, sock_read=_WATCH + _LATE
        )
        async with self._asked(session, slices, query, timeout) as response:
            rest = b""
            async for piece in response.content.iter_any():
                *lines, rest = (rest + piece).split(b"\n")
                if len(rest) > _LARGEST:
                    raise SourceError(f"the watch sent a line of more than {_LARGEST} bytes")
                for line in lines:
                    if line.strip():
                        yield line
            # The part after the last line break was cut off with the connection, and is sent again.

    @asynccontextmanager
    async def _asked(
        self,
        session: aiohttp.ClientSession,
        slices: EndpointSlices,
        query: dict[str, str],
        timeout: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Query the API server; raises SourceError for any failure, also within the block."""
        server = self._server()
        url = f"{server.url}/apis/discovery.k8s.io/v1/namespaces/{self._namespace()}/endpointslices"
        query = {"labelSelector": f"kubernetes.io/service-name={self._entry.service}", **query}
        headers = server.headers()
        try:
            async with session.get(
                url, params=query, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status != 200:
                    await self._refuse(response, slices)
                yield response
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            problem = str(error) or type(error).__name__
            raise SourceError(f"{server.url}: {problem}") from error

    async def _refuse(self, response: aiohttp.ClientResponse, slices: EndpointSlices) -> None:
        body = await _read(response)
        try:
            status = json.loads(body)
        except ValueError:
            status = None
        if not isinstance(status, dict):
            status = {"reason": f"status {response.status}", "message": body[:80].decode("latin-1")}
        remedy = {
            401: "; is the token of this cluster?",
            403: "; allow its service account to list and watch endpointslices",
            404: "; is the namespace right?",
        }
        message = f"{status.get('message') or ''}{remedy.get(response.status, '')}"
        expired = response.status == GONE
        slices.refuse({**status, "message": message, "code": GONE if expired else 0})

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(ssl=self._server().context())
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=True
        )

    def _server(self) -> _Server:
        """Find the API server; raises SourceError outside a cluster."""
        entry, folder, pod = self._entry, self._folder, self._pod
        token = pod / "token" if entry.token_file is None else folder / entry.token_file
        authorities = pod / "ca.crt" if entry.ca_file is None else folder / entry.ca_file
        if entry.api is not None:
            return _Server(
                entry.api.rstrip("/"),
                token if entry.token_file or token.exists() else None,
                authorities if entry.ca_file or authorities.exists() else None,
            )
        host = os.environ.get("KUBERNETES_SERVICE_HOST")
        port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host or not port.isdecimal():
            raise SourceError("this is not a pod of Kubernetes; give api, token_file and ca_file")
        return _Server(f"https://{joined(host, int(port))}", token, authorities)

    def _namespace(self) -> str:
        if self._entry.namespace is not None:
            return self._entry.namespace
        own = self._pod / "namespace"
        if not own.exists():
            raise SourceError("this is not a pod of Kubernetes; give namespace")
        return _text(own)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read a body; raises SourceError if it is too long."""
    body = b""
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > _LARGEST:
            raise SourceError(f"the API server sent more than {_LARGEST} bytes")
    return body


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error
