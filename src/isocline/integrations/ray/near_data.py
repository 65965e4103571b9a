"""Near-data scheduling of Ray tasks, Ray Data reads and actors."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, final

from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from isocline.arguments import POSITIVE, checked
from isocline.dispatch.chunks.chunk import Chunk
from isocline.dispatch.coordinator.run_statistics import RunStatistics
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.locations.reader import LocationReader
from isocline.dispatch.rules import Rules
from isocline.dispatch.scheduler import DEFAULT_POLICY, Scheduler
from isocline.dispatch.submission.chunk_locations import Locations, reader
from isocline.dispatch.submission.chunk_locations import checked as names_of
from isocline.errors import UsageError
from isocline.integrations.ray.pinned_tasks import PinnedTasks

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.data import Dataset

    from isocline.dispatch.explain import Explanation
    from isocline.policies.scheduling.contract import SchedulingPolicy


@final
class NearData:
    """Ray tasks near their data, bound late.

    A task waits here until a node that holds its data, or one that gains time by helping, has a CPU
    for it. Tasks are Ray's own, pinned softly to the chosen node; results stay in Ray's stores. At
    the end of a `with` block it waits for all tasks; their results live on.
    """

    @checked(cpus=POSITIVE)
    def __init__(
        self,
        locations: Locations | None = None,
        *,
        policy: "str | SchedulingPolicy" = DEFAULT_POLICY,
        cpus: float = 1.0,
        rack_label: str = "rack",
        rules: Rules | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        """Connect to the cluster of `ray.init()`.

        Args:
            locations: Nodes that hold each chunk: a mapping, a function, or a reader of
                `isocline.dispatch.locations`. Names are ids of Ray nodes, the first 12 digits of
                one, or the name or address of its machine.
            policy: Any scheduling policy.
            cpus: CPUs of each task.
            rack_label: Label of Ray nodes that names their rack.
            rules: Further rules.
            seed: Seed for the policy's ties; None: a different one each time.
            options: Further options of Ray's for the tasks, such as `memory` or `max_retries`.

        Raises:
            UsageError: The locations are no such thing.
            EngineError: Ray is not connected, or no node has so many CPUs.
        """
        self._locations = locations
        self._reader = reader(locations)
        self._engine = PinnedTasks(cpus, rack_label, options)
        self._actors: Counter[str] = Counter()  # placed by `at`, by id of the Ray node
        self._scheduler = Scheduler(
            self._engine,
            policy,
            locations,
            everywhere=True,
            copies=False,  # Ray runs tasks of dead workers again itself
            rules=rules,
            seed=seed,
        )

    def submit(
        self, function: Callable[..., Any], chunk: str, /, *arguments: Any, **named: Any
    ) -> "TaskFuture[ObjectRef[Any]]":
        """Run `function(chunk, *arguments, **named)`; the future has a reference to its result.

        Raises:
            UsageError: A future is among the arguments or in a container among them; Ray waits for
                references itself.
        """
        _require_no_futures(*arguments, *named.values())
        return self._scheduler.submit(function, chunk, *arguments, **named)

    def map(
        self,
        function: Callable[..., Any],
        chunks: Iterable[str],
        /,
        *arguments: Any,
        in_order: bool = False,
        window: int | None = None,
        **named: Any,
    ) -> "Generator[ObjectRef[Any], None, None]":
        """Yield references to the results of `function(chunk, *arguments, **named)`.

        At most `window` tasks wait or run at a time, so `chunks` may be endless. Locations that are
        a reader are asked for many chunks at once.

        Raises:
            UsageError: A future is among the arguments or in a container among them; Ray waits for
                references itself.
        """
        _require_no_futures(*arguments, *named.values())
        if isinstance(self._locations, LocationReader):
            chunks = self._locations.ahead(chunks)
        return self._scheduler.map(
            function, chunks, *arguments, in_order=in_order, window=window, **named
        )

    def dataset(
        self, read: Callable[..., Any], chunks: Iterable[str], /, *arguments: Any, **named: Any
    ) -> "Dataset":
        """Ray Data's dataset of the Arrow tables that `read(chunk, *arguments, **named)` returns.

        The tables are in the stores of the nodes that read them, and Ray runs what follows where
        they are. All chunks are read when this returns: Ray Data's own reads have no public hook
        for a block's node (Ray 2.60).
        """
        from ray.data import from_arrow_refs  # noqa: PLC0415 - slow

        return from_arrow_refs(list(self.map(read, chunks, *arguments, in_order=True, **named)))

    def read_parquet(
        self,
        chunks: Iterable[str] | Mapping[str, Chunk],
        columns: list[str] | None = None,
    ) -> "Dataset":
        """Dataset of Parquet files, or of row groups `path#number` as `row_groups` names them.

        Every node must be able to read every file, by its path or by a URL that Arrow knows.
        """
        return self.dataset(read_parquet, list(chunks), columns)

    def at(self, chunk: str, *, soft: bool = False) -> "NodeAffinitySchedulingStrategy | str":
        """Scheduling strategy for an actor that is to stay near a chunk.

            Cache.options(scheduling_strategy=near.at("part-0")).remote()

        Of the chunk's holders that one is taken which has fewest of the actors so placed. "SPREAD"
        if none is known and up. With `soft` Ray may choose another node, and does on a busy
        machine; without, the actor cannot be made again if its node dies.

        Raises:
            UsageError: The locations cannot be asked, or are no names of nodes.
        """
        sites = self._engine.sites(names_of(self._reader(chunk), chunk) or ())
        if not sites:
            return "SPREAD"
        site = min(sites, key=self._actors.__getitem__)
        self._actors[site] += 1
        return NodeAffinitySchedulingStrategy(site, soft=soft)

    def statistics(self) -> RunStatistics:
        """Present statistics of the tasks."""
        return self._scheduler.statistics()

    def explain(self) -> "Explanation":
        """Explain who helped whom, what limits the tasks, and which data to replicate."""
        return self._scheduler.explain()

    def close(self) -> None:
        """Wait for all tasks, and stop scheduling; results live on."""
        self._scheduler.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._scheduler.__exit__(kind, error, trace)


def _require_no_futures(*arguments: object) -> None:
    """Raise UsageError if a future is among the arguments, or in a container among them."""
    for argument in arguments:
        if isinstance(argument, TaskFuture):
            raise UsageError(
                "arguments: are Ray's to wait for; give future.result(), which is its reference"
            )
        if isinstance(argument, Mapping):
            _require_no_futures(*argument, *argument.values())
        elif isinstance(argument, list | tuple | set | frozenset):
            _require_no_futures(*argument)


def read_parquet(chunk: str, columns: list[str] | None) -> Any:
    """Arrow table of a Parquet file or of a row group of one."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - at a Ray worker

    path, mark, group = chunk.rpartition("#")
    if mark and group.isdecimal():
        return pq.ParquetFile(path).read_row_group(int(group), columns=columns)
    return pq.read_table(chunk, columns=columns)
