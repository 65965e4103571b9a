"""Files of an Iceberg table as chunks.

Source: Iceberg Table Spec, versions 1 to 3: the table's metadata names snapshots, a snapshot names
its list of manifests, and each manifest lists files, of data or of row deletes.
"""

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, final

from isocline.dispatch.chunks.chunk import Chunk
from isocline.dispatch.chunks.files import Folder, refused, whole
from isocline.errors import UsageError
from isocline.extras import extras_named
from isocline.plural import counted

_METADATA = re.compile(r"v?(\d+)(?:-[^/]*)?(?:\.gz)?\.metadata\.json(?:\.gz)?")
_MOST_FORMAT = 3  # greatest format-version of the spec
_DELETED = 2  # status of an entry of a manifest
_BRANCH = "main"


def iceberg_files(
    table: str, *, snapshot: int | str | None = None, row_deletes: bool = False
) -> dict[str, Chunk]:
    """Files of an Iceberg table in one snapshot, by name, which is their path or URL.

    Files that were deleted are left out. Where the table lies elsewhere than its metadata say, as
    with another protocol, files below its location are named by where it was found.

    Args:
        table: Path, or URL that fsspec knows, of the table's folder or of its file of metadata. In
            a folder without `version-hint.text` the metadata of the greatest number are taken.
        snapshot: Id of a snapshot, or name of a branch or tag; None: the table's present one.
        row_deletes: Whether the tasks leave deleted rows out themselves, where the table has files
            of deletes; else such a table is refused.

    Raises:
        UsageError: There is no such table or snapshot, or its metadata are damaged or newer than
            known.
        MissingExtraError: fsspec or fastavro is not installed.
    """
    with extras_named(lambda: "reading of an Iceberg table"):
        import fastavro  # noqa: F401, PLC0415 - an extra
    root, name = _place(table)
    metadata = _document(root, name)
    with refused(f"{root.url}/{name}"):
        _require_known(table, metadata)
        found = _Snapshot(root, str(metadata["location"]).rstrip("/"))
        chosen = _chosen(table, metadata, snapshot)
        if chosen is None:  # a table to which nothing was ever written
            return {}
        manifests = list(found.manifests(chosen))
    for manifest in manifests:
        found.add(manifest)
    return found.chunks(table, row_deletes=row_deletes)


def _place(table: str) -> tuple[Folder, str]:
    """Folder of a table, and the name of its file of metadata in it."""
    if ".metadata.json" in table.rpartition("/")[2]:
        above, _, file = table.rpartition("/")
        folder, _, last = above.rpartition("/")
        return Folder(folder or "."), f"{last}/{file}"
    root = Folder(table)
    names = root.names("metadata")
    numbered = {name: int(found[1]) for name in names if (found := _METADATA.fullmatch(name))}
    if "version-hint.text" in names:
        hint = root.read("metadata/version-hint.text").decode(errors="replace").strip()
        wanted = [name for name in numbered if hint.isdecimal() and numbered[name] == int(hint)]
        if not wanted:
            raise UsageError(
                f"{table}: metadata/version-hint.text says {hint!r:.80}, of which there is no "
                "file; give the path of the file of metadata"
            )
        return root, f"metadata/{max(wanted)}"
    if not numbered:
        raise UsageError(
            f"{table}: has no metadata/*.metadata.json; give the folder of an Iceberg table, or "
            "the path of its file of metadata, as its catalog has it"
        )
    return root, f"metadata/{max(numbered, key=lambda name: (numbered[name], name))}"


def _document(root: Folder, name: str) -> dict[str, Any]:
    content = root.read(name)
    with refused(f"{root.url}/{name}"):
        found = json.loads(gzip.decompress(content) if ".gz" in name else content)
        if not isinstance(found, dict):
            raise TypeError("not an object")
        return found


def _require_known(table: str, metadata: Mapping[str, Any]) -> None:
    version = whole(f"{table}: format-version", metadata["format-version"])
    if not 1 <= version <= _MOST_FORMAT:
        raise UsageError(
            f"{table}: is of Iceberg's format {version}, of which 1 to {_MOST_FORMAT} are known "
            "here; update isocline"
        )


def _chosen(
    table: str, metadata: Mapping[str, Any], snapshot: int | str | None
) -> Mapping[str, Any] | None:
    """The wanted snapshot of a table; None: it has none yet, and none is asked for."""
    snapshots = {it["snapshot-id"]: it for it in metadata.get("snapshots") or ()}
    refs = {name: it["snapshot-id"] for name, it in (metadata.get("refs") or {}).items()}
    if snapshot is None:
        current = metadata.get("current-snapshot-id")
        if current is None or current == -1:
            return None
        snapshot = current
    known = refs.get(snapshot) if isinstance(snapshot, str) else snapshot
    if known not in snapshots:
        names = ", ".join([*map(str, snapshots), *refs][:8]) or "it has none"
        raise UsageError(f"{table}: there is no snapshot {snapshot}; there are {names}")
    chosen: Mapping[str, Any] = snapshots[known]
    return chosen


@final
class _Snapshot:
    """Files of a snapshot, from its manifests.

    Args:
        root: Folder of the table, as it was found.
        location: Folder of the table, as its metadata have it.
    """

    def __init__(self, root: Folder, location: str) -> None:
        self._root = root
        self._location = location
        self._sizes: dict[str, int] = {}  # bytes of each file, by name
        self._deletes = 0  # files of row deletes

    def manifests(self, snapshot: Mapping[str, Any]) -> Iterator[str]:
        """Paths of a snapshot's manifests; in format 1 they may be in the metadata themselves."""
        if (names := snapshot.get("manifest-list")) is None:
            yield from snapshot["manifests"]
            return
        for entry in self._records(names):
            yield entry["manifest_path"]

    def add(self, manifest: str) -> None:
        """Add the files of a manifest that are live."""
        for entry in self._records(manifest):
            with refused(manifest):
                file = entry["data_file"]
                if entry["status"] == _DELETED:
                    continue
                if file.get("content"):
                    self._deletes += 1
                    continue
                name = self._found(file["file_path"])
                self._sizes[name] = whole(f"size of {name}", file["file_size_in_bytes"])

    def chunks(self, table: str, *, row_deletes: bool) -> dict[str, Chunk]:
        """Chunks by name; raises UsageError if rows are deleted that nobody leaves out."""
        if self._deletes and not row_deletes:
            raise UsageError(
                f"{table}: rows are deleted by {counted(self._deletes, 'file')} of deletes; "
                "rewrite the data (rewrite_data_files), or give row_deletes=True if your tasks "
                "leave those rows out"
            )
        return {name: Chunk(name, 0, size) for name, size in self._sizes.items()}

    def _found(self, path: str) -> str:
        """Path of a file, below the folder in which the table was found if it is the table's."""
        for location in {self._location, self._location.removeprefix("file://")}:
            if path.startswith(f"{location}/"):
                return f"{self._root.url}/{path[len(location) + 1 :]}"
        return path

    def _records(self, path: str) -> Iterator[dict[str, Any]]:
        """Records of an Avro file."""
        import fastavro  # noqa: PLC0415

        path = self._found(path)
        folder, _, name = path.rpartition("/")
        with refused(path), Folder(folder).open(name) as file:
            for record in fastavro.reader(file):
                if not isinstance(record, dict):
                    raise TypeError("not of records")
                yield record
