"""The journal: what it keeps, what it refuses, and what a full disk does to it."""

import logging
import sqlite3
from pathlib import Path

import pytest

from isocline.dispatch.errors import JournalError
from isocline.dispatch.journal import Journal, Row
from isocline.dispatch.large_results import LARGE


def row(key: str, state: str = "finished", value: bytes | None = b"value") -> Row:
    return Row(key, b"same", state, 1, "n0", "local", "its own", 0.0, 1.0, 2.0, value)


def test_what_was_finished_is_found_by_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    journal = Journal(path)
    journal.note(row("a", "started", None))
    journal.note(row("a", value=b"1"))
    journal.note(row("b", "started", None))
    journal.note(row("c", "failed", None))
    for i in range(1200):  # three transactions
        journal.note(row(str(i), value=str(i).encode()))
    journal.close()

    again = Journal(path, resume=True)
    assert again.find("a", b"same") == b"1"
    assert again.find("b", b"same") is None
    assert again.find("c", b"same") is None
    assert [again.find(str(i), b"same") for i in range(1200)] == [b"%d" % i for i in range(1200)]
    again.close()


def test_large_results_have_files_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    journal = Journal(path)
    journal.note(row("large", value=b"x" * LARGE))
    journal.note(row("small"))
    journal.close()
    assert path.stat().st_size < LARGE
    (file,) = (tmp_path / "run.db-results").iterdir()

    again = Journal(path, resume=True)
    assert again.find("large", b"same") == b"x" * LARGE
    file.write_bytes(b"x")  # as after a power cut
    assert again.find("large", b"same") is None
    again.close()


def test_a_changed_task_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run.db")
    journal.note(row("a"))
    journal.close()
    again = Journal(tmp_path / "run.db", resume=True)
    with pytest.raises(JournalError, match=r"run\.db: task 'a' had another function"):
        again.find("a", b"other")
    again.close()


def test_a_run_is_not_written_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run.db")
    journal.note(row("a"))
    journal.close()
    with pytest.raises(JournalError, match="has 1 tasks of an earlier run; give resume=True"):
        Journal(tmp_path / "run.db")


def test_only_one_driver_has_a_journal(tmp_path: Path) -> None:
    first = Journal(tmp_path / "run.db")
    with pytest.raises(JournalError, match="another run uses it"):
        Journal(tmp_path / "run.db", resume=True)
    first.close()
    Journal(tmp_path / "run.db", resume=True).close()


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("This is no data base at all, but a text of the user's. " * 20)
    before = text.read_bytes()
    with pytest.raises(JournalError, match="not a database; give a path"):
        Journal(text, resume=True)
    assert text.read_bytes() == before

    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    with pytest.raises(JournalError, match="not a journal of this version"):
        Journal(other, resume=True)
    with pytest.raises(JournalError, match="unable to open"):
        Journal(tmp_path / "no" / "such" / "directory")


def test_on_a_full_disk_the_run_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """SQLite's own limit on pages stands for the disk's."""
    journal = Journal(tmp_path / "run.db")
    journal._connection.execute("PRAGMA max_page_count = 20")
    with caplog.at_level(logging.WARNING, "isocline.dispatch"):
        for i in range(30):
            journal.note(row(str(i), value=b"x" * 10_000))
        with pytest.raises(JournalError, match=r"30 rows could not be written \(.*full"):
            journal.close()
    assert len(caplog.records) == 1
    again = Journal(tmp_path / "run.db", resume=True)
    assert again.find("0", b"same") is None
    again.close()


def test_what_waited_for_a_full_disk_is_written_later(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run.db")
    journal._connection.execute("PRAGMA max_page_count = 20")
    for i in range(30):
        journal.note(row(str(i), value=b"x" * 10_000))
    while journal.problem is None:
        pass
    with journal._lock:
        journal._connection.execute("PRAGMA max_page_count = 100000")
    journal.close()
    again = Journal(tmp_path / "run.db", resume=True)
    assert all(again.find(str(i), b"same") for i in range(30))
    again.close()
