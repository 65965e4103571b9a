"""A load that cannot be served: against brute force, against long steps of the fluid, and by hand.

The oracles know nothing of maximum flows or of tails: subsets are tried one by one, stability is
asked of a linear program, and growth of an implicit step of the fluid over a very long time.
"""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from isocline.model.curves import (
    Curve,
    ExponentialCurve,
    HyperbolicCurve,
    KneeCurve,
    PoolCurve,
    TableCurve,
)
from isocline.model.fleet import RoutingSystem
from isocline.theory import fluid_optimum, plan
from isocline.theory.routing.implicit_step import Stepper
from isocline.theory.routing.overload import overload
from isocline.theory.routing.plan_records import Overload
from tests.builders import fleet
from tests.flow.worlds import PLAIN, curve, random_graph
from tests.theory.routing.states import subsets

SEEDS = st.integers(0, 2**32 - 1)


def random_system(seed: int, *, whole: bool = False) -> RoutingSystem:
    """Up to 5 frontends and 5 backends near capacity; `whole` numbers make exact ties likely."""
    rng = np.random.default_rng(seed)
    sources, sinks = (int(n) for n in rng.integers(1, 6, 2))
    graph = random_graph(rng, sources, sinks, 0.4)
    curves: list[Curve] = [curve(rng, str(rng.choice(PLAIN))) for _ in range(sinks)]
    if whole:
        curves = [c.scaled(float(rng.integers(1, 4)) / c.supremum) for c in curves]
    reach = sum(c.supremum for c in curves) / sources
    rates = rng.integers(1, 4, sources) if whole else rng.uniform(0.1, 2.0, sources) * reach
    rows = [graph.neighbours(f).tolist() for f in range(sources)]
    return fleet(curves, [float(rate) for rate in rates], rows)


def around(system: RoutingSystem, frontends: tuple[int, ...]) -> list[int]:
    """All backends of a set of frontends."""
    return sorted({int(b) for f in frontends for b in system.graph.neighbours(f)})


def excess(system: RoutingSystem, frontends: tuple[int, ...]) -> float:
    """What a set of frontends brings beyond what its backends can serve, jobs/s."""
    capacity = system.capacities[around(system, frontends)]
    return math.fsum(system.rates[list(frontends)]) - math.fsum(capacity)


def found(system: RoutingSystem) -> Overload:
    result = plan(system, edges_to_try=0).overload
    assert result is not None
    return result


def unstable(result: Overload | None) -> set[str]:
    """Backends at which no policy of the greatest throughput keeps room: full ones among them."""
    return {b.name for b in result.backends if b.status != "stable"} if result else set()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seed=SEEDS, whole=st.booleans())
def test_throughput_is_the_least_cut_over_all_sets_of_frontends(seed: int, whole: bool) -> None:
    system = random_system(seed, whole=whole)
    sets = list(subsets(range(len(system.frontends))))
    most = max(excess(system, frontends) for frontends in sets)
    rounding = 1e-12 * float(system.rates.sum())
    result = overload(system)
    if most < -rounding:
        assert result is None
        return
    assert result is not None
    assert result.arrivals - result.throughput == pytest.approx(max(most, 0.0), abs=rounding)
    assert result.certificate.carried == pytest.approx(result.throughput, rel=1e-11)
    # The backends of all sets of the greatest excess, together, have no room.
    full = {b for f in sets if excess(system, f) >= most - rounding for b in around(system, f)}
    assert unstable(result) == {f"b{b}" for b in full}


def stabilised_by_some_policy(system: RoutingSystem, throughput: float, kept: list[int]) -> bool:
    """Whether a flow of this throughput leaves room at all of some backends."""
    graph = system.graph
    edges, sources, sinks = graph.edges, graph.sources, graph.sinks
    sent, taken = np.zeros((sources, edges + 1)), np.zeros((sinks, edges + 1))
    sent[graph.source, np.arange(edges)] = 1.0
    taken[graph.sink, np.arange(edges)] = 1.0
    taken[kept, edges] = 1.0  # the room, which is made as large as possible
    whole = np.zeros((1, edges + 1))
    whole[0, :edges] = 1.0
    goal = np.zeros(edges + 1)
    goal[edges] = -1.0
    program = linprog(
        goal,
        np.vstack((sent, taken)),
        np.concatenate((system.rates, system.capacities)),
        whole,
        [throughput],
    )
    assert program.fun is not None
    return bool(-program.fun > 1e-6 * system.capacities.min())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_no_policy_of_this_throughput_stabilises_more_backends(seed: int) -> None:
    system = random_system(seed, whole=True)
    result = overload(system)
    if result is None:
        return
    backends = range(len(system.backends))
    alone = [b for b in backends if stabilised_by_some_policy(system, result.throughput, [b])]
    assert {f"b{b}" for b in backends} - {f"b{b}" for b in alone} == unstable(result)
    assert not alone or stabilised_by_some_policy(system, result.throughput, alone)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_what_stays_stable_is_the_optimum_of_that_part(seed: int) -> None:
    system = random_system(seed)
    result = overload(system)
    if result is None:
        return
    kept = [b for b, row in enumerate(result.backends) if row.status == "stable"]
    rows = [
        [kept.index(b) for b in around(system, (f,)) if b in kept]
        for f in range(len(system.frontends))
    ]
    alone = [f for f, row in enumerate(rows) if row]
    rates = [float(system.rates[f]) for f in alone]
    if alone:
        part = fleet([system.curves[b] for b in kept], rates, [rows[f] for f in alone])
        best = fluid_optimum(part)
        assert [result.backends[b].jobs for b in kept] == pytest.approx(best.workloads, rel=1e-6)
        assert result.stable_jobs == pytest.approx(best.total_jobs, rel=1e-6)
    for b in kept:
        row = result.backends[b]
        assert row.jobs is not None
        assert system.curves[b].marginal(row.jobs) == pytest.approx(row.marginal_rate, rel=1e-5)
    proof = result.certificate
    assert proof.conservation <= 1e-12
    assert proof.slope_gap <= 1e-8
    # Frontends with room elsewhere are served whole, and all together as much as is served.
    for f in alone:
        assert result.frontends[f].throughput == pytest.approx(rates[alone.index(f)])
    served = math.fsum(row.throughput for row in result.frontends)
    assert served == pytest.approx(result.throughput, rel=1e-10)
    assert result.throughput == pytest.approx(math.fsum(row.rate for row in result.backends))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_pile_ups_add_up_and_have_no_other_backends(seed: int) -> None:
    system = random_system(seed)
    result = overload(system)
    if result is None:
        return
    piled = math.fsum(one.growth for one in result.pile_ups)
    assert piled == pytest.approx(result.arrivals - result.throughput, rel=1e-9)
    assert sorted(b for one in result.pile_ups for b in one.backends) == sorted(unstable(result))
    for one in result.pile_ups:
        numbers = tuple(int(name[1:]) for name in one.frontends)
        beyond = {f"b{b}" for b in around(system, numbers)} - set(one.backends)
        assert beyond <= unstable(result)
        own = [b.growth for b in result.backends if b.name in one.backends]
        known = [value for value in own if value is not None]
        if len(known) == len(own):
            assert math.fsum(known) == pytest.approx(one.growth, abs=1e-9 * one.rate)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=SEEDS, more=st.floats(1.0, 3.0))
def test_more_load_leaves_no_more_backends_stable_and_serves_no_less(
    seed: int, more: float
) -> None:
    system = random_system(seed)
    before, after = overload(system), overload(system.sped_up(more))
    assert unstable(before) <= unstable(after)
    if before is not None:
        assert after is not None
        assert after.throughput >= before.throughput * (1.0 - 1e-12)


@pytest.mark.parametrize("load", [0.3, 1.0 - 1e-9])
def test_a_load_that_can_be_served_has_no_overload(load: float) -> None:
    system = fleet([HyperbolicCurve(4.0, 2.0), HyperbolicCurve(6.0, 3.0)], [5.0, 5.0])
    served = plan(system.sped_up(load))
    assert served.status == "optimal"
    assert served.overload is None
    assert served.to_dict()["overload"] is None


def heavy_and_light(seed: int) -> RoutingSystem:
    """Tails of three orders, so far apart that 1e9 s tell them apart to a thousandth."""
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, 4, 5, 0.45)
    sharpness = rng.choice([1.0, 3.0, 8.0], 5)
    curves: list[Curve] = [
        KneeCurve(float(rng.uniform(1.0, 4.0)), float(rng.uniform(1.0, 9.0)), float(p))
        for p in sharpness
    ]
    rows = [graph.neighbours(f).tolist() for f in range(4)]
    return fleet(curves, rng.uniform(0.5, 8.0, 4).tolist(), rows)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_growth_is_that_of_the_fluid_over_a_very_long_time(seed: int) -> None:
    # One implicit step from empty backends: N = T (a - l(N)), with a the routing of GMSR at N.
    system, long = heavy_and_light(seed), 1e9
    result = overload(system)
    if result is None:
        return
    stepper = Stepper(system.graph, system.rates, system.curves)
    jobs, sooner = stepper.euler(np.zeros(5), long), stepper.euler(np.zeros(5), long / 1e3)
    for row, n, before in zip(result.backends, jobs.tolist(), sooner.tolist(), strict=True):
        if row.jobs is not None:
            assert n == pytest.approx(row.jobs, rel=1e-3)
        else:
            assert n / long == pytest.approx(row.growth, abs=2e-3 * float(system.rates.sum()))
            # Marginal rates peak p knee^p / N^(p + 1) are equal: the slowest to grow is p = 8
            # beside p = 1, N ~ T^(2 / 9), by a factor of 4.6 in the last thousandfold of the time.
            assert n > 2.0 * before


def test_excess_is_shared_by_the_root_of_peak_times_half() -> None:
    # l' = peak half / N^2: equal marginal rates at 2 sqrt(4 9) : sqrt(4 1) = 3 : 1 of 8 jobs/s.
    system = fleet([HyperbolicCurve(4.0, 9.0), HyperbolicCurve(4.0, 1.0)], [16.0])
    assert [row.growth for row in found(system).backends] == pytest.approx([6.0, 2.0])


def test_a_pool_grows_as_its_heaviest_members_together() -> None:
    members = (HyperbolicCurve(4.0, 9.0), HyperbolicCurve(4.0, 1.0), ExponentialCurve(2.0, 1.0))
    system = fleet([PoolCurve(members), HyperbolicCurve(1.0, 4.0)], [21.0])
    # Weights 6 + 2, and 2; capacities 10 and 1.
    assert [row.growth for row in found(system).backends] == pytest.approx([8.0, 2.0])


def test_lighter_tails_are_full_and_take_no_part_in_the_growth() -> None:
    table = TableCurve(((1.0, 2.0), (4.0, 5.0)))
    curves = [
        HyperbolicCurve(4.0, 2.0),
        KneeCurve(6.0, 3.0, 4.0),
        ExponentialCurve(5.0, 2.0),
        table,
    ]
    # What the first brings beyond 20 jobs/s is all at the hyperbolic one, at last.
    result = found(fleet(curves, [25.0, 3.0], [[0, 1, 2, 3], [3]]))
    assert [row.status for row in result.backends] == ["growing"] * 3 + ["full"]
    assert [row.growth for row in result.backends] == pytest.approx([8.0, 0.0, 0.0, 0.0])
    assert [row.jobs for row in result.backends] == [None, None, None, 4.0]
    assert [row.throughput for row in result.frontends] == pytest.approx([17.0, 3.0])


def test_tables_alone_share_their_excess_as_they_like() -> None:
    table = TableCurve(((1.0, 2.0), (4.0, 5.0)))
    two = found(fleet([table, table], [12.0]))
    assert [row.growth for row in two.backends] == [None, None]
    assert [one.growth for one in two.pile_ups] == pytest.approx([2.0])
    assert two.split == ()
    assert [row.throughput for row in two.frontends] == pytest.approx([10.0])
    one = found(fleet([table], [12.0]))
    assert [row.growth for row in one.backends] == pytest.approx([7.0])


def test_a_set_that_is_just_full_piles_up_slower_than_time() -> None:
    # f0 fills b0 exactly, and f1 has b1 with room.
    system = fleet(
        [HyperbolicCurve(2.0, 1.0), HyperbolicCurve(2.0, 1.0)], [2.0, 1.0], [[0], [0, 1]]
    )
    result = found(system)
    assert [row.status for row in result.backends] == ["growing", "stable"]
    assert [row.growth for row in result.backends] == [0.0, 0.0]
    assert result.throughput == result.arrivals == 3.0


def test_a_frontend_that_brings_nothing_is_where_its_backends_are() -> None:
    curves = [HyperbolicCurve(2.0, 1.0), HyperbolicCurve(2.0, 1.0)]
    result = found(fleet(curves, [3.0, 0.0, 0.0], [[0], [0], [0, 1]]))
    assert [row.status for row in result.backends] == ["growing", "stable"]
    assert [row.throughput for row in result.frontends] == pytest.approx([2.0, 0.0, 0.0])
    assert result.backends[1].marginal_rate == 2.0  # of an empty backend


def test_groups_grow_apart_where_a_frontend_cannot_do_otherwise() -> None:
    # b0 has 9 jobs/s more than it serves, b1 a half: f1 leaves b0 to f0.
    curves = [HyperbolicCurve(1.0, 1.0)] * 2
    result = found(fleet(curves, [10.0, 1.5], [[0], [0, 1]]))
    assert [(one.frontends, one.backends) for one in result.pile_ups] == [
        (("f0",), ("b0",)),
        (("f1",), ("b1",)),
    ]
    assert [one.growth for one in result.pile_ups] == pytest.approx([9.0, 0.5])


def test_the_json_has_a_key_for_it() -> None:
    system = fleet([HyperbolicCurve(1.0, 1.0)] * 3, [0.7, 0.7, 0.5], [[0], [0], [1, 2]])
    document = json.loads(plan(system).to_json())["overload"]
    assert list(document) == [
        "arrivals", "throughput", "stable_jobs", "frontends", "backends", "split", "pile_ups",
        "certificate",
    ]  # fmt: skip
    assert document["throughput"] == pytest.approx(1.5)
    assert document["backends"][0] == {
        "name": "b0", "status": "growing", "jobs": None, "rate": 1.0, "marginal_rate": 0.0,
        "growth": pytest.approx(0.4),
    }  # fmt: skip
    assert document["pile_ups"] == [
        {"frontends": ["f0", "f1"], "backends": ["b0"], "rate": pytest.approx(1.4), "capacity": 1.0,
         "growth": pytest.approx(0.4)}
    ]  # fmt: skip


def test_a_fleet_of_a_thousand_is_proved_and_said() -> None:
    rng = np.random.default_rng(5)
    graph = random_graph(rng, 1000, 1000, 0.004)
    rows = [graph.neighbours(f).tolist() for f in range(1000)]
    curves = [HyperbolicCurve(float(p), 3.0) for p in rng.uniform(0.5, 1.5, 1000)]
    system = fleet(curves, rng.uniform(0.2, 1.6, 1000).tolist(), rows)
    result = found(replace(system, name="large"))
    assert 0 < len(unstable(result)) < 1000
    assert result.certificate.carried == pytest.approx(result.certificate.cut, rel=1e-11)
    assert math.fsum(row.throughput for row in result.frontends) == pytest.approx(result.throughput)
