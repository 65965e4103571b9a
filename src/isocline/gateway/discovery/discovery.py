"""Discovery: runs the sources of a system file, and reports changes of their endpoints."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, final

from isocline.errors import MissingExtraError, UsageError
from isocline.extras import extras_named
from isocline.gateway.discovery.merge import Merger
from isocline.gateway.discovery.source import Source, SourceError
from isocline.model.endpoint import Endpoint, Found
from isocline.model.systemfile.discovery_schema import DiscoverEntry
from isocline.plural import counted
from isocline.structured_log import event

if TYPE_CHECKING:
    from isocline.gateway.discovery.registry import RegistrySource

LOG = logging.getLogger("isocline.serve.discovery")
_PATIENCE = 10.0  # s that sources have to answer when each is asked once


class Look(NamedTuple):
    """Answers of all sources, each asked once."""

    found: Found
    problems: dict[str, str]  # error messages by name of the entry


def source_of(entry: DiscoverEntry, folder: Path, clock: Callable[[], float] = monotonic) -> Source:
    """Make the source of an entry; relative paths start at `folder`.

    Raises:
        SourceError: The entry cannot be used.
        MissingExtraError: The source needs a package that is not installed.
    """
    # Imported only when used: a file without DNS needs no resolver.
    with extras_named(lambda: f"discover {entry.name!r}"):
        if entry.dns is not None:
            from isocline.gateway.discovery.dns import DnsSource  # noqa: PLC0415

            return DnsSource(entry.dns)
        if entry.files is not None:
            from isocline.gateway.discovery.files import FilesSource  # noqa: PLC0415

            return FilesSource(entry.files, folder)
        if entry.kubernetes is not None:
            from isocline.gateway.discovery.kubernetes import KubernetesSource  # noqa: PLC0415

            return KubernetesSource(entry.kubernetes, folder)
        from isocline.gateway.discovery.registry import RegistrySource  # noqa: PLC0415

        assert entry.admin is not None  # by the schema
        file = entry.admin.file
        return RegistrySource(None if file is None else folder / file, clock)


async def look(entries: Sequence[DiscoverEntry], folder: Path, patience: float = _PATIENCE) -> Look:
    """Ask all sources once, concurrently, and wait at most `patience` s.

    Raises:
        MissingExtraError: A source needs a package that is not installed.
    """

    async def asked(entry: DiscoverEntry) -> Sequence[Endpoint] | str:
        try:
            async with asyncio.timeout(patience):
                return tuple(await source_of(entry, folder).once())
        except SourceError as error:
            return str(error)
        except TimeoutError:
            return f"no answer within {patience:g} s"

    answers = await asyncio.gather(*map(asked, entries))
    named = {entry.name: it for entry, it in zip(entries, answers, strict=True)}
    return Look(
        {name: it for name, it in named.items() if not isinstance(it, str)},
        {name: it for name, it in named.items() if isinstance(it, str)},
    )


def look_once(entries: Sequence[DiscoverEntry], folder: Path) -> Look:
    """Ask each source once, on an event loop of its own, see `look`."""
    return asyncio.run(look(entries, folder))


@final
class Discovery:
    """Running sources of a router, and the endpoints that they have found."""

    def __init__(
        self, changed: Callable[[], None], found: Found, clock: Callable[[], float] = monotonic
    ) -> None:
        """Initialise; nothing runs before `use`.

        Args:
            changed: Called after `found` has changed.
            found: Endpoints already in service.
            clock: Monotonic clock, s.
        """
        self._changed = changed
        self._clock = clock
        self._merger = Merger(dict.fromkeys(found, 0.0), found)
        self._running: dict[str, _Running] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def found(self) -> Found:
        """Endpoints to route to, by entry."""
        return self._merger.found

    def use(self, entries: Sequence[DiscoverEntry], folder: Path) -> None:
        """Run the sources of these entries; those with unchanged settings keep running.

        A source that cannot be made, for instance because a package is missing, is logged.
        """
        before = self._running
        self._running = {}
        for entry in entries:
            running = before.pop(entry.name, None)
            if running is not None and running.is_for(entry, folder):
                self._running[entry.name] = running
                continue
            if running is not None:
                running.close()
            self._running[entry.name] = _Running(entry, folder, self._reported, self._clock)
        for running in before.values():
            running.close()
        self._merger.use({entry.name: entry.doubt for entry in entries}, self._clock())
        self._arm()

    def registry(self, name: str) -> "RegistrySource":
        """Return the registry of an entry whose source is `admin`.

        Raises:
            UsageError: There is no such entry.
        """
        from isocline.gateway.discovery.registry import RegistrySource  # noqa: PLC0415

        known = [n for n, it in self._running.items() if isinstance(it.source, RegistrySource)]
        source = self._running[name].source if name in known else None
        if not isinstance(source, RegistrySource):
            remedy = f"known: {', '.join(known)}" if known else "the file has no such entry"
            raise UsageError(f"discover: {name!r} takes no calls; {remedy}")
        return source

    async def close(self) -> None:
        """Stop all sources."""
        if self._timer is not None:
            self._timer.cancel()
        tasks = [running.close() for running in self._running.values()]
        await asyncio.gather(*filter(None, tasks), return_exceptions=True)

    def _reported(self, name: str, endpoints: Sequence[Endpoint]) -> None:
        self._merger.answered(name, endpoints, self._clock())
        self._arm()

    def _arm(self) -> None:
        """Schedule `_take` for when the merger has work."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._merger.due()
        if due < float("inf"):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(due - self._clock(), 0.0), self._take)

    def _take(self) -> None:
        self._timer = None
        if self._merger.take(self._clock()) is not None:
            self._changed()
        self._arm()


@final
class _Running:
    """Task and log messages of one running source."""

    def __init__(
        self,
        entry: DiscoverEntry,
        folder: Path,
        reported: Callable[[str, Sequence[Endpoint]], None],
        clock: Callable[[], float],
    ) -> None:
        self.source: Source | None = None
        self._entry, self._folder = entry, folder
        self._report = reported
        self._problem = ""
        self._count = -1
        self._task: asyncio.Task[None] | None = None
        try:
            self.source = source_of(entry, folder, clock)
        except (MissingExtraError, SourceError) as error:
            self.failed(str(error))
            return
        self._task = asyncio.get_running_loop().create_task(self._run(self.source))

    def is_for(self, entry: DiscoverEntry, folder: Path) -> bool:
        """Whether an entry has the settings of this source."""
        mine, other = (it.model_copy(update={"templates": []}) for it in (self._entry, entry))
        return mine == other and folder == self._folder and self._task is not None

    def close(self) -> asyncio.Task[None] | None:
        """Cancel the source's task; returns the task, which may take a while to end."""
        if self._task is not None:
            self._task.cancel()
        return self._task

    def found(self, endpoints: Sequence[Endpoint]) -> None:
        if self._problem or len(endpoints) != self._count:
            again = "works again: " if self._problem else ""
            name, number = self._entry.name, len(endpoints)
            fields = event("discovery.found", source=name, endpoints=number)
            LOG.info("discover %s: %s%s", name, again, counted(number, "endpoint"), extra=fields)
        self._problem, self._count = "", len(endpoints)
        self._report(self._entry.name, endpoints)

    def failed(self, problem: str) -> None:
        if problem != self._problem:
            stay = f"; the last {counted(self._count, 'endpoint')} stay" if self._count > 0 else ""
            fields = event("discovery.failed", source=self._entry.name, problem=problem)
            LOG.warning("discover %s: %s%s", self._entry.name, problem, stay, extra=fields)
        self._problem = problem

    async def _run(self, source: Source) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                await source.run(self)
            except Exception as defect:  # a defect: logged, and the source is run again
                loop.call_exception_handler({"message": "discovery", "exception": defect})
                await asyncio.sleep(_PATIENCE)
