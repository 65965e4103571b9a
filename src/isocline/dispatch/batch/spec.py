"""Contents of a job file, of either kind."""

from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from isocline.dispatch.submission.chunk_locations import Locations
from isocline.dispatch.submission.versions import Version

ENGINES = ("processes", "ray", "dask")


@final
@dataclass(frozen=True)
class Batch:
    """Function, the chunks to run it for, and their locations."""

    name: str
    function: Callable[[Any], Any]
    chunks: Iterable[str]  # may be endless
    nodes: list[str] | dict[str, Path] | None = (
        None  # names, or directories; None: as many as asked
    )
    racks: Mapping[str, str] = field(default_factory=dict)
    locations: Locations | None = None  # None: no node is nearer to a chunk than another
    loader: Callable[[Any], Any] | None = None
    version: Version | None = None  # version of a chunk's data, by the chunk's name
    everywhere: bool = False  # the loader reads any chunk at any node
    limit: float | None = None  # s for each task
    retries: int = 0
    copies: bool = True  # tasks that are far slower than others are run elsewhere, too
    policy: str | None = None
    engine: str | None = None  # of ENGINES
    address: str | None = None  # of the cluster of that engine

    @property
    def size(self) -> int | None:
        """Number of chunks; None: known only at their end."""
        return len(self.chunks) if isinstance(self.chunks, Sized) else None


@final
@dataclass(frozen=True)
class RunOptions:
    """Options of one run of a batch; those that are None are as the batch has them."""

    engine: str | None = None  # of ENGINES; by default processes
    address: str | None = None  # of the Ray or Dask cluster; by default one found or started here
    workers: int | None = None  # processes, where the batch does not name its nodes
    policy: str | None = None
    copies: bool | None = None
    journal: Path | None = None  # file that keeps the run, so that it can be resumed
    resume: bool = False  # go on with that file
