"""The cheapest fleet in the fluid limit: against all fleets, and its bound against its rows."""

import ctypes
import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from isocline.errors import UnreachableError, UsageError
from isocline.model.curves import HyperbolicCurve, KneeCurve
from isocline.model.fleet_problem import Demand, FleetProblem, MachineType
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import DeterministicSizes, ExponentialSizes, Sizes
from isocline.model.traffic.sizes import HyperexponentialSizes, LognormalSizes
from isocline.theory.routing.cheapest_fleet.covering import Box, bound_in, rows_in
from isocline.theory.routing.cheapest_fleet.requirements import (
    Judge,
    Requirement,
    earnings,
    least_work,
)
from isocline.theory.routing.cheapest_fleet.search import (
    FluidFleet,
    Search,
    cheapest,
    neighbours,
)
from isocline.theory.routing.cheapest_fleet.target import Target
from tests.theory.routing.fleet_problems import a_problem, fleets, holds

SEEDS = st.integers(0, 2**32 - 1)
TARGETS = st.sampled_from(
    [Target("mean", 1.2), Target("mean", 2.0), Target("mean", 4.0), Target("load", 0.7)]
)


def found(problem: FleetProblem, target: Target, spare: int, gap: float) -> FluidFleet | None:
    requirements = [Requirement(d, target, spare) for d in range(len(problem.demands))]
    try:
        return cheapest(problem, requirements, gap)
    except UnreachableError:
        return None


@settings(max_examples=15, deadline=None, derandomize=True)
@given(SEEDS, TARGETS, st.integers(1, 3), st.integers(1, 3), st.integers(0, 2))
def test_it_is_the_cheapest_of_all_fleets(
    seed: int, target: Target, types: int, demands: int, spare: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = a_problem(rng, types, int(rng.integers(1, 4)), demands)
    best = found(problem, target, spare, 0.0)
    all_fleets = fleets(problem)
    if best is None:
        assert not holds(problem, all_fleets[-1], target, spare)
        return
    assert holds(problem, best.counts.tolist(), target, spare)
    cheaper = [one for one in all_fleets if problem.cost(one) < best.cost * (1.0 - 1e-9)]
    # The dearest first: most that hold are just below it, if there are any.
    assert not any(holds(problem, one, target, spare) for one in reversed(cheaper[-60:]))
    assert not any(
        holds(problem, one, target, spare) for one in cheaper[:: max(len(cheaper) // 20, 1)]
    )
    assert best.lower_bound == pytest.approx(best.cost, rel=1e-6)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(SEEDS, TARGETS, st.integers(0, 1))
def test_the_bound_follows_from_the_rows_alone(seed: int, target: Target, spare: int) -> None:
    rng = np.random.default_rng(seed)
    problem = a_problem(rng, 3, 2, 2)
    best = found(problem, target, spare, 0.05)
    if best is None:
        return
    # Every leaf's bound is that of its multipliers; leaves hold all fleets that cost less.
    for leaf in best.leaves:
        rows = best.rows[: leaf.multipliers.size]
        if rows:
            matrix, needs = rows_in(rows, leaf.box)
            proven = bound_in(problem.prices, matrix, needs, leaf.box, leaf.multipliers)
            assert min(proven, best.cost) >= best.lower_bound * (1.0 - 1e-12)
    # Every row is that of its costs, by the curves alone, but for its scale.
    judge = Judge(problem)
    for row in best.rows:
        again = judge.row(row.demand, row.target, row.costs)
        scale = row.need / again.need
        assert row.worth == pytest.approx(scale * again.worth, rel=1e-9)
    for one in fleets(problem):
        if problem.cost(one) < best.cost * (1.0 - 1e-9):
            counts = np.array(one, np.float64)
            assert any(
                (leaf.box.least <= counts).all() and (counts <= leaf.box.most).all()
                for leaf in best.leaves
            )
    assert best.lower_bound >= best.cost * 0.95 * (1.0 - 1e-9)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(SEEDS, TARGETS)
def test_any_costs_give_a_row_that_every_fleet_with_the_target_satisfies(
    seed: int, target: Target
) -> None:
    rng = np.random.default_rng(seed)
    problem = a_problem(rng, 2, 3, 1)
    judge = Judge(problem)
    hold = [one for one in fleets(problem)[::5] if holds(problem, one, target, 0)]
    for _ in range(5):
        costs = rng.exponential(1.0, 3) * 10.0 ** rng.uniform(-2.0, 2.0)
        row = judge.row(0, target, costs)
        for one in hold:
            assert row.worth @ np.array(one) >= row.need - 1e-6 * max(1.0, abs(row.need))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(SEEDS, TARGETS, st.integers(1, 2))
def test_a_row_of_spare_machines_holds_for_every_fleet_that_can_lose_them(
    seed: int, target: Target, spare: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = a_problem(rng, 2, 3, 1)
    judge = Judge(problem)
    whole = Box(np.zeros(2), np.full(2, math.inf))
    hold = [one for one in fleets(problem)[::5] if holds(problem, one, target, spare)]
    for _ in range(5):
        costs = rng.exponential(1.0, 3) * 10.0 ** rng.uniform(-2.0, 2.0)
        row = judge.row(0, target, costs)
        if row.need <= 0.0:
            continue
        (worth,), (need,) = rows_in([row._replace(spare=spare)], whole)
        for one in hold:
            assert worth @ np.array(one) >= need - 1e-6


@pytest.mark.parametrize("spare", [0, 1, 2])
def test_the_relaxation_of_one_type_has_the_spare_machines(spare: int) -> None:
    problem = FleetProblem(
        (MachineType("a", HyperbolicCurve(5.0, 4.0), 1.0),),
        ("all",),
        CompatibilityGraph.from_neighbours(1, [[0]]),
        (Demand("d", (62.0,)),),
    )
    best = found(problem, Target("load", 0.8), spare, 0.0)
    assert best is not None
    assert best.relaxation == pytest.approx(62.0 / (0.8 * 5.0) + spare, rel=1e-6)
    assert best.cost == 16 + spare


@settings(max_examples=40, deadline=None, derandomize=True)
@given(SEEDS, st.integers(0, 2))
def test_rows_in_a_box_hold_for_all_its_fleets(seed: int, spare: int) -> None:
    rng = np.random.default_rng(seed)
    problem = a_problem(rng, 2, 2, 1)
    judge = Judge(problem)
    lost = np.bincount(rng.integers(0, 2, spare), minlength=2).astype(np.float64)
    row = judge.row(0, Target("mean", 2.0), rng.exponential(1.0, 2))._replace(lost=lost)
    least = rng.integers(0, 3, 2).astype(np.float64)
    box = Box(least, least + rng.integers(0, 5, 2))
    matrix, needs = rows_in([row], box)
    for one in itertools.product(
        *(np.arange(a, b + 1) for a, b in zip(box.least, box.most, strict=True))
    ):
        counts = np.array(one)
        if row.worth @ (counts - np.minimum(counts, lost)) >= row.need:
            assert matrix[0] @ counts >= needs[0] - 1e-9 * max(1.0, abs(needs[0]))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SEEDS, st.floats(1e-2, 1e2))
def test_no_workload_earns_more_than_what_a_machine_is_said_to(seed: int, offer: float) -> None:
    (kind,) = a_problem(np.random.default_rng(seed), 1, 1, 1).types
    most = earnings(kind.curve, offer)
    jobs = np.geomspace(1e-3, 1e4, 2000)
    tried = (offer * kind.curve.rate(jobs) - jobs).max()
    assert tried <= most + 1e-9 * max(1.0, most)
    assert most <= max(tried, 0.0) * 1.01 + 0.02


def two_types(**changes: object) -> FleetProblem:
    problem = FleetProblem(
        (
            MachineType("fast", HyperbolicCurve(10.0, 5.0), 4.0),
            MachineType("slow", HyperbolicCurve(6.0, 12.0), 1.0),
        ),
        ("a", "b"),
        CompatibilityGraph.from_neighbours(2, [[0, 1], [0]]),
        (Demand("demand", (8.0, 4.0)),),
    )
    return replace(problem, **changes)  # type: ignore[arg-type]


def test_a_target_below_what_a_lone_job_takes_names_that() -> None:
    # Alone a job takes 0.5 s on `fast`, where all may go.
    with pytest.raises(UnreachableError, match=r"the least mean latency is 0\.5 s, with a machine"):
        cheapest(two_types(), [Requirement(0, Target("mean", 0.4))])
    close = cheapest(two_types(), [Requirement(0, Target("mean", 0.51))])
    assert close.counts[0] > 50


def test_limits_on_machines_are_named_where_they_are_the_cause() -> None:
    types = two_types().types
    few = two_types(types=(replace(types[0], at_most=1), types[1]))
    with pytest.raises(
        UnreachableError, match=r"least mean latency is [\d.]+ s with all .* 1 fast;"
    ):
        cheapest(few, [Requirement(0, Target("mean", 0.7))])
    with pytest.raises(UnreachableError, match=r"cannot be served once 1 fast is lost with all"):
        cheapest(few, [Requirement(0, Target("mean", 2.0), 1)])


def test_machines_that_are_there_in_any_case_are_kept_and_paid() -> None:
    types = two_types().types
    more = two_types(types=(replace(types[0], at_least=9), types[1]))
    best = cheapest(more, [Requirement(0, Target("mean", 4.0))], 0.0)
    assert best.counts.tolist() == [9, 0]
    assert best.cost == best.lower_bound == 36.0


def test_a_demand_without_jobs_at_a_frontend_needs_no_machine_for_it() -> None:
    problem = two_types(demands=(Demand("a alone", (3.0, 0.0)),))
    assert cheapest(problem, [Requirement(0, Target("mean", 4.0))], 0.0).counts.tolist() == [0, 1]


def test_every_demand_is_served_and_the_union_costs_less_than_the_sum() -> None:
    day, night = Demand("day", (20.0, 1.0)), Demand("night", (1.0, 12.0))
    target = Target("mean", 3.0)
    both = cheapest(
        two_types(demands=(day, night)), [Requirement(0, target), Requirement(1, target)], 0.0
    )
    each = [cheapest(two_types(demands=(d,)), [Requirement(0, target)], 0.0) for d in (day, night)]
    assert max(one.cost for one in each) <= both.cost <= sum(one.cost for one in each)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(SEEDS)
def test_a_load_with_work_by_machine_is_the_integer_program_of_throughputs(seed: int) -> None:
    """The form of a published program: the most jobs/s of each kind that each type sustains."""
    rng = np.random.default_rng(seed)
    kinds, types = 4, 3
    most = rng.uniform(0.5, 8.0, (kinds, types))
    prices = np.round(rng.uniform(1.0, 9.0, types), 2)
    rates = rng.uniform(0.5, 15.0, kinds)
    problem = FleetProblem(
        tuple(
            MachineType(f"t{k}", KneeCurve(1.0, 1.0, 2.0), float(prices[k])) for k in range(types)
        ),
        tuple(f"f{f}" for f in range(kinds)),
        CompatibilityGraph.from_neighbours(types, [range(types)] * kinds),
        (Demand("demand", tuple(rates.tolist())),),
        edge_work=(1.0 / most).ravel(),
    )
    best = cheapest(problem, [Requirement(0, Target("load", 1.0))], 0.0)
    # Shares of each kind by type, then counts.
    sums = np.hstack((np.kron(np.eye(kinds), np.ones(types)), np.zeros((kinds, types))))
    loads = np.hstack(
        (np.hstack([np.diag(rates[f] / most[f]) for f in range(kinds)]), -np.eye(types))
    )
    wanted = milp(
        np.concatenate((np.zeros(kinds * types), prices)),
        integrality=np.concatenate((np.zeros(kinds * types), np.ones(types))).astype(int),
        bounds=Bounds(0.0, np.inf),
        constraints=[LinearConstraint(sums, 1.0, 1.0), LinearConstraint(loads, -np.inf, 1e-9)],
    )
    assert best.cost == pytest.approx(wanted.fun, rel=1e-6)
    assert best.lower_bound == pytest.approx(wanted.fun, rel=1e-6)


def test_work_of_frontends_counts_as_so_many_jobs_of_the_curve_and_one_of_latency() -> None:
    # One frontend, whose jobs are twice as large: half as many per second, each of which lasts so
    # long as two jobs one after the other at the same workload.
    problem = FleetProblem(
        (MachineType("t", HyperbolicCurve(10.0, 5.0), 1.0),),
        ("f",),
        CompatibilityGraph.from_neighbours(1, [[0]]),
        (Demand("demand", (12.0,)),),
    )
    large = replace(problem, demands=(Demand("demand", (6.0,)),), edge_work=np.array([2.0]))
    by_work = replace(problem, demands=(Demand("demand", (6.0,), 2.0),))
    plain = Judge(problem).standing(Requirement(0, Target("mean", 1.0)), np.array([3.0]))
    for other in (large, by_work):
        found = Judge(other).standing(Requirement(0, Target("mean", 1.0)), np.array([3.0]))
        assert found.figure == pytest.approx(2.0 * plain.figure, rel=1e-9)


def test_work_by_machine_is_planned_as_a_flow_with_gains() -> None:
    problem = two_types(edge_work=np.array([1.0, 3.0, 1.0]))  # `slow` is slower still for a
    target = Target("mean", 2.0)
    best = cheapest(problem, [Requirement(0, target)], 0.0)
    judge = Judge(problem)
    for one in itertools.product(range(8), range(8)):
        cost = problem.cost(one)
        if cost < best.cost:
            standing = judge.standing(Requirement(0, target), np.array(one, np.float64))
            assert standing.figure > target.limit
    assert best.lower_bound == pytest.approx(best.cost)


@pytest.mark.parametrize(
    "sizes",
    [ExponentialSizes(), DeterministicSizes(), LognormalSizes(1.5), HyperexponentialSizes(2.0)],
    ids=lambda sizes: sizes.type,
)
@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_the_work_of_the_shortest_jobs_is_that_of_a_sample(sizes: Sizes, share: float) -> None:
    drawn = np.sort(sizes.sample(np.random.default_rng(1), 400_000))
    shortest = drawn[: round(share * drawn.size)].sum() / drawn.size
    assert least_work(sizes, share) == pytest.approx(shortest, abs=0.01)


def test_the_bound_of_a_percentile_rises_as_it_falls_and_is_below_that_of_the_same_mean() -> None:
    problem = two_types()
    costs = [
        cheapest(problem, [Requirement(0, Target("p99", limit))], 0.01).relaxation
        for limit in (6.0, 3.0, 1.5)
    ]
    assert costs == sorted(costs)
    # A mean of that much is asked of all jobs, and of the tail too.
    mean = cheapest(problem, [Requirement(0, Target("mean", 1.5))], 0.01)
    assert costs[-1] <= mean.relaxation * (1.0 + 1e-6)


@pytest.mark.parametrize(
    ("text", "quantity", "limit"),
    [
        ("mean<=2s", "mean", 2.0),
        ("p95 <= 800ms", "p95", 0.8),
        ("p99<=1.5min", "p99", 90.0),
        ("MEAN≤3", "mean", 3.0),
        ("load<=0.8", "load", 0.8),
    ],
)
def test_targets_are_read(text: str, quantity: str, limit: float) -> None:
    target = Target.parse(text)
    assert target.quantity == quantity
    assert target.limit == pytest.approx(limit)
    assert Target.parse(str(target)).limit == pytest.approx(limit)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fast", r"target 'fast': is no target; give one as mean<=2s"),
        ("mean>=2s", r"is no target"),
        ("p90<=2s", r"'p90' is unknown; give one as"),
        ("mean<=2kg", r"'kg' is no unit; give s, ms or min"),
        ("mean<=1.2.3s", r"'1.2.3' is no number"),
        ("mean<=0s", r"nothing is that fast"),
        ("load<=80", r"a load is a share of the capacity"),
        ("load<=0.8s", r"a load is a share of the capacity"),
    ],
)
def test_what_is_no_target_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Target.parse(text)


def test_the_solution_for_another_limit_saves_rows_and_changes_nothing_else() -> None:
    problem = a_problem(np.random.default_rng(5), 3, 3, 2)
    judge = Judge(problem)
    loose, strict = ([Requirement(d, Target("mean", t)) for d in range(2)] for t in (3.0, 2.5))
    near = Search(judge, loose).run(0.0)
    bare, helped = Search(judge, strict).run(0.0), Search(judge, strict, near).run(0.0)
    assert helped.cost == bare.cost
    assert helped.lower_bound == pytest.approx(bare.lower_bound, rel=1e-6)
    assert near.proof
    assert len(near.proof) <= len(near.rows)


def test_a_gap_is_kept_and_a_wider_one_takes_no_more_work() -> None:
    problem = a_problem(np.random.default_rng(5), 3, 3, 2)
    requirements = [Requirement(d, Target("mean", 2.5)) for d in range(2)]
    judge = Judge(problem)
    wide = Search(judge, requirements).run(0.2)
    exact = Search(judge, requirements).run(0.0)
    assert wide.gap <= 0.2
    assert exact.gap <= 1e-6
    assert wide.lower_bound <= exact.cost <= wide.cost * (1.0 + 1e-9)
    assert len(wide.leaves) <= len(exact.leaves)
    assert math.isfinite(wide.relaxation)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SEEDS)
def test_a_fleet_at_the_boundary_of_its_capacity_has_a_row(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = a_problem(rng, 2, 4, 1)
    judge = Judge(problem)
    requirement = Requirement(0, Target("mean", 2.0))
    for _ in range(20):
        counts = rng.uniform(0.1, 3.0, 2)
        load = judge.standing(replace(requirement, target=Target("load", 1.0)), counts).figure
        if not math.isfinite(load):
            continue
        standing = judge.standing(requirement, counts * load)
        assert standing.figure > 0.0  # of a table, which reaches its peak, it may be finite
        assert math.isfinite(judge.tangent(standing).need)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(SEEDS)
def test_neighbours_are_the_cheaper_fleets_with_up_to_two_less_and_one_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prices, counts = rng.uniform(1.0, 2.0, 3), rng.integers(0, 3, 3).astype(np.float64)
    wanted = set()
    for one in itertools.product(range(4), repeat=3):
        move = np.array(one) - counts
        gone, come = -move[move < 0.0].sum(), move[move > 0.0].sum()
        if gone <= 2.0 and come <= 1.0 and move @ prices < 0.0:
            wanted.add(one)
    found = neighbours(counts, prices, Box(np.zeros(3), np.full(3, 3.0)))
    assert {tuple(one) for one in found.astype(int).tolist()} == wanted
    assert (np.diff(found @ prices) >= -1e-9).all()


def test_a_fleet_of_few_among_many_types_has_few_neighbours() -> None:
    # All pairs of 300 types and one more would be 13.7 million fleets, in 33 GB.
    prices = np.linspace(1.0, 2.0, 300)
    counts = np.zeros(300)
    counts[[7, 200]] = 2.0
    found = neighbours(counts, prices, Box(np.zeros(300), np.full(300, np.inf)))
    assert 500 < found.shape[0] < 6 * 301


def test_what_the_solver_prints_is_no_output(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """HiGHS does so in some heuristics, from C, so that `--json` would be no JSON."""
    calls: list[int] = []

    def chatty(*given: Any, **named: Any) -> Any:
        calls.append(ctypes.CDLL(None).puts(b"HighsMipSolverData: tmpSolver.run();"))
        return milp(*given, **named)

    monkeypatch.setattr("scipy.optimize.milp", chatty)
    problem = a_problem(np.random.default_rng(1), 3, 3, 2)
    assert found(problem, Target("mean", 2.0), 0, 0.0) is not None
    print("the answer")
    assert calls
    assert capfd.readouterr().out == "the answer\n"
