"""Contents of a job file of either form."""

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
    """Function, the chunks for which to run it, and their locations."""

    name: str
    function: Callable[[Any], Any]
    chunks: Iterable[str]  # may be infinite
    nodes: list[str] | dict[str, Path] | None = (
        None  # names, or directories by name; None: by number of workers
    )
    racks: Mapping[str, str] = field(default_factory=dict)
    locations: Locations | None = None  # None: all nodes are equally near
    loader: Callable[[Any], Any] | None = None
    version: Version | None = None  # function from a chunk's name to the version of its data
    everywhere: bool = False  # the loader can read every chunk at every node
    limit: float | None = None  # s per task
    retries: int = 0
    copies: bool = True  # whether tasks far slower than others are also run elsewhere
    resources: Mapping[str, float] | None = None  # what each task needs of its node
    node_resources: Mapping[str, Any] | None = None  # what each node has, or such by node
    slots: int = 1  # worker processes of each node
    policy: str | None = None
    engine: str | None = None  # of ENGINES
    address: str | None = None  # of that engine's cluster
    # Function that combines results into one, which then is the result of the run.
    combine: Callable[..., Any] | None = None
    arity: int | None = None  # most results that it gets at a time; None: two
    in_order: bool = False  # whether it only gets neighbours

    @property
    def size(self) -> int | None:
        """Number of chunks; None: unknown until the last."""
        return len(self.chunks) if isinstance(self.chunks, Sized) else None

    @property
    def tasks(self) -> int | None:
        """Number of tasks; None: unknown until the last, as are those that combine results."""
        return self.size if self.combine is None else None


@final
@dataclass(frozen=True)
class RunOptions:
    """Options of one run of a batch; None stands for the batch's own."""

    engine: str | None = None  # of ENGINES; by default processes
    address: str | None = None  # of a Ray or Dask cluster; None: one found or started here
    workers: int | None = None  # worker processes, if the batch names no nodes
    policy: str | None = None
    copies: bool | None = None
    journal: Path | None = None  # file that records the run, so that it can be resumed
    resume: bool = False  # continue that journal
    page: str | None = None  # HOST:PORT of the live page
