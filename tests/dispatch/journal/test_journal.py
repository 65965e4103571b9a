"""The journal: what it keeps, what it refuses, and what a full disk does to it."""

import contextlib
import logging
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from isocline.dispatch.errors import JournalError, UnwrittenError
from isocline.dispatch.journal.identity import Identity
from isocline.dispatch.journal.journal import LARGE, Journal, Row


def row(
    key: str, state: str = "finished", value: bytes | None = b"value", text: str | None = None
) -> Row:
    return Row(key, b"same", state, 1, "n0", "local", "its own", 0.0, 1.0, 2.0, value, None, text)


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


def test_under_another_python_tasks_are_run_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = Identity(b"f" * 16, b"l" * 16, b"a" * 16, b"d" * 16, b"cpython-399")
    journal = Journal(tmp_path / "run.db")
    for key in ("a", "b"):
        journal.note(row(key)._replace(fingerprint=before.packed()))
    journal.close()
    again = Journal(tmp_path / "run.db", resume=True)
    now = Identity(b"g" * 16, *before[1:4])  # its byte code differs
    assert again.find("a", now.packed()) is None
    assert again.find("b", Identity(*before[:4]).packed()) is None
    assert again.find("a", before.packed()) == b"value"
    (record,) = caplog.records
    assert "was written by cpython-399, and byte code" in record.getMessage()
    with pytest.raises(JournalError, match="had another function"):
        again.find("a", now._replace(python=before.python).packed())
    again.close()


def test_a_run_is_not_written_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run.db")
    journal.note(row("a"))
    journal.close()
    with pytest.raises(JournalError, match="has 1 task of an earlier run; give resume=True"):
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


def journal_on_a_full_disk(path: Path) -> tuple[Journal, sqlite3.Connection]:
    """SQLite's own limit on pages stands for the disk's; the connection is the journal's."""
    connections: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def limited(*args: Any, **options: Any) -> sqlite3.Connection:
        connections.append(connect(*args, **options))
        connections[-1].execute("PRAGMA max_page_count = 20")
        return connections[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", limited)
        journal = Journal(path)
    return journal, connections[0]


def test_on_a_full_disk_the_run_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal, _ = journal_on_a_full_disk(tmp_path / "run.db")
    with caplog.at_level(logging.WARNING, "isocline.dispatch"):
        for i in range(30):
            journal.note(row(str(i), value=b"x" * 10_000))
        with pytest.raises(JournalError, match=r"30 rows could not be written \(.*full"):
            journal.close()
    assert len(caplog.records) == 1
    again = Journal(tmp_path / "run.db", resume=True)
    assert again.find("0", b"same") is None
    again.close()


@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_a_file_that_is_taken_away_during_the_run_is_missed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    path = tmp_path / "run.db"
    journal = Journal(path)
    journal.note(row("a"))
    while journal.unwritten:
        time.sleep(0.001)
    if how == "deleted":
        path.unlink()
    else:
        path.rename(tmp_path / "elsewhere")
    if how == "replaced":
        path.write_text("another")
    for key in "bcd":
        journal.note(row(key))
        while journal.unwritten:
            time.sleep(0.001)
    said = "replaced by another file" if how == "replaced" else "deleted or moved"
    with pytest.raises(UnwrittenError, match=rf"run\.db: was {said} during the run.*cannot be res"):
        journal.close()
    assert caplog.text.count(said) == 1
    assert "the run goes on, but cannot be resumed" in caplog.text


def test_a_process_that_changes_its_directory_keeps_its_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    journal = Journal("run.db")
    monkeypatch.chdir(tmp_path / "other")
    journal.note(row("large", value=b"x" * LARGE))
    journal.close()
    again = Journal(tmp_path / "run.db", resume=True)
    assert again.find("large", b"same") == b"x" * LARGE
    again.close()


def test_what_waited_for_a_full_disk_is_written_later(tmp_path: Path) -> None:
    journal, connection = journal_on_a_full_disk(tmp_path / "run.db")
    for i in range(30):
        journal.note(row(str(i), value=b"x" * 10_000))
    while journal.problem is None:
        pass
    connection.execute("PRAGMA max_page_count = 100000")  # SQLite lets threads take turns
    journal.close()
    again = Journal(tmp_path / "run.db", resume=True)
    assert all(again.find(str(i), b"same") for i in range(30))
    again.close()


NOT_UTF_8 = "caf\udce9.txt"  # as Python has the name of a file in Latin-1


def test_names_that_are_no_utf_8_are_kept_like_others(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run.db")
    journal.note(row(NOT_UTF_8, value=b"1"))
    journal.note(row(NOT_UTF_8.encode("utf-8", "backslashreplace").decode(), value=b"2"))
    journal.note(row("\ud800", value=b"x" * LARGE))
    journal.note(row("failed", "failed", None, text="of \udc80"))
    for i in range(600):
        journal.note(row(str(i), value=b"%d" % i))
    journal.close()

    again = Journal(tmp_path / "run.db", resume=True)
    assert again.find(NOT_UTF_8, b"same") == b"1"
    assert again.find("caf\\udce9.txt", b"same") == b"2"
    assert again.find("\ud800", b"same") == b"x" * LARGE
    assert all(again.find(str(i), b"same") == b"%d" % i for i in range(600))
    again.close()


def test_a_row_that_cannot_be_written_is_the_only_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "run.db")
    for i in range(300):
        journal.note(row(str(i)))
    journal.note(row("odd")._replace(attempts=2**70))
    for i in range(300, 600):
        journal.note(row(str(i)))
    with (
        caplog.at_level(logging.WARNING, "isocline.dispatch"),
        pytest.raises(JournalError, match=r"1 row could not be written \(task 'odd': Overflow"),
    ):
        journal.close()
    again = Journal(tmp_path / "run.db", resume=True)
    assert again.find("odd", b"same") is None
    assert all(again.find(str(i), b"same") for i in range(600))
    again.close()


def test_a_damaged_result_is_run_again(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    journal = Journal(path)
    journal.note(row("a", value=b"a result of some length"))
    journal.note(row("b", value=b"another one"))
    journal.note(row("large", value=b"x" * LARGE))
    journal.close()
    path.write_bytes(path.read_bytes().replace(b"a result of", b"a resalt of"))
    (file,) = (tmp_path / "run.db-results").iterdir()
    file.write_bytes(b"y" + b"x" * (LARGE - 1))

    again = Journal(path, resume=True)
    assert again.find("a", b"same") is None
    assert again.find("b", b"same") == b"another one"
    assert again.find("large", b"same") is None
    again.close()


def test_a_damaged_page_costs_what_is_on_it(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    journal = Journal(path)
    for i in range(400):
        journal.note(row(f"task-{i:03}", value=b"%03d" % i * 50))
    journal.close()
    page = 4096
    data = bytearray(path.read_bytes())
    middle = data.index(b"200" * 50) // page * page
    data[middle : middle + page] = bytes(page)
    path.write_bytes(data)

    again = Journal(path, resume=True)
    found = [again.find(f"task-{i:03}", b"same") for i in range(400)]
    assert found[200] is None
    assert sum(each is not None for each in found) > 200
    assert all(each in (None, b"%03d" % i * 50) for i, each in enumerate(found))
    again.note(row("new", value=b"1"))
    with contextlib.suppress(JournalError):  # where it would stand may be the damaged page
        again.close()
