"""The work of `dispatch_policies`, on a corpus that is made here.

Half of the chunks are text, whose words are counted, and half Parquet files, whose values are added
up by key. That takes as long as a slow core would need, remote reading as long as a slow link: both
wait, so that eight workers share two cores without standing in each other's way.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from benchmarks.dispatch_parquet import parquet
from benchmarks.dispatch_task import KINDS, Answer, Value
from isocline.model.cluster import Cluster, HotSpot, Rates, SampledTasks

NODES, REPLICAS = 8, 3
NAMES = tuple(f"n{i}" for i in range(NODES))
HOT = HotSpot(servers=0.5, share=0.8)  # near-data paper, Section 6
SIZE = 15_000  # bytes of a chunk in the mean; exponential, as the paper's service
LEAST = 200  # bytes: some words at least
SPEED = 100_000.0  # bytes/s that a node works off: 0.15 s for a local task
LINK = SPEED  # bytes/s from node to node: a remote task takes twice as long

FloatArray = npt.NDArray[np.float64]


class Scene(NamedTuple):
    """Chunks, each asked for once, so that one that was fetched is fetched for its task alone."""

    kinds: list[str]  # of dispatch_task.KINDS
    data: list[bytes]
    right: list[Value]  # the results
    rows: npt.NDArray[np.int32]  # (n, REPLICAS) nodes that hold each
    times: FloatArray  # (n,) s at which its task comes

    @property
    def chunks(self) -> list[str]:
        return [f"{kind}-{i}" for i, kind in enumerate(self.kinds)]

    @property
    def nominal(self) -> FloatArray:
        """(n,) s of a local task, on a machine that costs nothing."""
        return np.array([len(data) for data in self.data]) / SPEED


class Contestant(Protocol):
    """Something that runs tasks where it sees fit.

    Attributes:
        name: In the table.
    """

    name: str

    def submit(self, task: int, ended: Callable[[Answer, bool], None]) -> None:
        """Have a chunk worked off; `ended` hears the result, and if it was held there."""


Start = partial[AbstractContextManager[Contestant]]  # of a scene and a directory, still to be given


def start(run: Callable[..., AbstractContextManager[Contestant]], what: object) -> Start:
    """A contestant of this policy, or these settings, to be started."""
    return partial(run, what)


def cluster(local: float, remote: float) -> Cluster:
    """The model, of measured service times in s."""
    tasks = SampledTasks(REPLICAS, 1.0, hotspot=HOT)
    return Cluster.numbered(NODES, Rates(1.0 / local, 1.0 / remote), tasks)


def scene(rate: float, seconds: float, seed: int, of_kinds: Sequence[str] = tuple(KINDS)) -> Scene:
    """Poisson arrivals of so many tasks/s for so long."""
    rng = np.random.default_rng(seed)
    count = round(rate * seconds)
    times = np.cumsum(rng.exponential(1.0 / rate, count))
    model = cluster(1.0, 2.0)
    assert isinstance(model.tasks, SampledTasks)
    rows = model.tasks.draw(model, rng, count)
    sizes = LEAST + rng.exponential(SIZE - LEAST, count)
    kinds = rng.permutation(np.resize(of_kinds, count)).tolist()
    made = [_MAKE[kind](rng, int(size)) for kind, size in zip(kinds, sizes, strict=True)]
    return Scene(kinds, [data for data, _ in made], [right for _, right in made], rows, times)


def lay_out(of: Scene, root: Path) -> dict[str, Path]:
    """The chunks as files in the directories of their nodes."""
    nodes = {name: root / name for name in NAMES}
    for node in nodes.values():
        node.mkdir()
    for chunk, data, row in zip(of.chunks, of.data, of.rows.tolist(), strict=True):
        for server in row:
            (nodes[NAMES[server]] / chunk).write_bytes(data)
    return nodes


def holders(of: Scene, names: Sequence[str] = NAMES) -> list[tuple[str, ...]]:
    """The names of the nodes that hold each chunk."""
    return [tuple(names[server] for server in row) for row in of.rows.tolist()]


def _text(rng: np.random.Generator, size: int) -> tuple[bytes, int]:
    """Letters and blanks, one in six of them; how many words these make."""
    letters = rng.integers(97, 97 + 26, size, np.uint8)
    blank = rng.random(size) < 1.0 / 6.0
    letters[blank] = 32
    begins = ~blank & np.append(True, blank[:-1])
    return letters.tobytes(), int(begins.sum())


_MAKE: dict[str, Callable[[np.random.Generator, int], tuple[bytes, Value]]] = {
    "words": _text,
    "sums": parquet,
}
