"""The fault suite where the journal's disk is full, which is the same on all engines."""

from pathlib import Path

from tests.dispatch.engines.faults import Stage, drive
from tests.dispatch.engines.processes.test_faults import stage  # noqa: F401 - a fixture


def test_a_driver_on_a_full_disk_ends_its_run_and_the_rest_is_run_again(
    stage: Stage,  # noqa: F811
    tmp_path: Path,
) -> None:
    # 1.1 MB of results; of these some are written, and then there is room for 200 kB more.
    journal, count = tmp_path / "run.db", 400
    right = sum(i * i for i in range(count))
    full = drive(stage, journal, count, room=200_000)
    assert full.total == right
    assert "could not be written" in full.journal
    last = drive(stage, journal, count)
    assert last.total == right
    assert 0 < last.resumed < count
    assert not last.journal
