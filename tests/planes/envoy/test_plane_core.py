"""Core of a plane: attempts in, prices out, by theory."""

from pathlib import Path

import numpy as np
import pytest

from isocline.errors import PolicyError
from isocline.planes.envoy.core import LIMIT, PlaneCore, require_prices
from tests.planes.envoy.systems import backend, content, settings

HOLDING = 5  # jobs
STEP = 0.01  # s


def curve(peak: float, half: float, jobs: float) -> float:
    return peak * jobs / (jobs + half)


def held(core: PlaneCore, backend: int, jobs: int, seconds: float, start: float = 0.0) -> float:
    """Keep so many attempts at a backend by one frontend: one ends, another begins."""
    sent = [start] * jobs
    now = start
    for _ in range(jobs):
        core.began(backend, now)
        core.look(now)
    while now < start + seconds:
        now += STEP
        core.ended(0, backend, now, sent.pop(0), "served")
        core.began(backend, now)
        core.look(now)
        sent.append(now)
    return now


def test_prices_of_gmsr_are_one_over_the_marginal_rate(tmp_path: Path) -> None:
    core = PlaneCore(settings(tmp_path, content(policy="gmsr")))
    found = core.prices()
    assert found.shape == (2, LIMIT + 1)
    jobs = np.arange(LIMIT + 1.0)
    np.testing.assert_allclose(found[0], (jobs + 4.0) ** 2 / (200.0 * 4.0))
    np.testing.assert_allclose(found[1], (jobs + 2.0) ** 2 / (40.0 * 2.0))


def test_far_from_rest_prices_are_the_secant_from_there(tmp_path: Path) -> None:
    """By a flow that has rested at `HOLDING` for long: (N - m) / (l(N) - l(m))."""
    core = PlaneCore(settings(tmp_path, content()))
    held(core, 0, HOLDING, 30.0)
    price = core.prices()[0]
    rest = curve(200.0, 4.0, HOLDING)
    for jobs in (15, 30, 50):
        at = jobs + 0.5
        expected = (at - HOLDING) / (curve(200.0, 4.0, at) - rest)
        # Between the workloads before and after an arrival, curves are straight.
        assert price[jobs] == pytest.approx(expected, rel=0.15)
    tangent = (HOLDING + 4.0) ** 2 / (200.0 * 4.0)
    assert price[HOLDING] == pytest.approx(tangent, rel=0.25)


def test_a_curve_is_learned_of_attempts(tmp_path: Path) -> None:
    """In a closed loop of n jobs that each take n / rate, completions come at the rate."""
    system = content([{"name": "x", "url": "http://127.0.0.1:9001"}], learn={})
    core = PlaneCore(settings(tmp_path, system))
    now = 0.0
    for jobs in (1, 2, 4, 8):
        now = held(core, 0, jobs, 8.0, now)
        for _ in range(jobs):
            core.all_lost(now)
        core.tick(now)
    learned = core.learned()
    assert learned is not None
    rates = dict(zip(learned.backends[0].levels, learned.backends[0].done, strict=True))
    seconds = dict(zip(learned.backends[0].levels, learned.backends[0].seconds, strict=True))
    for jobs in (2, 4, 8):
        assert rates[jobs] / seconds[jobs] == pytest.approx(1.0 / STEP, rel=0.1)


def test_attempts_are_counted_and_lost_with_envoy(tmp_path: Path) -> None:
    core = PlaneCore(settings(tmp_path, content()))
    for now in range(3):
        core.began(1, float(now))
    core.ended(0, 1, 3.0, 0.0, "unfinished")
    assert core.workloads == [0, 2]
    core.all_lost(4.0)
    assert core.workloads == [0, 0]
    core.ended(0, 1, 5.0, 1.0, "served")  # it began before
    assert core.workloads == [0, 0]


def test_a_report_counts_what_others_have_sent(tmp_path: Path) -> None:
    core = PlaneCore(settings(tmp_path, content()))
    core.began(0, 1.0)
    core.began(0, 2.0)
    core.reported(0, 5, 4.0, measured=1.5)  # one of them ours
    assert core.corrections == [4, 0]
    core.tick(1000.0)  # it is too old
    assert core.corrections == [0, 0]


def test_a_new_core_takes_over_by_name(tmp_path: Path) -> None:
    core = PlaneCore(settings(tmp_path, content()))
    core.began(1, 1.0)
    turned = content([backend("slow", 9002), backend("new", 9003), backend("fast", 9001)])
    after = PlaneCore(settings(tmp_path, turned), core.learned())
    after.take_over(core, 2.0)
    assert after.workloads == [1, 0, 0]


def test_a_policy_that_draws_has_no_prices() -> None:
    with pytest.raises(PolicyError, match="does not choose by a price"):
        require_prices("random")
    with pytest.raises(PolicyError, match="a plane draws ties"):
        require_prices("gmsr:ties=first")
    require_prices("least_expected_latency")
