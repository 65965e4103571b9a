"""Source of endpoints in watched files, in the format of Prometheus' file_sd_configs.

Files are checked about every second, by time, size, inode and content. Unlike notifications of the
kernel, this detects on every file system that a file was replaced, rewritten in place, or reached
through symbolic links that changed, as with Kubernetes' ConfigMaps. A changed file is read once two
checks in a row find it the same, because half of a YAML list may also be a valid list.

A file that cannot be read, or is not a list of targets, keeps its previous targets. So does a
missing file, unless it was found by a pattern: deleting it is then how its targets are removed.
"""

import asyncio
import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from isocline.gateway.discovery.source import Reports, Source, SourceError
from isocline.gateway.discovery.target_lists import read_list
from isocline.gateway.file_stamps import Stamp, stamp
from isocline.model.endpoint import Endpoint
from isocline.model.systemfile.discovery_schema import FilesEntry


@final
@dataclass
class _File:
    """State of one file."""

    seen: Stamp | None = None  # at the last check
    read: Stamp | None = None  # at the last reading, successful or not
    endpoints: tuple[Endpoint, ...] = ()
    problem: str = ""
    missing: int = 0  # checks in a row in which it was missing


@final
class FilesSource(Source):
    """Source that reads a list of paths and patterns."""

    def __init__(self, entry: FilesEntry, folder: Path) -> None:
        """Initialise; relative paths start at `folder`."""
        self._entry = entry
        self._patterns = [str(folder / path) for path in entry.paths]
        self._files: dict[Path, _File] = {}

    async def once(self) -> Sequence[Endpoint]:
        # A file is read if it does not change between two checks.
        for _ in range(2):
            await asyncio.to_thread(self.look)
        problems = self.problems()
        if problems and not self.endpoints():
            raise SourceError("; ".join(problems))
        return self.endpoints()

    async def run(self, reports: Reports) -> None:
        while True:
            if await asyncio.to_thread(self.look):
                reports.found(self.endpoints())
            for problem in self.problems():
                reports.failed(problem)
            await asyncio.sleep(self._entry.every)

    def look(self) -> bool:
        """Check all files once; returns whether one was read successfully, or is gone."""
        known, news = self._files, False
        literal = {Path(path) for path in self._patterns if not glob.has_magic(path)}
        # Not Path.glob, which rejects absolute patterns.
        found = {Path(path) for pattern in self._patterns for path in glob.glob(pattern)}  # noqa: PTH207
        for path in sorted(found | literal | known.keys()):
            news |= self._look_at(path, known.setdefault(path, _File()))
            if path not in literal and known[path].missing > 1:
                news |= bool(known.pop(path).endpoints)
        return news

    def endpoints(self) -> list[Endpoint]:
        """Return the targets of all files, sorted by path; of equal names, the first counts."""
        found: dict[str, Endpoint] = {}
        for path in sorted(self._files):
            for endpoint in self._files[path].endpoints:
                found.setdefault(endpoint.name, endpoint)
        return list(found.values())

    def problems(self) -> list[str]:
        """Return the present problems with files, one sentence each."""
        problems = [it.problem for it in self._files.values() if it.problem]
        if not self._files:
            problems.append(f"no file matches {', '.join(self._patterns)}")
        return problems

    def _look_at(self, path: Path, file: _File) -> bool:
        now = stamp(path)
        before, file.seen = file.seen, now
        if now is None:
            file.missing += 1
            file.read, file.problem = None, f"{path}: cannot be read; is it there?"
            return False
        file.missing = 0
        if now in (file.read, None) or now != before:
            return False
        file.read = now
        try:
            endpoints = read_list(path)
        except SourceError as error:
            file.problem = str(error)
            return False
        if stamp(path) != now:  # it is changing: the next check reads it
            file.read = None
            return False
        file.problem, file.endpoints = "", tuple(endpoints)
        return True
