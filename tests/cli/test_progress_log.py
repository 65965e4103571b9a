"""Lines of progress where stderr is no terminal: when, and what they say."""

import itertools
from dataclasses import replace

import pytest

from isocline.cli._progress_log import ProgressLog
from isocline.dispatch.coordinator.run_statistics import RunStatistics

STATISTICS = RunStatistics(
    elapsed=0.0,
    waiting=0,
    running=0,
    finished=0,
    resumed=0,
    failed=0,
    cancelled=0,
    levels={"local": 0, "rack": 0, "remote": 0},
    attempts={},
    nodes=1,
    unwritten=0,
)


def lines(total: int | None, rate: float, seconds: int) -> list[tuple[float, str]]:
    """Lines of a run at so many tasks per second, with when each was written, s."""
    now, written = [0.0], list[tuple[float, str]]()
    log = ProgressLog(total, lambda line, _: written.append((now[0], line)), lambda: now[0])
    for quarter in range(4 * seconds + 1):
        now[0] = quarter / 4
        ended = int(rate * now[0]) if total is None else min(int(rate * now[0]), total)
        log.watch(
            replace(
                STATISTICS,
                elapsed=now[0],
                finished=ended,
                levels={"local": ended, "rack": 0, "remote": 0},
            )
        )
    return written


def test_each_tenth_has_a_line() -> None:
    found = lines(1000, 10.0, 110)
    assert [when for when, _ in found] == pytest.approx([10.0 * i for i in range(1, 10)])
    assert found[3][1] == "400 of 1,000 tasks (40 %), 10.0/s, 100 % local, about 60 s left"


def test_a_short_run_has_none_and_a_quick_one_few() -> None:
    assert lines(1000, 1000.0, 4) == []
    times = [when for when, _ in lines(1000, 50.0, 20)]
    assert all(later - earlier >= 5.0 for earlier, later in itertools.pairwise([0.0, *times]))
    assert 2 <= len(times) <= 4


def test_a_long_run_or_one_without_an_end_has_one_each_minute() -> None:
    assert [when for when, _ in lines(10_000, 0.5, 600)] == [60.0 * i for i in range(1, 11)]
    found = lines(None, 5.0, 200)
    assert [when for when, _ in found] == [60.0, 120.0, 180.0]
    assert found[0][1] == "300 tasks, 5.00/s, 100 % local"


@pytest.mark.parametrize(("rate", "left"), [(1.0, "about 15 min left"), (0.1, "about 2.5 h left")])
def test_the_time_left_is_in_a_fitting_unit(rate: float, left: str) -> None:
    assert lines(1000, rate, int(120 / rate))[-1][1].endswith(left)


def test_failures_and_what_was_resumed_count() -> None:
    written: list[str] = []
    now = iter([0.0, 100.0])
    log = ProgressLog(100, lambda line, _: written.append(line), lambda: next(now))
    log.watch(replace(STATISTICS, elapsed=10.0, finished=10, resumed=40, failed=10))
    assert written[0].endswith("10 failed, about 20 s left")
