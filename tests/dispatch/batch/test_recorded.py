"""Runs as they were recorded, beside the results they are of."""

import json
from pathlib import Path

import pytest

from isocline.dispatch.batch.recorded import RECORD, is_record, read_run, write_record
from isocline.dispatch.errors import JournalError
from isocline.dispatch.journal.journal import Journal, Row
from isocline.errors import UsageError
from tests.report.dispatch_results import result


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = result(failures=2)
    write_record(made, tmp_path / RECORD)
    for path in (tmp_path, tmp_path / RECORD):
        assert is_record(path)
        found = read_run(path)
        assert found.result == made
        assert list(found.nodes) == made.nodes()
        assert found.gaps == ()


def test_what_json_printed_has_nodes_but_no_timeline(tmp_path: Path) -> None:
    made = result()
    path = tmp_path / "printed.json"
    path.write_text(json.dumps(made.to_dict() | {"results": []}))
    found = read_run(path)
    assert list(found.nodes) == made.nodes()
    assert found.result.explanation == made.explanation
    assert found.result.timeline.attempts == ()
    assert "no timeline" in found.gaps[0]


def row(key: str, state: str, start: float, end: float | None, text: str | None = None) -> Row:
    node, level = ("n1", "local") if state != "failed" else ("", "")
    return Row(key, b"f" * 70, state, 1, node, level, "idle", 100.0, start, end, b"v", None, text)


def test_a_journal_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    journal = Journal(path)
    journal.note(row("a", "finished", 101.0, 103.0))
    journal.note(row("b", "finished", 103.0, 107.0))
    journal.note(row("\udcff", "failed", 107.0, 107.0, "ValueError: no"))
    journal.note(row("d", "started", 107.0, None))
    journal.close()
    before = path.read_bytes()
    assert is_record(path)
    found = read_run(path).result
    assert path.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"run.journal"}
    assert found.status == "incomplete"
    assert found.statistics.finished == 2
    assert found.unanswered == 1
    assert found.statistics.elapsed == pytest.approx(7.0)
    assert [attempt.key for attempt in found.timeline.attempts] == ["a", "b"]
    spans = [one for attempt in found.timeline.attempts for one in (attempt.started, attempt.ended)]
    assert spans == pytest.approx([1.0, 3.0, 3.0, 7.0])
    assert found.explanation.seconds == {"local": pytest.approx(3.0)}
    (failure,) = found.failures
    assert failure.key == "\udcff"
    assert failure.error == "ValueError: no"


def test_a_journal_that_a_run_uses_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    journal = Journal(path)
    try:
        journal.note(row("a", "finished", 101.0, 103.0))
        with pytest.raises(JournalError, match="that no run is using"):
            read_run(path)
    finally:
        journal.close()


def test_a_journal_without_tasks_has_no_run(tmp_path: Path) -> None:
    Journal(tmp_path / "empty").close()
    with pytest.raises(JournalError, match="has no tasks yet"):
        read_run(tmp_path / "empty")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("other.json", '{"kind": "routing"}', "is not a recorded run"),
        ("half.json", '{"kind": "run", "name": "x"}', "is not a document of `isocline run`"),
        ("broken.json", '{"kind": "run"', "is not a recorded run"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    assert is_record(tmp_path / name) == (name == "half.json")
    with pytest.raises(UsageError, match=says):
        read_run(tmp_path / name)


def test_a_directory_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"has no {RECORD}"):
        read_run(tmp_path)


def test_another_sqlite_file_is_refused(tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE x (y)")
        other.commit()
    with pytest.raises(JournalError, match="is not a journal of this version"):
        read_run(tmp_path / "other.db")
