"""Configuration of a running Envoy: files that it watches, written so that no request is lost.

A change is made in three steps, each seen by Envoy before the next: endpoints and clusters with
those of before still among them; routes and certificates; then without the old ones. A route never
names a cluster that is not there. Old endpoints stay where no new one is known to be healthy: Envoy
sends nothing to one that it has not checked yet.
"""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from time import monotonic
from typing import Any, final

from isocline.errors import IsoclineError
from isocline.gateway.serve.config import Serving
from isocline.planes.envoy.addresses import Address
from isocline.planes.envoy.admin_client import AdminClient
from isocline.planes.envoy.bootstrap import Folder, bootstrap, files
from isocline.planes.envoy.clusters import Balancing
from isocline.replaced_file import replace_text

_PATIENCE = 30.0  # s for Envoy to follow a change; usually 0.05
_UNWELL = 5.0  # s for one of a frontend's new backends to become healthy, if all are new
_LOOK = 0.02  # s between looks
_VERSIONS = "version_text$"
# Clusters whose backends are being checked for the first time, and listeners that wait for routes.
_WARMING = "(warming_clusters|total_listeners_warming)$"


class RefusedError(IsoclineError):
    """Envoy has refused a change, or does not follow it."""


@final
class Configuration:
    """Files of one folder."""

    def __init__(self, folder: Folder, admin: AdminClient) -> None:
        self._folder = folder
        self._admin = admin
        self._written: dict[Path, dict[str, Any]] = {}
        self._versions = map(str, itertools.count(1))

    def write(
        self, serving: Serving, balancing: Balancing, addresses: Mapping[str, Address]
    ) -> None:
        """Write all files, for an Envoy that is to be started; raises OSError."""
        replace_file(self._folder.bootstrap, bootstrap(serving, self._folder))
        version = next(self._versions)
        self._put(files(serving, self._folder, balancing, addresses, version))

    async def change(
        self, serving: Serving, balancing: Balancing, addresses: Mapping[str, Address]
    ) -> bool:
        """Bring a running Envoy to new settings; returns whether anything was changed.

        Raises:
            RefusedError: It refuses them, or does not follow; the files are those of before again.
            AdminError: It does not answer, as while it is being started again.
        """
        version = next(self._versions)
        new = files(serving, self._folder, balancing, addresses, version)
        before = dict(self._written)
        changed = {path: it for path, it in new.items() if not _same(it, before.get(path))}
        if not changed:
            return False
        try:
            kept = await self._without_healthy(changed, before) if serving.checks.health else []
            first, *others = self._steps(changed, before, kept)
            await self._follow(first)
            await self._until_healthy({path: changed[path] for path in kept})
            for step in others:
                await self._follow(step)
        except RefusedError:
            self._put({path: it for path, it in before.items() if path in changed})
            raise
        for path in before.keys() - new.keys():
            self._written.pop(path)
            path.unlink(missing_ok=True)
        return True

    async def _without_healthy(
        self, changed: Mapping[Path, dict[str, Any]], before: Mapping[Path, dict[str, Any]]
    ) -> list[Path]:
        """Files of endpoints none of which is healthy now, though one of before is."""
        healthy = await self._admin.healthy()
        return [
            path
            for path, document in changed.items()
            if _is_of_endpoints(path)
            and path in before
            and not _endpoints(document) & healthy.get(_cluster(document), set())
            and _endpoints(before[path]) & healthy.get(_cluster(document), set())
        ]

    async def _until_healthy(self, changed: Mapping[Path, dict[str, Any]]) -> None:
        """Wait until each frontend has a healthy backend, as far as there is one."""
        end = monotonic() + _UNWELL
        while monotonic() < end:
            healthy = await self._admin.healthy() if changed else {}
            if all(
                _endpoints(it) & healthy.get(_cluster(it), set()) or not _endpoints(it)
                for it in changed.values()
            ):
                return
            await asyncio.sleep(_LOOK)

    def _steps(
        self,
        changed: Mapping[Path, dict[str, Any]],
        before: Mapping[Path, dict[str, Any]],
        kept: Sequence[Path],
    ) -> list[dict[Path, dict[str, Any]]]:
        """Files to be written one after the other; of `kept` the old endpoints stay at first."""
        clusters = self._folder.clusters
        first = {path: it for path, it in changed.items() if _is_of_endpoints(path)}
        last: dict[Path, dict[str, Any]] = {}
        for path in kept:
            first[path] = _with_old_endpoints(changed[path], before[path])
            last[path] = _without(changed[path])
        if clusters in changed:
            both = _with_old(changed[clusters], before[clusters])
            first[clusters] = both
            if len(both["resources"]) > len(changed[clusters]["resources"]):
                last[clusters] = _without(changed[clusters])
        rest = {path: it for path, it in changed.items() if path not in first}
        return [step for step in (first, rest, last) if step]

    async def _follow(self, step: Mapping[Path, dict[str, Any]]) -> None:
        """Write files, and wait until Envoy uses all of those that it has been watching."""
        versions, rejected = await self._admin.texts(_VERSIONS), await self._rejected()
        watched = sum(path in self._written for path in step)
        (version,) = {it["version_info"] for it in step.values()}
        self._put(step)
        end = monotonic() + _PATIENCE
        while True:
            refused = [name for name, it in (await self._rejected()).items() if it > rejected[name]]
            if refused:
                raise RefusedError(f"Envoy has refused the change ({refused[0]}); see its log")
            now = await self._admin.texts(_VERSIONS)
            warming = await self._admin.counts(_WARMING)
            # Those of a new cluster are not counted, as they come with it.
            read = sum(now.get(name) == version for name in versions)
            if read >= watched and not any(warming.values()):
                return
            if monotonic() > end:
                raise RefusedError(f"Envoy has not followed the change within {_PATIENCE:g} s")
            await asyncio.sleep(_LOOK)

    async def _rejected(self) -> Counter[str]:
        return Counter(await self._admin.counts("update_rejected$"))

    def _put(self, documents: Mapping[Path, dict[str, Any]]) -> None:
        for path, it in documents.items():
            replace_file(path, it)
            self._written[path] = it


def replace_file(path: Path, document: object) -> None:
    """Replace a file as a whole, readable by this user alone: Envoy looks when it is moved there.

    Raises:
        OSError: It cannot be written.
    """
    replace_text(path, json.dumps(document), private=True)


def _same(document: Mapping[str, Any], other: Mapping[str, Any] | None) -> bool:
    return other is not None and document["resources"] == other["resources"]


def _with_old(now: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Clusters of a change, with those of before that it leaves out."""
    resources: Sequence[dict[str, Any]] = now["resources"]
    names = {it["name"] for it in resources}
    old = [it for it in before["resources"] if it["name"] not in names]
    return {**now, "resources": [*resources, *old]}


def _without(document: Mapping[str, Any]) -> dict[str, Any]:
    """Document of the last step, with a version of its own."""
    return {**document, "version_info": f"{document['version_info']}-without"}


def _is_of_endpoints(path: Path) -> bool:
    return path.name.startswith("endpoints-")


def _cluster(document: Mapping[str, Any]) -> str:
    name: str = document["resources"][0]["cluster_name"]
    return name


def _entries(document: Mapping[str, Any]) -> dict[Address, dict[str, Any]]:
    """Endpoints in a file, by address."""
    found = {}
    for it in document["resources"][0]["endpoints"][0]["lb_endpoints"]:
        at = it["endpoint"]["address"]["socket_address"]
        found[Address(at["address"], at["port_value"])] = it
    return found


def _endpoints(document: Mapping[str, Any]) -> Set[Address]:
    return _entries(document).keys()


def _with_old_endpoints(now: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Endpoints of a change, with those of before that it leaves out."""
    (resource,) = now["resources"]
    both = [*(_entries(before) | _entries(now)).values()]
    return {**now, "resources": [{**resource, "endpoints": [{"lb_endpoints": both}]}]}
