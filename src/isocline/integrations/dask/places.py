"""Names under which the workers of a Dask cluster are known: addresses, names and hosts."""

from collections.abc import Iterable
from typing import final


@final
class Places:
    """Index from names of places to the workers there.

    A name is a worker's address, with or without its scheme, the name that it was given, or a host,
    by its address or by its name, with or without the domain. Case does not matter.
    """

    def __init__(self) -> None:
        self._workers: dict[str, set[str]] = {}  # by name
        self._names: dict[str, set[str]] = {}  # by worker

    def add(self, worker: str, names: Iterable[str]) -> set[str]:
        """Add names of a worker; returns those that are new."""
        known = self._names.setdefault(worker, set())
        new = {spelling for name in (worker, *names) for spelling in _spellings(name)} - known
        for name in new:
            self._workers.setdefault(name, set()).add(worker)
        known |= new
        return new

    def remove(self, worker: str) -> None:
        """Remove a worker."""
        for name in self._names.pop(worker, ()):
            self._workers[name].discard(worker)
            if not self._workers[name]:
                del self._workers[name]

    def workers(self, names: Iterable[str]) -> list[str]:
        """Return the workers at any of these places, each once."""
        found: dict[str, None] = {}
        for name in names:
            lower = name.lower()
            at = self._workers.get(lower) or self._workers.get(_short(lower))
            found |= dict.fromkeys(sorted(at or ()))
        return list(found)


def _spellings(name: str) -> set[str]:
    """Lower-case name; an address also without its scheme, a host name also without its domain."""
    lower = name.lower()
    bare = lower.rpartition("://")[2]
    return {lower, bare, _short(bare)}


def _short(name: str) -> str:
    """Host name without its domain; anything else as it is."""
    is_host = ":" not in name and not name.replace(".", "").isdigit()
    return name.partition(".")[0] or name if is_host else name
