"""What more of a log would narrow the interval of a saving."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isocline.audit import Audit, audit_log
from isocline.audit.learned import CurveLearning
from isocline.audit.reading import read_log
from isocline.audit.system_file import system_file
from isocline.audit.workloads import occupied
from isocline.model.curves import KneeCurve
from tests.audit.virtual_router import Job, fewest, jobs_of, written

# By the fewest jobs the brisk machine has as many as the broad one, and should have fewer.
BRISK, BROAD = KneeCurve(60.0, 4.0, 3.0), KneeCurve(120.0, 24.0, 3.0)
CURVES, RATE, COUNT = (BRISK, BROAD), 95.0, 4000


def uneven(jobs: Sequence[int], _frontend: int, _rng: np.random.Generator) -> int:
    return int(np.argmin([4 * (jobs[0] + 1), jobs[1] + 1]))


def audited(path: Path) -> Audit:
    return audit_log(path, policies=["jsq"], draws=8)


def later(jobs: Sequence[Job], by: float) -> list[Job]:
    return [it._replace(start=it.start + by, end=it.end + by) for it in jobs]


def test_a_log_of_the_workloads_that_are_named_narrows_more_than_a_longer_one(
    tmp_path: Path,
) -> None:
    jobs = jobs_of(CURVES, [RATE], COUNT, fewest, seed=2)
    wanted = audited(written(jobs, tmp_path / "log.csv")).unknowns
    assert wanted[0].backend == "10.0.0.0:80"
    assert wanted[0].jobs < np.mean(wanted[0].usual)
    assert 0.0 < wanted[0].seen < 0.5
    assert sum(it.share for it in wanted) <= 1.0 + 1e-9
    spreads = []
    for choose in (fewest, uneven):
        more = later(jobs_of(CURVES, [RATE], COUNT // 2, choose, seed=12), jobs[-1].end + 1.0)
        records = read_log([written([*jobs, *more], tmp_path / "more.csv")]).records
        drawn = CurveLearning(records, occupied(records)).drawn(200, np.random.default_rng(0))
        rates = [float(fleet.curves[0].rate(wanted[0].jobs)) for fleet in drawn]
        spreads.append(float(np.log(rates).std()))
    assert spreads[1] < 0.95 * spreads[0]


def test_the_system_file_says_whose_paths_it_has(tmp_path: Path) -> None:
    """nginx may strip a prefix before it sends a request on; its log has the path as it came."""
    rows = [
        f'{1e9 + 0.05 * i:.3f} 0.{100 + i % 7:03d} "10.0.0.{i % 2 + 1}:80" "0.100" "200" 200 h '
        f'"/{("chat", "code")[i % 2]}/x"\n'
        for i in range(600)
    ]
    path = tmp_path / "access.log"
    path.write_text("".join(rows))
    text = system_file(audited(path))
    assert "path: " in text
    assert "Where your router strips or rewrites them (nginx: a proxy_pass with a path)" in text
    one = tmp_path / "one.log"
    one.write_text("".join(row.replace("/code", "/chat") for row in rows))
    assert "proxy_pass" not in system_file(audited(one))


def test_requests_that_pile_up_are_no_steady_log(tmp_path: Path) -> None:
    jobs = jobs_of([KneeCurve(20.0, 2.0, 4.0)], [30.0], 800)
    found = audited(written(jobs, tmp_path / "log.csv"))
    assert all(0.0 < it.share <= 1.0 for it in found.unknowns)
    assert not found.steady
