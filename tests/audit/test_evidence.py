"""Evidence of a log on service curves: of counts, and of how long requests stayed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from isocline.audit.evidence import Evidence, of_counts, of_log, posterior
from isocline.audit.reading import Log, read_log
from isocline.audit.workloads import Occupied, occupied
from isocline.learn import Known, Prior
from isocline.learn.draws import drawn_curves
from isocline.learn.shapes import shapes
from isocline.model.curves import KneeCurve
from tests.audit.virtual_router import Job, exponential, jobs_of, lognormal, written

CURVE = KneeCurve(60.0, 10.0, 2.0)
RATE, COUNT = 35.0, 3000


def evidence(log: Log) -> tuple[list[Evidence], list[Known], Occupied]:
    there = occupied(log.records)
    known = [
        Known(done, spent)
        for done, spent in zip(there.done.sum(axis=0), there.seconds.sum(axis=0), strict=True)
    ]
    return of_log(log.records, there, known), known, there


def rates(found: Evidence, workload: float) -> np.ndarray:
    """l(N) of curves drawn from a posterior, over l(5)."""
    drawn = drawn_curves(*posterior(found, Prior(knee=6.0), 5.0), 200, np.random.default_rng(0))
    return np.array([float(it.rate(workload)) / float(it.rate(5.0)) for it in drawn])


def test_regular_sizes_say_more_than_counts_and_the_truth(tmp_path: Path) -> None:
    jobs = jobs_of([CURVE], [RATE], COUNT, seed=1, size=lognormal(0.3))
    (stays,), (known,), _ = evidence(read_log([written(jobs, tmp_path / "log.csv")]))
    counts = of_counts(known)
    assert stays.completions > 2.0 * counts.completions
    for n in (2.0, 20.0):
        by_stays, by_counts = rates(stays, n), rates(counts, n)
        assert by_stays.std() < 0.8 * by_counts.std()
        true = float(CURVE.rate(n)) / float(CURVE.rate(5.0))
        assert abs(by_stays.mean() - true) < 3.0 * by_stays.std() + 0.01 * true


def test_exponential_sizes_are_counted(tmp_path: Path) -> None:
    jobs = jobs_of([CURVE], [RATE], COUNT, seed=1, size=exponential)
    (found,), (known,), _ = evidence(read_log([written(jobs, tmp_path / "log.csv")]))
    assert found.completions == of_counts(known).completions
    assert found.completions < COUNT


def test_tokens_make_sizes_known(tmp_path: Path) -> None:
    """The same requests with and without the tokens that their work goes by."""
    jobs = jobs_of([CURVE], [RATE], COUNT, seed=2)
    (without,), _, _ = evidence(read_log([written(jobs, tmp_path / "log.csv")]))
    rows = [f"{it.start:.6f},{it.end - it.start:.6f},a,{1e3 * it.work:.3f}\n" for it in jobs]
    path = tmp_path / "tokens.csv"
    path.write_text("start,duration,upstream,tokens\n" + "".join(rows))
    (found,), _, _ = evidence(read_log([path]))
    assert found.completions > 2.0 * without.completions
    assert rates(found, 20.0).std() < 0.8 * rates(without, 20.0).std()
    true = float(CURVE.rate(20.0)) / float(CURVE.rate(5.0))
    assert rates(found, 20.0).mean() == pytest.approx(true, rel=0.05)


def one_by_one(count: int) -> Sequence[Job]:
    """A machine that serves equal requests in their order."""
    rng, free, done = np.random.default_rng(3), 0.0, []
    for start in np.cumsum(rng.exponential(1.0 / 8.0, count)).tolist():
        free = max(free, start) + 0.1
        done.append(Job(start, free, 0, 0, 1.0))
    return done


def test_a_machine_that_serves_one_by_one_keeps_to_its_counts(tmp_path: Path) -> None:
    log = read_log([written(one_by_one(3000), tmp_path / "log.csv")])
    (found,), (known,), _ = evidence(log)
    drawn = rates(found, 12.0)
    assert drawn.mean() == pytest.approx(1.0, abs=0.08)  # it has the same speed at any workload
    assert known.completions.sum() < 3000


def test_draws_are_one_of_each_part() -> None:
    grid = shapes()
    log = np.where(grid.sharpness == 2.0, 0.0, -np.inf)
    knees = np.unique(grid.knee)
    exposure = np.full(grid.knee.size, 50.0)
    drawn = drawn_curves(log, 100.0, exposure, knees.size, np.random.default_rng(0))
    assert sorted(it.knee for it in drawn) == pytest.approx(knees)
    speed = np.array([it.peak / it.knee for it in drawn])
    assert speed.mean() == pytest.approx(2.0, rel=0.01)  # a tenth of what chance would have
    assert speed.std() == pytest.approx(0.2, rel=0.15)
