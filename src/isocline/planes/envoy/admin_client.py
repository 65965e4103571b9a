"""Client of Envoy's own admin listener, on a socket that only this user can reach."""

import json
from pathlib import Path
from typing import Any, final
from urllib.parse import quote

import aiohttp

from isocline.errors import IsoclineError
from isocline.planes.envoy.addresses import Address

_PATIENCE = aiohttp.ClientTimeout(total=5.0)


class AdminError(IsoclineError):
    """Envoy does not answer on its admin listener."""


@final
class AdminClient:
    """Calls of the admin listener; each has a connection of its own, as there are few."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def get(self, path: str) -> str:
        """Return the answer to a GET; raises AdminError."""
        return await self._ask("GET", path)

    async def post(self, path: str) -> str:
        """Return the answer to a POST, which changes something; raises AdminError."""
        return await self._ask("POST", path)

    async def is_live(self) -> bool:
        """Whether Envoy has all its configuration and serves."""
        try:
            return (await self.get("/ready")).startswith("LIVE")
        except AdminError:
            return False

    async def counts(self, pattern: str) -> dict[str, int]:
        """Return counters and gauges whose names match a regular expression; raises AdminError."""
        return {
            it["name"]: it["value"] for it in await self._stats(pattern, "All") if "value" in it
        }

    async def texts(self, pattern: str) -> dict[str, str]:
        """Return texts, such as versions, in the same way; raises AdminError."""
        return {it["name"]: it["value"] for it in await self._stats(pattern, "TextReadouts")}

    async def healthy(self) -> dict[str, set[Address]]:
        """Return the healthy endpoints of each cluster; raises AdminError."""
        clusters = json.loads(await self.get("/clusters?format=json"))["cluster_statuses"]
        return {
            it["name"]: {
                Address(at["address"], at["port_value"])
                for host in it.get("host_statuses", [])
                if not any(key.startswith("failed_") for key in host.get("health_status", {}))
                for at in (host["address"]["socket_address"],)
            }
            for it in clusters
        }

    async def _stats(self, pattern: str, kind: str) -> list[dict[str, Any]]:
        text = await self.get(f"/stats?format=json&type={kind}&filter={quote(pattern)}")
        found: list[dict[str, Any]] = json.loads(text)["stats"]
        return found

    async def _ask(self, method: str, path: str) -> str:
        connector = aiohttp.UnixConnector(path=str(self._socket), force_close=True)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=_PATIENCE) as session,
                session.request(method, f"http://envoy{path}") as response,
            ):
                text = await response.text()
                if response.status >= 400 and path != "/ready":
                    raise AdminError(f"Envoy answers {response.status} to {path}: {text.strip()}")
                return text
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise AdminError(f"Envoy's admin listener does not answer: {reason}") from error
