"""The tasks of `dispatch_policies`, in a module that a worker imports in no time."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

Value = int | dict[int, int]


class Answer(NamedTuple):
    """What a task returns."""

    value: Value
    seconds: float  # that it took, with what it waited for its chunk itself
    node: str  # where, as its engine calls it; empty if the engine says


def words(text: bytes, speed: float, node: str = "", late: float = 0.0) -> Answer:
    """Count words at `speed` bytes/s; `late`: s that it waits for its chunk."""
    return _timed(lambda: len(text.split()), len(text), speed, node, late)


def sums(file: bytes, speed: float, node: str = "", late: float = 0.0) -> Answer:
    """Add up the values of each key in a Parquet file, as `words` counts."""
    return _timed(lambda: _sums(file), len(file), speed, node, late)


KINDS: dict[str, Callable[..., Answer]] = {"words": words, "sums": sums}


def prepare(seconds: float) -> None:
    """Load what tasks need, and take so long, so that other workers do so, too."""
    began = time.perf_counter()
    arrow, parquet = _arrow()
    file = arrow.BufferOutputStream()
    parquet.write_table(arrow.table({"key": [0], "value": [1]}), file)
    _sums(file.getvalue())  # Arrow loads more when it is first used
    time.sleep(max(0.0, began + seconds - time.perf_counter()))


def _timed(work: Callable[[], Value], size: int, speed: float, node: str, late: float) -> Answer:
    began = time.perf_counter()
    value = work()
    time.sleep(max(0.0, began + late + size / speed - time.perf_counter()))
    return Answer(value, time.perf_counter() - began, node)


def _sums(file: bytes) -> dict[int, int]:
    arrow, parquet = _arrow()
    table = parquet.read_table(arrow.BufferReader(file), use_threads=False)
    found = table.group_by("key", use_threads=False).aggregate([("value", "sum")])
    return dict(zip(found["key"].to_pylist(), found["value_sum"].to_pylist(), strict=True))


def _arrow() -> tuple[Any, Any]:
    """Arrow and its Parquet part, where a task needs them: Arrow takes a while to be loaded."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pa, pq
