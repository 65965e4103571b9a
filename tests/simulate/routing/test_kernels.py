"""Compiled kernels against plain twins."""

import math
from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, kstest

from isocline.compilation.interpretable import SMALL, interpreted
from isocline.model.curves import Curve, HyperbolicCurve
from isocline.policies.parse import parse
from isocline.randomness.draws import below, bits, stream, uniform
from isocline.randomness.exponential import AREA, EDGE, HEIGHT, TAIL, exponential
from isocline.simulate.common.kernels import counters, latency_histogram
from isocline.simulate.common.kernels.alias_tables import Alias, alias, column_of
from isocline.simulate.common.kernels.tournament import leader, schedule, tournament
from isocline.simulate.common.replication import Run
from isocline.simulate.routing.engines import (
    FIRST_WORKLOADS,
    ChainEngine,
    Engine,
    ShareEngine,
    TrackEngine,
)
from isocline.simulate.routing.kernels import candidates, lookahead
from isocline.simulate.routing.kernels import job_arena as arenas
from isocline.simulate.routing.kernels.blocks import measured
from isocline.simulate.routing.kernels.processor_sharing import Arriving
from isocline.simulate.routing.kernels.uniformised import SAMPLED_EVERY
from isocline.simulate.routing.prepare import Discipline, prepare
from isocline.simulate.routing.replicate import Replication, replicate
from isocline.simulate.routing.run_settings import RunSettings
from tests.builders import fleet, mixed, station
from tests.naive import sharing, xoroshiro


def test_draws_equal_the_authors_generator() -> None:
    rng = stream(7, 1)
    twin = xoroshiro(rng.tolist())
    assert [int(bits(rng)) for _ in range(100)] == [next(twin) for _ in range(100)]


def test_streams_of_different_keys_differ_and_of_one_key_agree() -> None:
    assert np.array_equal(stream(1, 2, 3), stream(1, 2, 3))
    assert not np.array_equal(stream(1, 2, 3), stream(1, 3, 2))


def test_uniform_and_below_stay_in_range_and_are_even() -> None:
    rng = stream(3)
    values = np.array([uniform(rng) for _ in range(20_000)])
    assert 0.0 <= values.min() <= values.max() < 1.0
    counts = np.bincount([below(rng, 7) for _ in range(70_000)], minlength=7)
    assert np.sum((counts - 10_000.0) ** 2) / 10_000.0 < chi2.ppf(0.9999, 6)


def test_the_ziggurat_has_equal_layers_and_draws_exponential_numbers() -> None:
    assert math.isclose(AREA, (TAIL + 1.0) * math.exp(-TAIL), rel_tol=1e-12)
    areas = EDGE[1:-1] * np.diff(HEIGHT[1:])
    assert np.allclose(areas, AREA, rtol=1e-9)
    state = stream(13).tolist()
    sample = np.empty(200_000)
    for i in range(sample.size):
        *state, sample[i] = exponential(np.uint64(state[0]), np.uint64(state[1]))
    assert kstest(sample, "expon").pvalue > 1e-3
    # The tail, one draw in 2200, on its own: beyond TAIL the law starts afresh.
    assert kstest(sample[sample > TAIL] - TAIL, "expon").pvalue > 1e-3


def test_alias_draws_follow_their_weights() -> None:
    weights = np.array([0.0, 1.0, 5.0, 0.5, 3.5])
    table, rng = alias(weights), stream(11)
    counts = np.bincount([column_of(table, bits(rng) >> 24) for _ in range(100_000)], minlength=5)
    assert counts[0] == 0
    expected = weights[1:] * 10_000.0
    assert np.sum((counts[1:] - expected) ** 2 / expected) < chi2.ppf(0.9999, 3)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=40))
def test_alias_tables_hold_exactly_the_weights(weights: list[float]) -> None:
    given_weights = np.array(weights)
    table = alias(given_weights)
    if table.other.size == 0:
        assert np.ptp(given_weights) == 0
        return
    share = table.threshold / 2.0**40
    mass = share + np.bincount(table.other, 1.0 - share, minlength=share.size)
    # Rounding to 2^-40 of a column, and of sums of at most 40 numbers.
    assert np.allclose(mass / mass.size, given_weights / given_weights.sum(), atol=1e-10)


def test_alias_tables_are_the_same_interpreted_and_compiled() -> None:
    size = SMALL + 1  # compiled, but where all is interpreted
    weights = np.random.default_rng(size).pareto(1.0, size)
    table = alias(weights)
    with interpreted():
        by_python = alias(weights)
    assert np.array_equal(table.threshold, by_python.threshold)
    assert np.array_equal(table.other, by_python.other)
    share = table.threshold / 2.0**40
    mass = share + np.bincount(table.other, 1.0 - share, minlength=size)
    assert np.allclose(mass / size, weights / weights.sum(), atol=1e-9)


def test_histogram_quantiles_are_within_a_bucket_of_the_exact_ones() -> None:
    sample = np.random.default_rng(5).lognormal(0.0, 2.0, 50_000)
    histogram = np.zeros(latency_histogram.BUCKETS, np.int32)
    for value in sample:
        latency_histogram.record(histogram, value)
    q = np.array([0.01, 0.5, 0.95, 0.99])
    # A bucket is 2^-8 of a factor 2 wide, at most 0.4 %; neighbouring order statistics add a bit.
    measured = latency_histogram.quantiles(histogram, q)
    assert np.allclose(measured, np.quantile(sample, q), rtol=0.005)


def test_latencies_outside_the_range_go_to_its_ends() -> None:
    histogram = np.zeros(latency_histogram.BUCKETS, np.int32)
    for value in (0.0, 1e-40, 1.0, 1e40, np.inf):
        latency_histogram.record(histogram, value)
    assert histogram[0] == 2
    assert histogram[-1] == 2


def test_an_emptied_histogram_gives_what_it_held_and_is_empty() -> None:
    histogram = np.zeros(latency_histogram.BUCKETS, np.int32)
    for value in (1.0, 3.0, 3.0):
        latency_histogram.record(histogram, value)
    whole = histogram.copy()
    first, counts = latency_histogram.emptied(histogram)
    assert counts[0] == 1
    assert counts[-1] == 2
    assert np.array_equal(whole[first : first + counts.size], counts)
    assert whole.sum() == counts.sum() == 3
    assert not histogram.any()
    assert latency_histogram.emptied(histogram)[1].size == 0


def test_no_quantile_is_made_up_outside_the_range() -> None:
    histogram = np.zeros(latency_histogram.BUCKETS, np.int32)
    for value in (1e-40, 1.0, 1.0, 1e40):
        latency_histogram.record(histogram, value)
    low, middle, high = latency_histogram.quantiles(histogram, [0.1, 0.5, 0.9])
    assert np.isnan(low)
    assert middle == pytest.approx(1.0, rel=0.005)
    assert np.isnan(high)
    assert np.isnan(latency_histogram.quantiles(np.zeros(latency_histogram.BUCKETS, np.int32), 0.5))


@pytest.mark.parametrize("latencies", [(0.5, 3.0, 3.1, 70.0), (1e-40, 1.0, 1.0, 1e40), ()])
def test_counts_without_the_empty_ends_say_the_same(latencies: tuple[float, ...]) -> None:
    histogram = np.zeros(latency_histogram.BUCKETS, np.int32)
    for value in latencies:
        latency_histogram.record(histogram, value)
    whole = histogram.copy()
    first, counts = latency_histogram.emptied(histogram)
    q = [0.0, 0.1, 0.5, 0.9, 1.0]
    quantiles = latency_histogram.quantiles
    assert np.array_equal(quantiles(whole, q), quantiles(counts, q, first), equal_nan=True)
    for limit in (1e-50, 0.5, 3.05, 1e50):
        shares = [
            latency_histogram.share_above(whole, limit),
            latency_histogram.share_above(counts, limit, first),
        ]
        assert shares[0] == pytest.approx(shares[1], nan_ok=True)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9), st.lists(st.tuples(st.integers(0, 8), st.floats(0, 100)), max_size=60))
def test_the_tournament_knows_the_least_due_time(
    backends: int, changes: list[tuple[int, float]]
) -> None:
    race = tournament(backends)
    for backend, due in changes:
        schedule(race, backend % backends, due)
        assert race.due[leader(race)] == race.due.min()


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 4), st.lists(st.integers(0, 3), min_size=1, max_size=120))
def test_the_arena_is_a_bag_in_service_and_a_queue_behind_it(
    serving: int, moves: list[int]
) -> None:
    jobs = arenas.arena(2)
    serves: list[int] = []
    waits: deque[int] = deque()
    for number, action in enumerate(moves):
        count = len(serves) + len(waits)
        if action > 0 or count == 0:
            arenas.add(jobs, 1, count, serving, float(number), number)
            (serves if len(serves) < serving else waits).append(number)
            while not arenas.reserve(jobs, 1, count + 1, serving):
                jobs = arenas.enlarged(jobs)
        else:
            index = number % len(serves)
            arenas.remove(jobs, 1, index, count, serving)
            serves[index] = waits.popleft() if waits else serves[-1]
            if count <= serving:
                serves.pop()
        held = [
            int(jobs.edge[arenas.place(jobs, 1, i, serving)])
            for i in range(len(serves) + len(waits))
        ]
        assert held == [*serves, *waits]


def test_the_jump_kernel_equals_a_plain_loop_draw_for_draw() -> None:
    prepared = prepare(mixed())
    engine = ChainEngine(
        Run(prepared, parse("gmsr:ties=first"), RunSettings(50.0, percentiles=False))
    )
    system, view = engine.system, engine.view
    twin = xoroshiro(engine.streams.events.tolist())
    ticks = round(50.0 * system.speed)
    workload, area, arrivals, sampled, job_rate = [0, 0], 0, 0, 0, 0.0

    def column(table: Alias, x: int) -> int:
        i, coin = divmod((x & (2**40 - 1)) * int(table.columns), 2**40)
        return i if table.other.size == 0 or coin < table.threshold[i] else int(table.other[i])

    for tick in range(1, ticks + 1):
        event = next(twin)
        if event >> 40 < system.arriving:
            allowed = [0, 1] if column(system.sources, event) == 0 else [0]
            price = [view.table[view.row[b], workload[b]] for b in allowed]
            workload[allowed[int(np.argmin(price))]] += 1
            arrivals += 1
        else:
            b = column(system.sinks, event)
            thinning = (next(twin) >> 11) * 2.0**-53
            row = view.row[b]
            workload[b] -= thinning * system.peak[row] < system.rate[row, workload[b]]
        area += sum(workload)
        if tick % SAMPLED_EVERY == 0 or tick == ticks:
            rates = [system.rate[view.row[b], workload[b]] for b in (0, 1)]
            weighed = ((tick - 1) % SAMPLED_EVERY + 1) * sum(workload)
            sampled += weighed
            job_rate += weighed * sum(rates)
    engine.advance(50.0)
    assert engine.view.workload.tolist() == workload
    assert engine.count[counters.AREA] == area
    assert engine.count[counters.ARRIVALS] == arrivals
    assert engine.count[counters.SAMPLED] == sampled
    assert engine.gauge[counters.JOB_RATE] == pytest.approx(job_rate, rel=1e-12)


@pytest.mark.parametrize("kind", [ChainEngine, TrackEngine, ShareEngine])
def test_kernels_note_blocks_as_the_interpreter_would(kind: type[Engine]) -> None:
    run = Run(
        prepare(fleet([HyperbolicCurve(40.0, 60.0)] * 2, [0.95 * 80.0])),
        parse("power_of_d:d=2"),
        RunSettings(60.0, warmup=15.0, percentiles=False),
    )
    inside, outside = kind(run), kind(run)
    noted, expected = (measured(run.settings.ends, 2, True) for _ in range(2))
    for last in (1, 7, noted.end.size):
        inside.advance_blocks(noted, last)
        Engine.advance_blocks(outside, expected, last)
        for one, other in zip(noted, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    assert inside.size > FIRST_WORKLOADS  # tables grew within a block


@pytest.mark.parametrize(
    ("curve", "discipline"),
    [(HyperbolicCurve(3.0, 2.0), "ps"), (station(0.8, 3), "ps"), (station(0.8, 3), "fcfs")],
    ids=["hyperbolic ps", "servers ps", "servers fcfs"],
)
def test_the_sharing_kernel_equals_a_plain_event_loop_job_by_job(
    curve: Curve, discipline: Discipline
) -> None:
    rng = np.random.default_rng(9)
    time = np.cumsum(rng.exponential(0.5, 400))
    size = rng.lognormal(0.0, 1.0, 400)
    prepared = prepare(fleet([curve], [2.0]), discipline)
    arriving = Arriving(time, np.zeros(400, np.int32), size)
    engine = ShareEngine(Run(prepared, parse("jsq"), RunSettings(1.0)), arriving)
    engine.advance(float("inf"))
    places = 3 if discipline == "fcfs" else float("inf")
    exact = sharing(
        list(zip(time, size, strict=True)),
        lambda n: float(curve.rate(n)),
        places,
    )
    assert engine.count[counters.COMPLETIONS] == 400
    assert engine.gauge[counters.SOJOURN] == pytest.approx(sum(exact), rel=1e-9)
    mine = latency_histogram.quantiles(engine.histogram, [0.1, 0.5, 0.9])
    assert np.allclose(mine, np.quantile(exact, [0.1, 0.5, 0.9]), rtol=0.02)


@pytest.mark.parametrize("timed", [True, False])
def test_what_large_systems_do_for_speed_changes_nothing(
    timed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> Replication | None:
        short = RunSettings(50.0, 10.0, percentiles=timed)
        return replicate(Run(prepare(mixed()), parse("gmsr"), short))

    small = run()
    monkeypatch.setattr(candidates, "MOST_STORED", 0)
    monkeypatch.setattr(lookahead, "LEAST_BACKENDS", 0)
    large = run()
    assert small is not None
    assert large is not None
    assert prepare(mixed()).tables(64).numbers.size == 2  # not the 3 edges: it was in force
    assert small.same_as(large)
