"""Several files: the same requests given twice, rotated logs that overlap, several routers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from isocline.audit import audit_log
from isocline.audit.clocks import skew
from isocline.audit.reading import read_log
from isocline.model.curves import KneeCurve
from tests.audit.virtual_router import Job, jobs_of, written

CURVES = (KneeCurve(60.0, 6.0, 2.0),) * 2


@pytest.fixture(scope="module")
def jobs() -> list[Job]:
    return sorted(jobs_of(CURVES, [70.0], 1500), key=lambda it: it.end)


def test_the_same_file_twice_counts_once(jobs: list[Job], tmp_path: Path) -> None:
    path = written(jobs, tmp_path / "log.csv")
    once, twice = read_log([path]), read_log([path, path])
    assert (once.doubled, twice.doubled) == (0, len(jobs))
    assert twice.records.start.tolist() == once.records.start.tolist()
    assert twice.records.attempts.end.tolist() == once.records.attempts.end.tolist()
    assert not twice.routers


def test_rotated_logs_that_overlap_count_what_they_share_once(
    jobs: list[Job], tmp_path: Path
) -> None:
    older = written(jobs[:1000], tmp_path / "log.1.csv")
    newer = written(jobs[700:], tmp_path / "log.csv")
    found = read_log([newer, older])  # in any order
    assert found.doubled == 300
    assert found.records.start.size == len(jobs)
    touching = read_log([older, written(jobs[1000:], tmp_path / "next.csv")])
    assert touching.doubled == 0
    assert not touching.routers


def test_several_routers_of_the_same_time_are_kept_and_their_clocks_doubted(
    jobs: list[Job], tmp_path: Path
) -> None:
    paths = [written(jobs[i::2], tmp_path / f"router-{i}.csv") for i in range(2)]
    found = read_log(paths)
    assert found.doubled == 0
    assert found.records.start.size == len(jobs)
    assert found.routers == tuple(map(str, paths))


def test_routers_whose_times_are_to_the_second_are_no_doubles(tmp_path: Path) -> None:
    """Many of their lines are the same by chance."""
    for router in range(2):
        rows = [f"{i},{1 + (i * (2 + router)) % 5},b{i % 2}\n" for i in range(400)]
        (tmp_path / f"{router}.csv").write_text("start,duration,upstream\n" + "".join(rows))
    found = read_log([tmp_path / "0.csv", tmp_path / "1.csv"])
    assert found.coarse
    assert found.doubled == 0
    assert found.records.start.size == 800


def test_three_copies_count_once(jobs: list[Job], tmp_path: Path) -> None:
    path = written(jobs[:300], tmp_path / "log.csv")
    assert read_log([path] * 3).records.start.size == 300
    assert read_log([path] * 3).doubled == 600


def two_routers(folder: Path, ahead: float) -> list[Path]:
    """Logs of two routers that send anywhere; the second one's clock is ahead, s."""

    def either(_jobs: Sequence[int], _frontend: int, rng: np.random.Generator) -> int:
        return int(rng.integers(2))

    jobs = jobs_of(CURVES, [45.0, 45.0], 5000, either, seed=1)
    paths = []
    for router in range(2):
        by = 10.0 + router * ahead
        own = [it._replace(start=it.start + by, end=it.end + by) for it in jobs]
        path = folder / f"router-{router}.csv"
        paths.append(written([it for it in own if it.frontend == router], path))
    return paths


@pytest.mark.parametrize("ahead", [2.0, -4.0])
def test_a_clock_that_is_off_is_seen(ahead: float, tmp_path: Path) -> None:
    records = read_log(two_routers(tmp_path, ahead)).records
    assert skew(records, 0, 1) == pytest.approx(ahead, abs=0.4)
    assert skew(records, 1, 0) == pytest.approx(-ahead, abs=0.4)


def test_clocks_that_agree_are_only_said_to_have_to(tmp_path: Path) -> None:
    paths = two_routers(tmp_path, 0.0)
    assert skew(read_log(paths).records, 0, 1) is None
    said = audit_log(paths, policies=["jsq"], draws=3).cautions[0]
    assert "are of the same time, as of several routers: their clocks must agree" in said
