"""Files of a Delta table as chunks.

Source: Delta Transaction Log Protocol (delta-io/delta, PROTOCOL.md): the log is a file of actions
for each version, and a checkpoint is the state at one version, in Parquet. The state at a version
is the last checkpoint before it, and the actions since.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, final
from urllib.parse import unquote

from isocline.dispatch.chunks.chunk import Chunk
from isocline.dispatch.chunks.files import Folder, refused, whole
from isocline.errors import UsageError
from isocline.extras import extras_named
from isocline.plural import counted

_LOG = "_delta_log"
_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10}))?\.parquet")
_OTHER_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\..+")  # of kind v2, with sidecars
_MOST_READER = 3  # greatest minReaderVersion of the protocol
_ROWS = 4096  # of a checkpoint at a time


def delta_files(
    table: str, *, version: int | None = None, row_deletes: bool = False
) -> dict[str, Chunk]:
    """Files of a Delta table at one version, by name, which is their path or URL.

    Files that were removed are left out.

    Args:
        table: Path, or URL that fsspec knows, of the table's folder.
        version: Version of the table; None: the last.
        row_deletes: Whether the tasks leave deleted rows out themselves, where files have deletion
            vectors; else such a table is refused.

    Raises:
        UsageError: There is no such table or version, or the log is damaged or newer than known.
        MissingExtraError: fsspec is not installed, or pyarrow, which checkpoints need.
    """
    folder = Folder(table)
    names = folder.names(_LOG)
    commits = {int(found[1]): name for name in names if (found := _COMMIT.fullmatch(name))}
    checkpoints = _checkpoints(names)
    if not commits and not checkpoints:
        raise UsageError(f"{table}: has no {_LOG} with versions; give the folder of a Delta table")
    last = max([*commits, *checkpoints])
    wanted = last if version is None else version
    if not 0 <= wanted <= last:
        raise UsageError(f"{table}: there is no version {wanted}; the last one is {last}")
    start = max((at for at in checkpoints if at <= wanted), default=-1)
    _require_commits(table, names, start, wanted, commits)
    state = _State(table, row_deletes=row_deletes)
    for name in checkpoints.get(start, ()):
        state.apply(_of_checkpoint(folder, f"{_LOG}/{name}"))
    for at in range(start + 1, wanted + 1):
        state.apply(_of_commit(folder, f"{_LOG}/{commits[at]}"))
    return state.chunks()


def _checkpoints(names: Iterable[str]) -> dict[int, list[str]]:
    """Names of the parts of complete checkpoints, by version."""
    parts: dict[tuple[int, int], list[str]] = {}  # by version and number of parts
    for name in names:
        if found := _CHECKPOINT.fullmatch(name):
            parts.setdefault((int(found[1]), int(found[3] or 1)), []).append(name)
    return {at: some for (at, count), some in parts.items() if len(some) == count}


def _require_commits(
    table: str, names: Iterable[str], start: int, wanted: int, commits: Mapping[int, str]
) -> None:
    """Raise UsageError unless each version after the checkpoint has its file."""
    missing = next((at for at in range(start + 1, wanted + 1) if at not in commits), None)
    if missing is None:
        return
    if any(_OTHER_CHECKPOINT.fullmatch(name) and not _CHECKPOINT.fullmatch(name) for name in names):
        raise UsageError(
            f"{table}: version {missing} is only in a checkpoint of kind v2, which is not known "
            "here; set delta.checkpointPolicy=classic on the table, and make a checkpoint"
        )
    raise UsageError(
        f"{table}: the file of version {missing} is no longer in {_LOG}; give a later version"
    )


def _of_commit(folder: Folder, name: str) -> Iterator[dict[str, Any]]:
    text = folder.read(name)
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        with refused(f"{folder.url}/{name}, line {number}"):
            action = json.loads(line)
            if not isinstance(action, dict):
                raise TypeError("a line is not an object")
            yield action


def _of_checkpoint(folder: Folder, name: str) -> Iterator[dict[str, Any]]:
    with extras_named(lambda: "a checkpoint of a Delta table"):
        import pyarrow.parquet as pq  # noqa: PLC0415 - an extra
    with refused(f"{folder.url}/{name}"), folder.open(name) as file:
        parquet = pq.ParquetFile(file)
        known = set(parquet.schema_arrow.names)
        columns = [column for column in ("protocol", "add") if column in known]
        for batch in parquet.iter_batches(_ROWS, columns=columns):
            yield from batch.to_pylist()


@final
class _State:
    """Files at one version, made of the actions up to it, in order."""

    def __init__(self, table: str, *, row_deletes: bool) -> None:
        self._table = table.rstrip("/")
        self._row_deletes = row_deletes
        self._sizes: dict[str, int] = {}  # bytes of each file, by name
        self._vectors: set[str] = set()  # files with deletion vectors

    def apply(self, actions: Iterable[Mapping[str, Any]]) -> None:
        """Apply the actions of a version or of a part of a checkpoint.

        Within a version removals come first: a file that gets a deletion vector is removed and
        added in one.
        """
        with refused(f"{self._table}/{_LOG}"):
            added = []
            for action in actions:
                if protocol := action.get("protocol"):
                    self._require_known(protocol)
                if removed := action.get("remove"):
                    self._remove(self._name(removed["path"]))
                if add := action.get("add"):
                    added.append((self._name(add["path"]), add["size"], add.get("deletionVector")))
            for name, size, vector in added:
                self._remove(name)
                self._sizes[name] = whole(f"size of {name}", size)
                if vector:
                    self._vectors.add(name)

    def chunks(self) -> dict[str, Chunk]:
        """Chunks by name; raises UsageError if files have deleted rows that nobody leaves out."""
        if self._vectors and not self._row_deletes:
            raise UsageError(
                f"{self._table}: {counted(len(self._vectors), 'file')} have rows that a deletion "
                "vector deletes, such as "
                f"{min(self._vectors)}; purge them (REORG TABLE ... APPLY (PURGE)), or give "
                "row_deletes=True if your tasks leave those rows out"
            )
        return {name: Chunk(name, 0, size) for name, size in self._sizes.items()}

    def _remove(self, name: str) -> None:
        self._sizes.pop(name, None)
        self._vectors.discard(name)

    def _require_known(self, protocol: Mapping[str, Any]) -> None:
        if (least := protocol["minReaderVersion"]) > _MOST_READER:
            raise UsageError(
                f"{self._table}: needs a reader of version {least} of Delta's protocol, of which "
                f"versions up to {_MOST_READER} are known here; update isocline"
            )

    def _name(self, path: str) -> str:
        """Path or URL of a file; in the log it is encoded as in URLs, and mostly relative."""
        path = unquote(path)
        return path if "://" in path or path.startswith("/") else f"{self._table}/{path}"
