"""Files of Delta and Iceberg tables: those of one version alone, with what was removed left out."""

import gzip
from pathlib import Path

import pytest

from isocline.dispatch.chunks import Chunk, delta_files, iceberg_files
from isocline.errors import UsageError
from tests.dispatch.chunks.tables import (
    PROTOCOL,
    add,
    checkpoint,
    commit,
    manifest,
    manifest_list,
    metadata,
    remove,
)

EXISTING, ADDED, DELETED = 0, 1, 2
DATA, POSITIONS = 0, 1
VECTOR = {"storageType": "u", "pathOrInlineDv": "x", "sizeInBytes": 1, "cardinality": 1}


def names(table: Path, version: int | None = None) -> list[str]:
    found = delta_files(str(table), version=version)
    return sorted(name.removeprefix(f"{table}/") for name in found)


@pytest.fixture
def delta(tmp_path: Path) -> Path:
    table = tmp_path / "events"
    commit(table, 0, PROTOCOL, add("a.parquet", 7), add("day=1%202/b.parquet", 8))
    commit(table, 1, remove("a.parquet"), add("c.parquet", 9))
    commit(table, 2, {"commitInfo": {"operation": "OPTIMIZE"}}, add("d.parquet"))
    return table


def test_a_version_of_a_delta_table_has_what_was_added_and_not_removed(delta: Path) -> None:
    found = delta_files(str(delta))
    assert found[f"{delta}/day=1 2/b.parquet"] == Chunk(f"{delta}/day=1 2/b.parquet", 0, 8)
    assert names(delta) == ["c.parquet", "d.parquet", "day=1 2/b.parquet"]
    assert names(delta, version=0) == ["a.parquet", "day=1 2/b.parquet"]


@pytest.mark.parametrize("parts", [1, 2])
def test_a_delta_log_goes_on_from_a_checkpoint(delta: Path, parts: int) -> None:
    state = [PROTOCOL, add("day=1%202/b.parquet", 8), add("c.parquet", 9), remove("a.parquet")]
    short = [
        {key: {k: v for k, v in it.items() if k in KEPT} for key, it in action.items()}
        for action in state
    ]
    checkpoint(delta, 1, [short[i::parts] for i in range(parts)])
    for version in (0, 1):
        (delta / "_delta_log" / f"{version:020}.json").unlink()
    assert names(delta) == ["c.parquet", "d.parquet", "day=1 2/b.parquet"]
    assert names(delta, version=1) == ["c.parquet", "day=1 2/b.parquet"]
    with pytest.raises(UsageError, match=r"file of version 0 is no longer in _delta_log"):
        delta_files(str(delta), version=0)


KEPT = {"path", "size", "minReaderVersion", "minWriterVersion"}


def test_a_checkpoint_that_lacks_a_part_does_not_count(delta: Path) -> None:
    checkpoint(delta, 2, [[PROTOCOL], []])
    next((delta / "_delta_log").glob("*.0000000002.0000000002.parquet")).unlink()
    assert len(names(delta)) == 3


def test_rows_deleted_by_vectors_are_the_tasks_to_leave_out(delta: Path) -> None:
    commit(delta, 3, remove("c.parquet"), add("c.parquet", deletionVector=VECTOR))
    with pytest.raises(UsageError, match=r"1 file have rows .*c\.parquet; purge them"):
        delta_files(str(delta))
    assert len(delta_files(str(delta), row_deletes=True)) == 3
    commit(delta, 4, remove("c.parquet"))
    assert names(delta) == ["d.parquet", "day=1 2/b.parquet"]


def test_errors_of_delta_tables_name_the_place_and_the_remedy(delta: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no _delta_log with versions; give the folder"):
        delta_files(str(tmp_path))
    with pytest.raises(UsageError, match=r"there is no version 9; the last one is 2"):
        delta_files(str(delta), version=9)
    commit(delta, 3, {"protocol": {"minReaderVersion": 4, "minWriterVersion": 9}})
    with pytest.raises(UsageError, match=r"needs a reader of version 4 .* update isocline"):
        delta_files(str(delta))
    (delta / "_delta_log" / f"{3:020}.json").write_text('{"add": null}\n{')
    with pytest.raises(UsageError, match=r"0003\.json, line 2: is damaged"):
        delta_files(str(delta))
    (delta / "_delta_log" / f"{3:020}.json").write_text('{"add": {"path": "x"}}\n')
    with pytest.raises(UsageError, match=r"_delta_log: is damaged.*KeyError: 'size'"):
        delta_files(str(delta))
    (delta / "_delta_log" / f"{3:020}.checkpoint.0a1b.json").touch()
    (delta / "_delta_log" / f"{3:020}.json").unlink()
    commit(delta, 4)
    with pytest.raises(UsageError, match=r"checkpoint of kind v2.*checkpointPolicy=classic"):
        delta_files(str(delta))


@pytest.fixture
def iceberg(tmp_path: Path) -> Path:
    table = tmp_path / "orders"
    data, meta = f"{table}/data", table / "metadata"
    old = [
        manifest(meta / "m1.avro", [(ADDED, DATA, f"{data}/a.parquet", 5)]),
    ]
    new = [
        manifest(
            meta / "m2.avro",
            [(DELETED, DATA, f"{data}/a.parquet", 5), (EXISTING, DATA, f"{data}/b.parquet", 6)],
        ),
        manifest(meta / "m3.avro", [(DELETED, POSITIONS, f"{data}/gone.parquet", 1)]),
        manifest(meta / "m4.avro", [(ADDED, DATA, "s3://elsewhere/c.parquet", 7)]),
    ]
    snapshots = [
        {"snapshot-id": 1, "manifest-list": manifest_list(meta / "l1.avro", old)},
        {"snapshot-id": 2, "manifest-list": manifest_list(meta / "l2.avro", new)},
        {"snapshot-id": 3, "manifests": old},
    ]
    more = {"current-snapshot-id": 2, "snapshots": snapshots}
    metadata(table, 1, **{"current-snapshot-id": -1})
    metadata(table, 2, **more, refs={"audited": {"snapshot-id": 1, "type": "tag"}})
    return table


def test_a_snapshot_of_an_iceberg_table_has_its_live_files(iceberg: Path) -> None:
    data = f"{iceberg}/data"
    found = iceberg_files(str(iceberg))
    assert {name: chunk.size for name, chunk in found.items()} == {
        f"{data}/b.parquet": 6,
        "s3://elsewhere/c.parquet": 7,
    }
    old = {f"{data}/a.parquet": Chunk(f"{data}/a.parquet", 0, 5)}
    assert iceberg_files(str(iceberg), snapshot=1) == old
    assert iceberg_files(str(iceberg), snapshot="audited") == old
    assert iceberg_files(str(iceberg), snapshot=3) == old


def test_the_hint_or_a_path_choose_the_metadata(iceberg: Path) -> None:
    first = iceberg / "metadata" / "v1.metadata.json"
    assert iceberg_files(str(first)) == {}
    assert len(iceberg_files(str(first.with_name("v2.metadata.json")))) == 2
    hint = first.with_name("version-hint.text")
    hint.write_text("1\n")
    assert iceberg_files(str(iceberg)) == {}
    hint.write_text("9")
    with pytest.raises(UsageError, match=r"version-hint.text says '9', of which there is no file"):
        iceberg_files(str(iceberg))
    second = first.with_name("v2.metadata.json")
    first.with_name("v2.gz.metadata.json").write_bytes(gzip.compress(second.read_bytes()))
    second.unlink()
    hint.unlink()
    assert len(iceberg_files(str(iceberg))) == 2


def test_a_table_that_was_moved_is_found_where_it_is(iceberg: Path) -> None:
    there = iceberg.rename(iceberg.with_name("moved"))
    assert set(iceberg_files(str(there))) == {f"{there}/data/b.parquet", "s3://elsewhere/c.parquet"}


def test_errors_of_iceberg_tables_name_the_place_and_the_remedy(
    iceberg: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"has no metadata/\*\.metadata\.json; give the folder"):
        iceberg_files(str(tmp_path))
    with pytest.raises(UsageError, match=r"there is no snapshot 9; there are 1, 2, 3, audited"):
        iceberg_files(str(iceberg), snapshot=9)
    with pytest.raises(UsageError, match=r"there is no snapshot nightly"):
        iceberg_files(str(iceberg), snapshot="nightly")
    deletes = manifest(iceberg / "metadata" / "m2.avro", [(ADDED, POSITIONS, "x", 1)])
    with pytest.raises(UsageError, match=r"deleted by 1 file of deletes; rewrite"):
        iceberg_files(str(iceberg))
    assert len(iceberg_files(str(iceberg), row_deletes=True)) == 1
    Path(deletes).write_bytes(b"no Avro")
    with pytest.raises(UsageError, match=r"m2\.avro: is damaged"):
        iceberg_files(str(iceberg))
    Path(deletes).unlink()
    with pytest.raises(UsageError, match=r"m2\.avro: does not exist"):
        iceberg_files(str(iceberg))
    metadata(iceberg, 3, **{"format-version": 4})
    with pytest.raises(UsageError, match=r"of Iceberg's format 4, of which 1 to 3 are known"):
        iceberg_files(str(iceberg))
