"""What a live comparison says of made-up measurements, and what it refuses to say."""

import asyncio
import csv
import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from isocline.cli import main
from isocline.demo.child import Lateness
from isocline.demo.fleets import FLEETS, fleet
from isocline.demo.results import LiveComparison
from isocline.demo.run import Timing, compared, measure, poisson
from isocline.demo.stage import Contestant, Machine, Run, Stage
from isocline.errors import UsageError
from isocline.loadgen import Schedule
from isocline.loadgen.tally import Tally
from isocline.report.export.files import write_live
from isocline.report.tables.live import live_report
from isocline.theory.routing.equilibrium import fluid_optimum
from tests.virtual_time import LoopClock, run_virtually

FAST = Machine(0.0001, 0.0002, 0.0003, 0.1, 0.2, 0.3)
SLOW = Machine(0.2, 0.05, 0.01, 0.6, 0.9, 0.4)


def run(latency: float, *, grown: float = 0.0, failed: int = 0, machine: Machine = FAST) -> Run:
    """Ten answers, some of them late by a tenth."""
    tally = Tally()
    tally.due = 10 + failed
    for factor in np.linspace(0.9, 1.1, 10):
        tally.completed += 1
        tally.latency.add(latency * float(factor))
    if failed:
        tally.errors["timeout"] = failed
    return Run(tally, np.array([5.0, 6.0, 24.0, 25.0]), grown, machine)


def comparison(*contestants: list[Run]) -> LiveComparison:
    names = ["gmsr", "jsq", "random"][: len(contestants)]
    timing = Timing(rounds=len(contestants[0]))
    listed = [Contestant(name, "http://x") for name in names]
    return compared(fleet("c", 0.8), 0.8, 1.0, listed, contestants, timing)


def printed(found: LiveComparison) -> str:
    out = io.StringIO()
    Console(width=120, file=out).print(live_report(found))
    return out.getvalue()


BEST = 0.11804614824  # s, the fluid optimum of fleet C at 0.8: docs/design.md has its ratios


def test_means_ratios_and_paired_differences_are_over_rounds() -> None:
    found = comparison([run(0.12), run(0.13)], [run(0.18), run(0.19)])
    gmsr, jsq = found.policies
    assert gmsr.mean_latency.value == pytest.approx(0.125)
    assert gmsr.ratio_to_bound.value == pytest.approx(0.125 / BEST)
    # Rounds differ by 0.01 for both alike: the difference is sharp, the means are not.
    assert gmsr.mean_latency.half_width == pytest.approx(0.0635, rel=0.01)  # 12.7 * 0.005
    assert jsq.difference is not None
    assert jsq.difference.value == pytest.approx(0.06)
    assert jsq.difference.half_width == pytest.approx(0.0, abs=1e-9)
    assert gmsr.difference is None


def test_a_machine_that_adds_too_much_is_told_and_no_ratio_is() -> None:
    found = comparison([run(0.12), run(0.13)], [run(0.6, machine=SLOW), run(0.7, machine=SLOW)])
    assert found.added == pytest.approx(0.2 + 2 * 0.05 + 0.01)
    assert found.status == "too slow"
    ratios = [row["ratio_to_bound"] for row in found.to_dict()["policies"]]
    assert ratios == [pytest.approx(0.125 / BEST), None]  # gmsr's are its own
    text = printed(found)
    assert "too slow, or too busy, for 512.0 requests/s: it adds up to 310 ms" in text
    assert "1.90 cores" in text
    assert "× optimum" not in text


def test_jobs_that_grow_and_requests_that_fail_are_told() -> None:
    found = comparison(
        [run(0.12, grown=-3.0), run(0.13, grown=4.0)],
        [run(0.5, grown=40.0), run(0.5, grown=41.0, failed=2)],
    )
    assert [policy.growing for policy in found.policies] == [False, True]
    assert found.policies[1].errors == Counter(timeout=2)
    text = printed(found)
    assert "2 requests of jsq failed: timeout" in text
    assert "Jobs still grew with jsq (↑)" in text
    assert "20 of 22" in text


def test_the_files_have_a_row_for_each_policy_and_numbers_alone(tmp_path: Path) -> None:
    written = write_live(comparison([run(0.12), run(0.13)], [run(0.9), run(1.0)]), tmp_path)
    assert {path.name for path in written} == {"live.png", "live.svg", "live.csv"}
    with (tmp_path / "live.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["policy"] for row in rows] == ["gmsr", "jsq"]
    assert float(rows[1]["jobs_broad-2"]) == 25.0
    assert float(rows[0]["mean_latency_ci95_low"]) < 0.125
    svg = (tmp_path / "live.svg").read_text()
    assert "jsq" in svg
    assert "brisk-1" in svg


def test_the_frame_has_one_row_for_each_policy() -> None:
    frame = comparison([run(0.12), run(0.13)], [run(0.9), run(1.0)]).to_frame()
    assert frame.loc["jsq", "ratio_to_bound"] == pytest.approx(0.95 / BEST)


def test_the_verb_ends_with_1_on_a_slow_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = comparison([run(0.6, machine=SLOW), run(0.7, machine=SLOW)])
    monkeypatch.setattr("isocline.demo.run.demo", lambda *_: slow)
    done = CliRunner().invoke(main, ["demo", "--json", "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert json.loads(done.stdout)["status"] == "too slow"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "policies"),
    [
        (["--policies", "gmsr,jsq"], ("gmsr", "jsq")),
        (["--policy", "power_of_d:d=3,ties=first", "--policy", "jsq"],
         ("power_of_d:d=3,ties=first", "jsq")),
    ],
)  # fmt: skip
def test_policies_are_named_together_or_one_by_one(
    given: list[str], policies: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def demo(*arguments: object) -> LiveComparison:
        asked.append(arguments[3])
        return comparison([run(0.12), run(0.13)])

    monkeypatch.setattr("isocline.demo.run.demo", demo)
    assert CliRunner().invoke(main, ["demo", *given]).exit_code == 0
    assert asked == [policies]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--load", "1.2"], "load is 1.2; give a share of the capacity, between 0 and 1"),
        (["--speed", "-1"], "'--speed': '-1' is out of range; give a finite number above 0"),
        (["--seconds", "0.01"], "requests in each window of 0.0025 s are too few"),
        (["--policies", "gmsr,nonsense"], "unknown policy 'nonsense'"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_starts(
    given: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subprocess.Popen", None)
    done = CliRunner().invoke(main, ["demo", *given])
    assert done.exit_code == 2
    assert says in done.stderr


@pytest.mark.parametrize("name", FLEETS)
def test_speed_scales_time_and_leaves_workloads(name: str) -> None:
    slow, fast = fleet(name, 0.7), fleet(name, 0.7, speed=3.0)
    assert fast.rates == pytest.approx(3.0 * slow.rates)
    assert fast.rates.sum() == pytest.approx(0.7 * fast.capacities.sum())
    assert fluid_optimum(fast).workloads == pytest.approx(fluid_optimum(slow).workloads, rel=1e-6)


def test_an_unknown_fleet_is_refused() -> None:
    with pytest.raises(UsageError, match="fleet 'z' is unknown; known: a, c, mixed"):
        fleet("z", 0.5)


def test_runs_begin_with_what_the_optimum_holds() -> None:
    system = fleet("a", 0.8)
    schedule = poisson(system, 2.0, seed=4)
    assert int((schedule.times == 0.0).sum()) == 129  # total_jobs is 129.5
    assert schedule.times.size - 129 == pytest.approx(2.0 * 544.0, abs=5 * 33)  # 5 deviations
    assert (np.diff(schedule.times) >= 0).all()


def test_a_process_that_is_kept_from_work_is_seen_to_be_late() -> None:
    async def watched() -> tuple[float, float]:
        clock = LoopClock()
        lateness = Lateness(clock)
        await asyncio.sleep(0.2)
        calm = lateness.late
        clock.stand_still(0.3)
        await asyncio.sleep(0.05)
        lateness.close()
        return calm, lateness.late

    calm, late = run_virtually(watched())
    assert calm == pytest.approx(0.0, abs=1e-9)
    assert 0.29 - 1e-9 <= late <= 0.3  # from when it was due to ring, once in 0.01 s


def test_one_round_is_too_few_for_an_interval() -> None:
    with pytest.raises(UsageError, match="2 or more"):
        Timing(rounds=1)
    assert replace(Timing(), rounds=2).rounds == 2


class Staged:
    """In place of processes: runs as told, in turn."""

    def __init__(self, *runs: Run) -> None:
        self.system = fleet("c", 0.8)
        self.left = list(runs)
        self.schedules: list[Schedule] = []

    def run(self, _contestant: Contestant, schedule: Schedule, _warmup: float) -> Run:
        self.schedules.append(schedule)
        return self.left.pop(0)


def test_a_run_in_which_the_machine_stood_still_is_made_again() -> None:
    slow = run(0.5, machine=SLOW)
    stage = Staged(run(0.12), slow, run(0.13))
    listed = [Contestant("gmsr", "http://x")]
    (runs,) = measure(cast("Stage", stage), listed, Timing(rounds=2), lambda *_: None)
    assert [one.tally.latency.mean for one in runs] == pytest.approx([0.12, 0.13])
    assert [one.repeated for one in runs] == [0, 1]
    first, second, third = (schedule.times for schedule in stage.schedules)
    assert second is third  # the same arrivals again
    assert not np.array_equal(first, second)


def test_a_machine_that_is_always_slow_is_soon_told() -> None:
    stage = Staged(*[run(0.5, machine=SLOW)] * 3)
    listed = [Contestant("gmsr", "http://x")]
    (runs,) = measure(cast("Stage", stage), listed, Timing(rounds=2), lambda *_: None)
    assert [one.repeated for one in runs] == [1, 0]
    assert stage.left == []
