"""Core of a plane: attempts in, prices out, by theory."""

from pathlib import Path

import numpy as np
import pytest

from isocline.planes.envoy.core import LIMIT, SERVED, End, PlaneCore
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
        core.ended(0, backend, now, sent.pop(0), SERVED)
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
    core.ended(0, 1, 3.0, 0.0, End("left"))
    assert core.workloads == [0, 2]
    core.all_lost(4.0)
    assert core.workloads == [0, 0]
    core.ended(0, 1, 5.0, 1.0, SERVED)  # it began before
    assert core.workloads == [0, 0]


def test_a_report_counts_what_others_have_sent(tmp_path: Path) -> None:
    core = PlaneCore(settings(tmp_path, content()))
    core.began(0, 1.0)
    core.began(0, 2.0)
    core.reported(0, 5, 4.0, measured=1.5)  # one of them ours
    assert core.corrections == [4, 0]
    core.tick(1000.0)  # it is too old
    assert core.corrections == [0, 0]


def test_jobs_of_others_return_to_their_mean_in_the_time_that_jobs_stay(tmp_path: Path) -> None:
    core = PlaneCore(settings(tmp_path, content()))
    for second in range(16):
        core.began(0, float(second))
        core.ended(0, 0, second + 1.0, float(second), SERVED)
        core.reported(0, 8 if second == 15 else 0, second + 1.0, measured=second + 1.0)
    for age, jobs in ((0.0, 8), (1.0, 3), (2.0, 1)):  # 0.5 + 7.5 exp(-age)
        core.look(16.0 + age)
        assert core.corrections == [jobs, 0]
        assert core.of_others == [jobs, 0]


def test_a_new_core_takes_over_by_name(tmp_path: Path) -> None:
    core = PlaneCore(settings(tmp_path, content()))
    core.began(1, 1.0)
    turned = content([backend("slow", 9002), backend("new", 9003), backend("fast", 9001)])
    after = PlaneCore(settings(tmp_path, turned), core.learned())
    after.take_over(core, 2.0)
    assert after.workloads == [1, 0, 0]


MANY = [backend(name, port) for port, name in enumerate(("fast", "slow", "third"), 9001)]
BROKEN, OWN_FAULT = End("failed", why="the connection broke"), End("refused", 500)


def asked(core: PlaneCore, backend: int, end: End, now: float) -> None:
    """One attempt that ends in this way after a hundredth of a second."""
    if end.begun:
        core.began(backend, now - STEP)
    core.ended(0, backend, now, now - STEP, end)


@pytest.mark.parametrize(
    ("end", "begun", "why"),
    [
        (BROKEN, True, "3 failures in a row, the last one: the connection broke"),
        (BROKEN, False, "3 failures in a row"),
        (End("failed", 503, "status 503"), True, "the last one: status 503"),
        (End("too slow", why="late"), True, "the last one: late"),
    ],
)
def test_a_backend_that_fails_is_left_out_for_a_time(
    tmp_path: Path, end: End, begun: bool, why: str
) -> None:
    system = content(MANY, ejection={"failures": 3, "first": 5.0})
    core = PlaneCore(settings(tmp_path, system))
    for now in (1.0, 2.0, 3.0):
        assert core.allowed.all()
        asked(core, 1, end._replace(begun=begun), now)
    assert core.allowed.tolist() == [True, False, True]
    assert core.state(1) == {"up": True, "draining": False, "ejected": True}
    (notice,) = core.take_notices()
    assert (notice.backend, notice.event) == (1, "backend.ejected")
    assert why in notice.text
    assert core.workloads == [0, 0, 0]
    assert [it.event for it in core.tick(8.5)] == ["backend.readmitted"]
    assert core.allowed.all()


def test_one_that_refuses_what_its_peers_accept_is_left_out(tmp_path: Path) -> None:
    """By 500s; until then each counts as a job, as it would look idle."""
    core = PlaneCore(settings(tmp_path, content(MANY)))
    for number in range(20):
        now = float(number + 1)
        asked(core, 0, SERVED, now)
        asked(core, 2, SERVED, now)
        asked(core, 1, OWN_FAULT, now)
        assert number > 0 or core.corrections[1] == 1
    assert core.allowed.tolist() == [True, False, True]
    assert "it refused" in core.take_notices()[0].text
    assert core.of_others == [0, 0, 0]


def test_clients_that_leave_and_bad_requests_leave_no_backend_out(tmp_path: Path) -> None:
    core = PlaneCore(settings(tmp_path, content(MANY)))
    for number in range(60):
        for b in range(3):
            asked(core, b, End("left") if number % 2 else End("refused", 404), float(number + 1))
    assert core.allowed.all()


def test_a_frontend_keeps_its_share_and_one_at_least(tmp_path: Path) -> None:
    core = PlaneCore(settings(tmp_path, content(MANY, ejection={"failures": 1, "floor": 0.0})))
    for b in range(3):
        asked(core, b, BROKEN, 1.0)
    assert core.allowed.tolist() == [False, False, True]
    core.checked(2, 2.0, up=False)  # those left out are better than none
    assert core.allowed.tolist()[:2] in ([True, False], [False, True])


def test_where_envoy_ejects_by_itself_the_core_does_not(tmp_path: Path) -> None:
    core = PlaneCore(settings(tmp_path, content(MANY, ejection={"failures": 1})), ejects=False)
    asked(core, 0, BROKEN, 1.0)
    assert core.allowed.all()


def test_a_new_core_takes_over_who_is_left_out(tmp_path: Path) -> None:
    core = PlaneCore(settings(tmp_path, content(MANY, ejection={"failures": 1})))
    asked(core, 0, BROKEN, 1.0)
    after = PlaneCore(settings(tmp_path, content(MANY[::-1])))
    after.take_over(core, 2.0)
    assert after.allowed.tolist() == [True, True, False]


def test_a_frontend_without_a_backend_that_is_up_is_not_ready(tmp_path: Path) -> None:
    frontends = [
        {"name": "a", "rate": 1.0, "backends": ["fast"]},
        {"name": "b", "rate": 1.0, "backends": ["*"]},
    ]
    core = PlaneCore(settings(tmp_path, content(frontends=frontends)))
    assert core.not_ready == []
    core.checked(0, 1.0, up=False)
    assert core.not_ready == ["frontend a: none of its backends is up"]
    core.checked(0, 2.0, up=True)
    assert core.not_ready == []
