"""Time and completions at each workload, against a count job by job."""

from pathlib import Path

import numpy as np
import pytest

from isocline.audit.learned import CurveLearning, service_had
from isocline.audit.reading import read_log
from isocline.audit.records import AccessRecords
from isocline.audit.workloads import BLOCKS, occupied, window_of
from isocline.model.curves import HyperbolicCurve, KneeCurve
from tests.audit.virtual_router import Job, jobs_of, written

CURVES = (KneeCurve(60.0, 6.0, 3.0), HyperbolicCurve(40.0, 8.0))


@pytest.fixture(scope="module")
def jobs() -> list[Job]:
    return jobs_of(CURVES, [55.0], 6000)


@pytest.fixture(scope="module")
def records(jobs: list[Job], tmp_path_factory: pytest.TempPathFactory) -> AccessRecords:
    return read_log([written(jobs, tmp_path_factory.mktemp("log") / "log.csv")]).records


def test_time_at_each_workload_is_that_of_the_jobs_under_way(
    jobs: list[Job], records: AccessRecords
) -> None:
    found = occupied(records)
    first, last = (edge + jobs[0].start for edge in window_of(records))
    for backend in range(2):
        own = [it for it in jobs if it.backend == backend]
        change = sorted([(it.start, 1) for it in own] + [(it.end, -1) for it in own])
        spent: dict[int, float] = {}
        held, before = 0, 0.0
        for at, by in change:
            long = min(at, last) - max(before, first)
            spent[held] = spent.get(held, 0.0) + max(long, 0.0)
            held, before = held + by, at
        there = found.seconds[:, backend].sum(axis=0)
        for n, wanted in spent.items():
            assert there[n] == pytest.approx(wanted, abs=0.01)
        ended = sum(first <= it.end <= last for it in own)
        assert found.completions[:, backend].sum() == pytest.approx(ended, abs=1)
        assert found.done[:, backend].sum() == pytest.approx(ended, rel=0.01)
    assert found.seconds.sum(axis=(1, 2)) == pytest.approx(
        np.full(BLOCKS, 2 * (last - first) / BLOCKS)
    )


def test_curves_and_the_work_of_each_request_come_out(
    jobs: list[Job], records: AccessRecords
) -> None:
    there = occupied(records)
    learning = CurveLearning(records, there)
    for backend, curve in enumerate(CURVES):
        n = np.arange(2, 12)
        low, high = learning.fits[backend].known.bounds(n)
        assert (low <= curve.rate(n)).all()
        assert (curve.rate(n) <= high).all()
    had = service_had(records, there, learning.all)
    true = np.array([it.work for it in jobs])
    assert had.mean() == pytest.approx(1.0, abs=0.03)
    assert np.corrcoef(had, true)[0, 1] > 0.98


def test_draws_are_around_the_truth_and_nearer_with_more_seen(
    jobs: list[Job], records: AccessRecords, tmp_path: Path
) -> None:
    few = read_log([written(jobs[:600], tmp_path / "few.csv")]).records
    spread = []
    for these in (few, records):
        drawn = CurveLearning(these, occupied(these)).drawn(200, np.random.default_rng(0))
        rates = np.array([[float(curve.rate(5.0)) for curve in one.curves] for one in drawn])
        wanted = np.array([float(curve.rate(5.0)) for curve in CURVES])
        assert (np.abs(rates.mean(axis=0) / wanted - 1.0) < 4.0 * rates.std(axis=0) / wanted).all()
        spread.append(rates.std(axis=0) / rates.mean(axis=0))
        assert {one.weights.sum() for one in drawn} == {BLOCKS}
    assert (spread[0] > 1.5 * spread[1]).all()
    assert (spread[1] < 0.05).all()


def test_attempts_that_failed_are_there_and_complete_nothing(tmp_path: Path) -> None:
    """Two at a time, of which one is given up when the other ends."""
    rows = ["start,duration,upstream,status"]
    for i in range(2000):
        rows.append(f"{0.1 * i:.3f},0.099,a,200")
        rows.append(f"{0.1 * i:.3f},0.099,a,499")
    path = tmp_path / "log.csv"
    path.write_text("\n".join(rows) + "\n")
    there = occupied(read_log([path]).records)
    seconds, done = there.seconds.sum(axis=(0, 1)), there.done.sum(axis=(0, 1))
    # The share of the time of what was given up is taken back: half of a job was not served.
    assert done[2] / seconds[2] == pytest.approx(2 * 10.0, rel=0.05)
    assert there.completions.sum() == pytest.approx(2000, abs=2)


def test_tokens_are_the_work_where_all_requests_have_them(tmp_path: Path) -> None:
    rows = ["start,duration,upstream,tokens"]
    rows += [f"{0.5 * i:.3f},{0.1 * (1 + i % 3):.3f},a,{10 * (1 + i % 3)}" for i in range(999)]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(rows) + "\n")
    records = read_log([path]).records
    assert records.tokens_of_a_job == pytest.approx(20.0)
    there = occupied(records)
    # 100 tokens/s with one job, of which there are 20 in a mean one: 5 jobs/s.
    rate = there.done.sum(axis=(0, 1))[1] / there.seconds.sum(axis=(0, 1))[1]
    assert rate == pytest.approx(5.0, rel=0.01)
    path.write_text("\n".join([*rows, "600,0.1,a,"]) + "\n")
    assert read_log([path]).records.tokens_of_a_job is None
