"""The fault suite on worker processes, and a full disk, which is the same on all engines."""

from pathlib import Path

import pytest

from isocline.dispatch.engines.processes import ProcessEngine
from tests.dispatch.engines.fault_contract import FaultContract
from tests.dispatch.engines.faults import Stage, drive


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage(
        lambda loader: ProcessEngine(3, loader=loader, everywhere=True),
        lambda: ["n0", "n1", "n2"],
        "from isocline.dispatch.engines.processes import ProcessEngine\n"
        "engine = ProcessEngine(3, loader=str, everywhere=True)",
    )


class TestProcessFaults(FaultContract):
    pass


def test_a_driver_on_a_full_disk_ends_its_run_and_the_rest_is_run_again(
    stage: Stage, tmp_path: Path
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
