"""Locations of chunks that Ray or Dask stores, by site."""

from collections.abc import Callable, Collection, Iterable
from typing import final

from isocline.dispatch.engines.base import Drops, Emit, Holds


@final
class ChunkSites:
    """Sites that hold each chunk, as last seen; changes are emitted for each node at a site.

    A site is a machine, or a process with its own memory, and may have several nodes.
    """

    def __init__(self, nodes_at: Callable[[str], Iterable[str]], emit: Emit) -> None:
        """Initialise without chunks; `nodes_at` returns the nodes that are up at a site."""
        self._nodes_at = nodes_at
        self._emit = emit
        self._at: dict[str, frozenset[str]] = {}  # values are never changed: any thread may read

    def at(self, chunk: str) -> list[str]:
        """Return the sites that hold a chunk."""
        return sorted(self._at.get(chunk, ()))

    def nodes(self, chunk: str) -> list[str]:
        """Return the nodes at the sites that hold a chunk."""
        return [node for site in self.at(chunk) for node in self._nodes_at(site)]

    def seen(self, chunk: str, sites: Collection[str]) -> None:
        """Set the sites of a chunk to exactly these."""
        old, new = self._at.get(chunk, frozenset()), frozenset(sites)
        self._at[chunk] = new
        for site in sorted(new - old):
            self._emit_all(Holds, chunk, site)
        for site in sorted(old - new):
            self._emit_all(Drops, chunk, site)

    def add(self, chunk: str, site: str) -> None:
        """Add a site that holds a chunk."""
        old = self._at.get(chunk, frozenset())
        if site not in old:
            self._at[chunk] = old | {site}
            self._emit_all(Holds, chunk, site)

    def node_up(self, node: str, site: str) -> None:
        """Emit the chunks at a site for a node that has just come up there."""
        for chunk, sites in self._at.items():
            if site in sites:
                self._emit(Holds(chunk, node))

    def _emit_all(self, change: type[Holds] | type[Drops], chunk: str, site: str) -> None:
        for node in self._nodes_at(site):
            self._emit(change(chunk, node))
