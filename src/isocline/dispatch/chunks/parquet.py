"""Row groups of Parquet files as chunks."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import Any

from isocline.dispatch.chunks.chunk import Chunk
from isocline.dispatch.chunks.files import Folder, paths_of, refused
from isocline.extras import extras_named

_AT_A_TIME = 16  # footers that are read at a time: each is two round trips to its store


def row_groups(files: str | Iterable[str]) -> dict[str, Chunk]:
    """Row groups of Parquet files: chunks `path#0`, `path#1`, ..., by name.

    Only footers are read, some at a time. A task reads its chunk as

        path, _, group = chunk.rpartition("#")
        table = pyarrow.parquet.ParquetFile(path).read_row_group(int(group))

    Args:
        files: Paths, URLs that fsspec knows, or patterns such as `data/**/*.parquet`; also what
            `delta_files` and `iceberg_files` return.

    Raises:
        UsageError: A file does not exist, may not be read, or is not Parquet.
        MissingExtraError: pyarrow or fsspec is not installed.
    """
    with extras_named(lambda: "reading of Parquet files"):
        import pyarrow.parquet  # noqa: F401, PLC0415 - an extra
    given = [files] if isinstance(files, str) else files
    paths = chain.from_iterable(map(paths_of, given))
    found: dict[str, Chunk] = {}
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        while some := list(islice(paths, _AT_A_TIME)):
            for path, groups in zip(some, threads.map(_groups, some), strict=True):
                found.update((f"{path}#{number}", chunk) for number, chunk in enumerate(groups))
    return found


def _groups(path: str) -> list[Chunk]:
    import pyarrow.parquet as pq  # noqa: PLC0415

    folder, _, name = path.rpartition("/")
    if "://" not in path:
        folder, name = os.path.split(path)
    with refused(path), Folder(folder or ".").open(name) as file:
        footer = pq.ParquetFile(file).metadata
        return [_chunk(path, footer.row_group(number)) for number in range(footer.num_row_groups)]


def _chunk(path: str, group: Any) -> Chunk:
    """Range of a row group: from its first page to its last."""
    columns = [group.column(number) for number in range(group.num_columns)]
    starts = [start for column in columns for start in _starts(column)]
    ends = [min(_starts(column), default=0) + column.total_compressed_size for column in columns]
    offset = min(starts, default=0)
    return Chunk(path, offset, max(ends, default=offset) - offset)


def _starts(column: Any) -> Iterator[int]:
    """Offsets of a column's first pages; a dictionary's, where there is one, is before the data."""
    yield column.data_page_offset
    if column.dictionary_page_offset:
        yield column.dictionary_page_offset
