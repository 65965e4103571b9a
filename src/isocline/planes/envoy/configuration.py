"""Configuration of a running Envoy: files that it watches, written so that no request is lost.

A change is made in three steps, each seen by Envoy before the next: endpoints and clusters with
those of before still among them; routes and certificates; then clusters without the old ones. A
route never names a cluster that is not there.
"""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, final

from isocline.errors import IsoclineError
from isocline.gateway.serve.config import Serving
from isocline.planes.envoy.addresses import Address
from isocline.planes.envoy.admin_client import AdminClient
from isocline.planes.envoy.bootstrap import Folder, bootstrap, files
from isocline.planes.envoy.clusters import Balancing

_PATIENCE = 30.0  # s for Envoy to follow a change; usually 0.05
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
            for step in self._steps(changed, before):
                await self._follow(step)
        except RefusedError:
            self._put({path: it for path, it in before.items() if path in changed})
            raise
        for path in before.keys() - new.keys():
            self._written.pop(path)
            path.unlink(missing_ok=True)
        return True

    def _steps(
        self, changed: Mapping[Path, dict[str, Any]], before: Mapping[Path, dict[str, Any]]
    ) -> list[dict[Path, dict[str, Any]]]:
        clusters = self._folder.clusters
        names = [path for path in changed if path.name.startswith("endpoints-")]
        first = {path: changed[path] for path in names}
        last: dict[Path, dict[str, Any]] = {}
        if clusters in changed:
            both = _with_old(changed[clusters], before[clusters])
            first[clusters] = both
            if len(both["resources"]) > len(changed[clusters]["resources"]):
                version = f"{changed[clusters]['version_info']}-without"
                last[clusters] = {**changed[clusters], "version_info": version}
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
    draft = path.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(document), encoding="utf-8")
    draft.replace(path)


def _same(document: Mapping[str, Any], other: Mapping[str, Any] | None) -> bool:
    return other is not None and document["resources"] == other["resources"]


def _with_old(now: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Clusters of a change, with those of before that it leaves out."""
    resources: Sequence[dict[str, Any]] = now["resources"]
    names = {it["name"] for it in resources}
    old = [it for it in before["resources"] if it["name"] not in names]
    return {**now, "resources": [*resources, *old]}
