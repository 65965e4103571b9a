"""Addresses at which a server publishes its cache events."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

MOST_PORT = 65535


@final
@dataclass(frozen=True)
class CacheEventSource:
    """Publishers of one backend, one for each of its data-parallel ranks.

    The addresses of rank r are those of rank 0 with r added to the port, as vLLM, SGLang and
    TensorRT-LLM bind them.
    """

    events: str  # tcp://HOST:PORT, of rank 0
    replay: str | None = None  # likewise, where past messages can be asked for
    ranks: int = 1

    def of_rank(self, rank: int) -> tuple[str, str | None]:
        """Addresses of a rank: of its events, and of its replay."""
        return _moved(self.events, rank), self.replay and _moved(self.replay, rank)

    @property
    def last_port(self) -> int:
        """Highest port of any."""
        last = self.of_rank(self.ranks - 1)
        return max(int(address.rpartition(":")[2]) for address in last if address)

    def addresses(self) -> Iterator[str]:
        """All addresses of events."""
        for rank in range(self.ranks):
            yield self.of_rank(rank)[0]


def _moved(address: str, rank: int) -> str:
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + rank}"
