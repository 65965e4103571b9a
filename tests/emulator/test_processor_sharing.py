"""Processor sharing in virtual time: exact by hand, against a naive one, and in law."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.emulator.engine import Rates
from isocline.emulator.sharing import Job, ProcessorSharing
from isocline.model.curves import HyperbolicCurve, KneeCurve, ServersCurve


def rate(jobs: int) -> float:
    return 10.0 * jobs / (jobs + 3.0)


@pytest.mark.parametrize("n", [1, 2, 17])
def test_equal_jobs_that_come_together_take_n_times_their_size_over_the_rate(n: int) -> None:
    server = ProcessorSharing(rate)
    server.advance(2.0)
    jobs = [Job(0.7) for _ in range(n)]
    for job in jobs:
        server.admit(job)
    expected = n * 0.7 / rate(n)
    assert server.next_end() == pytest.approx(2.0 + expected)
    assert server.advance(2.0 + expected * (1.0 - 1e-9)) == []
    assert server.advance(2.0 + expected * (1.0 + 1e-9)) == jobs
    assert (server.running, server.next_end()) == (0, math.inf)


def naive(arrivals: list[tuple[float, float]], most: int) -> list[float]:
    """When each job ends: the remaining work of all is lowered from event to event."""
    left: dict[int, float] = {}
    queue: list[int] = []
    ends = [math.nan] * len(arrivals)
    now, coming = 0.0, 0
    while coming < len(arrivals) or left:
        speed = rate(len(left)) / len(left) if left else 0.0
        end = now + min(left.values()) / speed if left else math.inf
        come = arrivals[coming][0] if coming < len(arrivals) else math.inf
        after = min(end, come)
        for job in left:
            left[job] -= (after - now) * speed
        now = after
        if end <= come:
            job = min(left, key=left.__getitem__)
            del left[job]
            ends[job] = now
        else:
            queue.append(coming)
            coming += 1
        while queue and len(left) < most:
            first = queue.pop(0)
            left[first] = arrivals[first][1]
    return ends


gaps = st.floats(0.0, 2.0)
works = st.floats(0.01, 5.0)


@given(st.lists(st.tuples(gaps, works), min_size=1, max_size=12), st.integers(1, 5))
def test_it_ends_jobs_when_a_naive_one_does(rows: list[tuple[float, float]], most: int) -> None:
    times = np.cumsum([gap for gap, _ in rows]).tolist()
    arrivals = [(time, work) for time, (_, work) in zip(times, rows, strict=True)]
    server = ProcessorSharing(rate, most)
    jobs = [Job(work) for _, work in arrivals]
    ends: dict[Job, float] = {}

    def run_to(when: float) -> None:
        while (end := server.next_end()) <= when:
            ends.update(dict.fromkeys(server.advance(end), end))

    for (time, _), job in zip(arrivals, jobs, strict=True):
        run_to(time)
        server.advance(time)
        server.admit(job)
        assert server.running <= most
        assert server.waiting == 0 or server.running == most
    run_to(1e9)
    assert [ends[job] for job in jobs] == pytest.approx(naive(arrivals, most), abs=1e-6)


@given(st.lists(st.tuples(gaps, works), min_size=2, max_size=12), st.floats(0.0, 30.0))
def test_a_late_look_finds_the_same(rows: list[tuple[float, float]], late: float) -> None:
    """The order and the state do not depend on how often one looks."""
    often, once = ProcessorSharing(rate, 3), ProcessorSharing(rate, 3)
    mine = [Job(work) for _, work in rows]
    other = [Job(work) for _, work in rows]
    for a, b in zip(mine, other, strict=True):
        often.admit(a)
        once.admit(b)
    ended = [mine.index(job) for step in range(1, 51) for job in often.advance(late * step / 50)]
    assert ended == [other.index(job) for job in once.advance(late)]
    assert often.attained == pytest.approx(once.attained, rel=1e-9, abs=1e-12)


def test_who_leaves_makes_the_others_faster_and_is_not_ended() -> None:
    server = ProcessorSharing(lambda _: 1.0)
    stays, leaves, waits = Job(2.0), Job(2.0), Job(2.0)
    server.admit(stays)
    server.admit(leaves)
    server.advance(1.0)  # each has attained 0.5
    server.withdraw(leaves)
    server.withdraw(leaves)  # once more changes nothing
    assert server.running == 1
    assert server.advance(2.4) == []
    assert server.advance(2.5) == [stays]
    server.admit(waits)
    assert server.next_end() == pytest.approx(4.5)


def test_who_leaves_the_queue_is_never_served() -> None:
    server = ProcessorSharing(lambda _: 1.0, most=1)
    first, second, third = Job(1.0), Job(1.0), Job(1.0)
    for job in (first, second, third):
        server.admit(job)
    server.withdraw(second)
    assert (server.running, server.waiting) == (1, 1)
    assert server.advance(5.0) == [first, third]
    assert not math.isfinite(second.start)


def test_a_change_of_rates_counts_from_now_on_and_no_rate_is_a_standstill() -> None:
    server = ProcessorSharing(lambda _: 1.0)
    job = Job(2.0)
    server.admit(job)
    server.advance(1.0)
    server.change(lambda _: 0.0)
    assert server.next_end() == math.inf
    assert server.advance(10.0) == []
    server.change(lambda _: 0.5)
    assert server.next_end() == pytest.approx(12.0)


def mean_sojourn(
    server: ProcessorSharing, arrival_rate: float, sizes: np.ndarray, seed: int
) -> tuple[float, float]:
    """Mean time in the system and half of its 95 % interval, by 30 batches."""
    rng = np.random.default_rng(seed)
    came: dict[Job, float] = {}
    sojourns: list[float] = []

    def run_to(when: float) -> None:
        while (end := server.next_end()) <= when:
            sojourns.extend(end - came.pop(job) for job in server.advance(end))

    now = 0.0
    for gap, size in zip(rng.exponential(1.0 / arrival_rate, sizes.size), sizes, strict=True):
        now += gap
        run_to(now)
        server.advance(now)
        job = Job(float(size))
        came[job] = now
        server.admit(job)
    run_to(1e9)
    batches = np.array(sojourns[: sizes.size // 30 * 30]).reshape(30, -1).mean(axis=1)
    return float(batches.mean()), 2.05 * float(batches.std(ddof=1)) / math.sqrt(30)


@pytest.mark.parametrize("law", ["exponential", "deterministic", "lognormal"])
def test_one_server_at_a_constant_rate_has_the_mean_of_m_g_1_ps(law: str) -> None:
    """1 / (mu - lambda), whatever the sizes (Kleinrock 1976, section 4.4)."""
    rng = np.random.default_rng(3)
    n = 60_000
    laws = {
        "exponential": rng.exponential(1.0, n),
        "deterministic": np.ones(n),
        "lognormal": rng.lognormal(-0.5, 1.0, n),
    }
    server = ProcessorSharing(Rates(ServersCurve(5.0, 1)).at)
    mean, half = mean_sojourn(server, 3.0, laws[law], seed=4)
    assert half < 0.05
    assert mean == pytest.approx(1.0 / (5.0 - 3.0), abs=1.5 * half)


def test_rates_are_those_of_the_curve_however_far_one_looks() -> None:
    for curve in (HyperbolicCurve(40.0, 12.0), KneeCurve(40.0, 12.0, 3.0)):
        rates = Rates(curve)
        for jobs in (0, 1, 63, 64, 65, 5000):
            assert rates.at(jobs) == float(curve.rate(jobs))
