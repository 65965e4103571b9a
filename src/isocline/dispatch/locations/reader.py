"""Location readers: functions from a chunk to its holders that can look up many at once."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence

from isocline.dispatch.chunks.chunk import Chunk

Holders = tuple[str, ...]
"""Names of nodes, or of their hosts, the likeliest first."""


class LocationReader(ABC):
    """Function from a chunk to its holders; None: not known.

    Attributes:
        nodes: Names of all nodes that may be holders; empty where only the source knows them.
    """

    nodes: Sequence[str] = ()

    @abstractmethod
    def __call__(self, chunk: str) -> Holders | None:
        """Return the holders of a chunk.

        Raises:
            UsageError: The source cannot be asked; the message names it and the remedy.
        """

    def look_up(self, chunks: Iterable[str] | Mapping[str, Chunk]) -> dict[str, Holders]:
        """Map chunks to their holders, without those that are not known.

        Args:
            chunks: Names of chunks; or, by name, files and ranges of files, such as row groups.

        Raises:
            UsageError: The source cannot be asked.
        """
        if isinstance(chunks, Mapping):
            files = self.look_up(list(dict.fromkeys(chunk.path for chunk in chunks.values())))
            return {
                name: files[chunk.path] for name, chunk in chunks.items() if chunk.path in files
            }
        found = ((chunk, self(chunk)) for chunk in chunks)
        return {chunk: holders for chunk, holders in found if holders is not None}

    def ahead(self, chunks: Iterable[str]) -> Iterator[str]:
        """Yield chunks, which may be endless, so that their holders are known when asked for."""
        return iter(chunks)


def located(
    chunks: Mapping[str, Chunk], locations: LocationReader | Mapping[str, Sequence[str]]
) -> dict[str, Holders]:
    """Map chunks, such as row groups, to the holders of their files, as far as these are known.

    A reader that knows more, as `WebHdfs` does of blocks, looks at the range of each chunk.

    Raises:
        UsageError: The reader cannot ask its source.
    """
    if isinstance(locations, LocationReader):
        return locations.look_up(chunks)
    return {
        name: tuple(locations[chunk.path])
        for name, chunk in chunks.items()
        if chunk.path in locations
    }
