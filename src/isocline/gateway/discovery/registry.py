"""Registry of backends put and deleted by calls: the source `admin` of system files.

A registration may have a time to live, within which it must be renewed, so that a server which
registers itself and dies is removed. With a file, registrations survive a restart, except those
with a time to live, whose servers renew them anyway.
"""

import asyncio
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, final

from isocline.errors import UsageError
from isocline.gateway.discovery.source import Reports, Source, SourceError
from isocline.gateway.discovery.target_lists import read_list, written
from isocline.model.endpoint import Endpoint, is_address, name_problem, port_problem, shown

MOST = 10_000
"""Most registrations at a time, so that a client in a loop does not fill the memory."""


@final
class TakenError(UsageError):
    """A name or address that another backend has."""


class _Registration(NamedTuple):
    endpoint: Endpoint
    until: float  # expiry, s; inf: never


@final
class Registry:
    """Registrations and their expiry; time is an argument."""

    def __init__(self, endpoints: Sequence[Endpoint] = ()) -> None:
        self._held = {it.name: _Registration(it, math.inf) for it in endpoints}

    def put(
        self,
        name: str,
        address: str,
        labels: Mapping[str, str],
        now: float,
        ttl: float | None = None,
    ) -> bool:
        """Add or replace a backend; returns whether it is new.

        Args:
            name: Name of the backend.
            address: `HOST:PORT`.
            labels: Labels for templates to match.
            now: Time, s.
            ttl: Time after which it is removed unless renewed, s; None: never.

        Raises:
            TakenError: Another backend has the address; one server must not count twice.
            UsageError: An argument is invalid, or there are too many registrations.
        """
        if problem := name_problem(name):
            raise UsageError(f"name: {problem}")
        if not is_address(address):
            problem = port_problem(address) or "it is not an address"
            raise UsageError(f"address: {shown(address)}: {problem}; give HOST:PORT")
        if ttl is not None and not (math.isfinite(ttl) and ttl > 0.0):
            raise UsageError(f"ttl: {ttl}; give a time in seconds above 0, or leave it out")
        for other, held in self._held.items():
            if other != name and now < held.until and held.endpoint.address == address:
                raise TakenError(
                    f"address: {address} is that of {other} already; delete {other} first, or give "
                    "another address"
                )
        if name not in self._held and len(self._held) >= MOST:
            raise UsageError(f"there are {MOST} backends already; delete those no longer used")
        is_new = name not in self._held
        until = math.inf if ttl is None else now + ttl
        self._held[name] = _Registration(Endpoint(name, address, dict(labels)), until)
        return is_new

    def delete(self, name: str) -> bool:
        """Remove a backend; returns whether it was registered."""
        return self._held.pop(name, None) is not None

    def expire(self, now: float) -> None:
        """Remove registrations that have expired."""
        self._held = {name: it for name, it in self._held.items() if now < it.until}

    def next_end(self) -> float:
        """Return the next time at which `expire` has work, s; inf if never."""
        return min((it.until for it in self._held.values()), default=math.inf)

    def endpoints(self, *, lasting: bool = False) -> list[Endpoint]:
        """Return the backends sorted by name; with `lasting`, those without a time to live."""
        held = [self._held[name] for name in sorted(self._held)]
        return [it.endpoint for it in held if not lasting or it.until == math.inf]


@final
class RegistrySource(Source):
    """Source of the backends in a registry, which it owns."""

    def __init__(self, file: Path | None, clock: Callable[[], float]) -> None:
        """Initialise; `file` keeps the registrations, `clock` is in s.

        Raises:
            SourceError: The file is damaged.
        """
        self._file = file
        self._clock = clock
        kept = read_list(file) if file is not None and file.exists() else []
        self._registry = Registry(kept)
        self._changed = asyncio.Event()

    async def once(self) -> Sequence[Endpoint]:
        self._registry.expire(self._clock())
        return self._registry.endpoints()

    async def run(self, reports: Reports) -> None:
        while True:
            self._changed.clear()
            reports.found(await self.once())
            end = self._registry.next_end()
            pause = None if end == math.inf else max(end - self._clock(), 0.0)
            try:
                await asyncio.wait_for(self._changed.wait(), pause)
            except TimeoutError:
                continue

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """What is registered now, by name."""
        self._registry.expire(self._clock())
        return self._registry.endpoints()

    def put(
        self, name: str, address: str, labels: Mapping[str, str], ttl: float | None = None
    ) -> bool:
        """Add or replace a backend; returns whether it is new.

        Raises:
            TakenError, UsageError: As `Registry.put`.
            SourceError: The file cannot be written; the backend is added anyway.
        """
        is_new = self._registry.put(name, address, labels, self._clock(), ttl)
        self._changed.set()
        self._write()
        return is_new

    def delete(self, name: str) -> bool:
        """Remove a backend, which finishes the requests it has; returns whether it was registered.

        Raises:
            SourceError: The file cannot be written; the backend is removed anyway.
        """
        was_there = self._registry.delete(name)
        self._changed.set()
        self._write()
        return was_there

    def _write(self) -> None:
        """Replace the file atomically."""
        if self._file is None:
            return
        text = written(self._registry.endpoints(lasting=True))
        try:
            handle, draft = tempfile.mkstemp(prefix=f".{self._file.name}.", dir=self._file.parent)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(draft).replace(self._file)
        except OSError as error:
            raise SourceError(f"{self._file}: cannot be written: {error.strerror}") from error
