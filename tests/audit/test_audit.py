"""Findings on routers that ran on virtual time, against what would have been."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import isocline
from isocline.audit import Audit, audit_log
from isocline.audit.reading import read_log
from isocline.audit.system_file import system_file
from isocline.errors import PolicyError, UsageError
from isocline.gateway.serve.from_file import read as read_serving
from isocline.model.curves import HyperbolicCurve, KneeCurve
from isocline.model.traffic import Trace
from tests.audit.virtual_router import Job, jobs_of, works, written
from tests.builders import fleet

# Two brisk machines and two broad ones: by the fewest jobs, the brisk ones get too much.
CURVES = (
    KneeCurve(60.0, 4.0, 4.0),
    KneeCurve(60.0, 4.0, 4.0),
    KneeCurve(100.0, 24.0, 4.0),
    KneeCurve(100.0, 24.0, 4.0),
)


@pytest.fixture(scope="module")
def jobs() -> list[Job]:
    return jobs_of(CURVES, [220.0], 30_000)


@pytest.fixture(scope="module")
def log(jobs: list[Job], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(jobs, tmp_path_factory.mktemp("audit") / "log.csv")


@pytest.fixture(scope="module")
def found(log: Path) -> Audit:
    return audit_log(log, policies=["gmsr_secant", "jsq"], draws=8)


def test_parts_add_up_to_the_latency_and_the_optimum_is_that_of_the_true_curves(
    found: Audit,
) -> None:
    assert found.least is not None
    total = found.least.value + sum(it.seconds.value for it in found.parts)
    assert total == pytest.approx(found.latency, rel=0.05)  # of blocks drawn at random
    true = isocline.plan(fleet(CURVES, [220.0])).mean_latency
    assert true is not None
    assert found.least.value == pytest.approx(true, rel=0.1)
    routing, missing = found.part("routing"), found.part("missing")
    assert routing is not None
    assert missing is not None
    assert routing.points.low > 0.0
    assert missing.points.value == pytest.approx(0.0, abs=0.01)  # there is one frontend


def test_its_own_policy_gives_what_the_log_has_and_the_saving_is_the_true_one(
    found: Audit, jobs: list[Job]
) -> None:
    ours, own = found.policies
    assert own.latency.low < found.replayed_latency < own.latency.high
    assert abs(own.saving.value) < 0.05
    kept = jobs[: found.replayed]
    times = np.array([it.start for it in kept])
    none = np.zeros(times.size)
    trace = Trace("log", times - times[0], none, none, works(kept))
    true = isocline.simulate(
        fleet(CURVES, [220.0]), ["gmsr_secant"], trace=trace, replications=2, percentiles=False
    )
    latency = true.policies[0].mean_latency
    assert latency is not None
    saving = 1.0 - latency.value / found.replayed_latency
    assert saving > 0.1
    assert ours.saving.low > 0.0
    assert ours.saving.value == pytest.approx(saving, abs=0.08)


def test_one_more_machine_helps_and_like_ones_are_one_kind(found: Audit) -> None:
    machines = [it for it in found.advice if it.kind == "machine"]
    assert all(it.seconds.value > 0 for it in machines)
    assert sorted(sorted(it.names) for it in machines) == [
        ["10.0.0.0:80", "10.0.0.1:80"],
        ["10.0.0.2:80", "10.0.0.3:80"],
    ]


def test_the_system_file_is_read_by_plan_and_serve(found: Audit, tmp_path: Path) -> None:
    path = tmp_path / "system.yaml"
    path.write_text(system_file(found))
    system = isocline.load(path)
    assert [it.name for it in system.backends] == [it.name for it in found.backends]
    for one, other in zip(system.curves, found.system.curves, strict=True):
        n = np.arange(1.0, 20.0)
        assert one.rate(n) == pytest.approx(other.rate(n), rel=0.02)
    assert not isocline.notes(system)
    planned, known = isocline.plan(system).mean_latency, isocline.plan(found.system).mean_latency
    assert planned == pytest.approx(known, rel=0.02)
    assert [it.url for it in read_serving(path).system.backends] == [
        f"http://10.0.0.{b}:80" for b in range(4)
    ]


def test_an_overloaded_backend_is_said_and_the_headline_agrees_with_its_parts(
    tmp_path: Path, found: Audit
) -> None:
    """Half of 50/s go to a machine that serves 20/s: the longest requests end after the window."""
    curves = (HyperbolicCurve(60.0, 4.0), HyperbolicCurve(20.0, 3.0))

    def either(_jobs: Sequence[int], _frontend: int, rng: np.random.Generator) -> int:
        return int(rng.integers(2))

    overloaded = jobs_of(curves, [50.0], 3000, either)
    over = audit_log(written(overloaded, tmp_path / "log.csv"), policies=["jsq"], draws=8)
    for audit in (over, found):
        assert audit.least is not None
        assert audit.above is not None
        wanted = 100.0 * (audit.latency / audit.least.value - 1.0)
        assert audit.above.value == pytest.approx(wanted, rel=0.3, abs=3.0)
    assert over.cautions[0].startswith("The requests under way go from ")
    assert "more came than were served" in over.cautions[0]
    assert not any("under way go" in caution for caution in found.cautions)


def test_the_same_seed_gives_the_same_findings(log: Path) -> None:
    one, again, other = (
        audit_log(log, policies=["jsq"], draws=3, seed=seed).to_json() for seed in (1, 1, 2)
    )
    assert one == again != other


def test_a_missing_connection_is_found_and_counted(tmp_path: Path) -> None:
    """Two frontends with a machine each, one of which has nothing to do."""
    curves = [HyperbolicCurve(40.0, 4.0)] * 2
    jobs = jobs_of(curves, [30.0, 6.0], 6000, lambda _jobs, frontend, _rng: frontend)
    found = audit_log(written(jobs, tmp_path / "log.csv"), policies=["jsq"], draws=6)
    assert [it.backends for it in found.frontends] == [("10.0.0.0:80",), ("10.0.0.1:80",)]
    missing = found.part("missing")
    assert missing is not None
    assert missing.points.low > 10.0
    best = next(it for it in found.advice if it.kind == "connection")
    assert best.names == ("f0", "10.0.0.1:80")
    assert best.seconds.low > 0.0
    by_edges = audit_log(tmp_path / "log.csv", edges=["*=*"], policies=["jsq"], draws=6)
    assert by_edges.edges_from == "edges"
    assert by_edges.part("missing") != missing
    assert len(by_edges.frontends) == 1


def test_what_a_log_cannot_show_is_said(tmp_path: Path) -> None:
    one_by_one = tmp_path / "one.csv"
    rows = [f"{i},0.9,{'ab'[i % 2]}\n" for i in range(600)]
    one_by_one.write_text("start,duration,upstream\n" + "".join(rows))
    said = "\n".join(audit_log(one_by_one, policies=["jsq"], draws=3).cautions)
    assert "Too few completions for a curve: a (" in said
    assert "The workload hardly varies at a (N = 1), b (N = 1)" in said
    assert "No bend was seen in the curve of a, b" in said
    assert "Times are to the second" in said


def test_a_machine_that_became_slower_and_requests_that_failed_are_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(4000):
        at = 0.05 * i
        long = rng.exponential(0.04 if at < 100.0 else 0.12)
        rows.append(f"{at:.3f},{long:.3f},a,{500 if i % 20 == 0 else 200}\n")
    path = tmp_path / "slow.csv"
    path.write_text("start,duration,upstream,status\n" + "".join(rows))
    found = audit_log(path, policies=["jsq"], draws=3)
    assert found.log.failed == 200
    said = "\n".join(found.cautions)
    assert "The speed changes within the log at a (0." in said
    assert "5.0% of the requests failed" in said


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"draws": 2}, UsageError, "draws"),
        ({"policies": ["nosuch"]}, PolicyError, "nosuch"),
        ({"policies": ["jsq", "jsq"]}, PolicyError, "given twice"),
        ({"edges": ["*=*"], "system": "x"}, UsageError, "give one"),
    ],
)
def test_wrong_options_are_refused(
    log: Path, options: dict[str, object], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        audit_log(log, **options)  # type: ignore[arg-type]


def test_too_few_requests_are_refused(jobs: list[Job], tmp_path: Path) -> None:
    path = written(jobs[:150], tmp_path / "few.csv")
    assert read_log([path]).records.start.size == 150
    with pytest.raises(UsageError, match="150 requests were served; an audit needs 200"):
        audit_log(path)
    with pytest.raises(UsageError, match="give at least one"):
        audit_log([])


def test_a_log_without_durations_is_refused(tmp_path: Path) -> None:
    """As of a clock to the second: every mean would be 0, and every share of it undefined."""
    path = tmp_path / "log.csv"
    path.write_text("start,duration,upstream\n" + "".join(f"{i},0,a\n" for i in range(300)))
    with pytest.raises(UsageError, match=r"log\.csv: all 300 served requests took 0 s; log dur"):
        audit_log(path)
