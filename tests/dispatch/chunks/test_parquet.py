"""Row groups as chunks."""

from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isocline.dispatch.chunks import row_groups
from isocline.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in (("a", 5), ("b", 2)):
        table = pa.table({"key": ["x"] * rows, "value": list(range(rows))})
        pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=2)
    return tmp_path


def test_row_groups_fill_their_file_but_for_its_frame(folder: Path) -> None:
    found = row_groups(str(folder / "*.parquet"))
    a, b = str(folder / "a.parquet"), str(folder / "b.parquet")
    assert list(found) == [f"{a}#0", f"{a}#1", f"{a}#2", f"{b}#0"]
    groups = [chunk for chunk in found.values() if chunk.path == a]
    assert groups[0].offset == 4  # after the magic bytes
    for before, after in pairwise(groups):
        assert before.offset + before.size == after.offset
    footer = pq.ParquetFile(a).metadata
    assert groups[-1].offset + groups[-1].size <= Path(a).stat().st_size - footer.serialized_size


def test_a_chunk_names_what_a_task_reads(folder: Path) -> None:
    values = []
    for chunk in row_groups([str(folder / "a.parquet")]):
        path, _, group = chunk.rpartition("#")
        values += pq.ParquetFile(path).read_row_group(int(group))["value"].to_pylist()
    assert values == list(range(5))


def test_names_are_as_their_pattern_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert list(row_groups("b.*")) == list(row_groups("b.parquet")) == ["b.parquet#0"]
    url = f"file://{folder}/b.parquet"
    assert list(row_groups(url)) == [f"{url}#0"]
    assert list(row_groups(f"file://{folder}/b*")) == [f"{url}#0"]


def test_errors_name_the_file_and_the_remedy(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"c\.parquet: does not exist; correct the path"):
        row_groups(str(folder / "c.parquet"))
    with pytest.raises(UsageError, match=r"\*\.csv: there is no such file; correct the pattern"):
        row_groups(str(folder / "*.csv"))
    (folder / "c.parquet").write_text("no Parquet, but long enough")
    with pytest.raises(UsageError, match=r"c\.parquet: is damaged, or not what it should be"):
        row_groups(str(folder / "c.parquet"))
    with pytest.raises(
        UsageError, match=r"nowhere://x: .*; give a path, or a URL that fsspec knows"
    ):
        row_groups("nowhere://x/c.parquet")
