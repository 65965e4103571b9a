"""Copies of models: against all placements of small systems, what no policy exceeds, and tables."""

import io
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy.optimize import linprog

from isocline import plan, simulate
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import RoutingSystem
from isocline.model.residency import Model
from isocline.report.tables.plan import plan_report
from isocline.theory.routing.plan_records import ResidencyPlan
from tests.builders import fleet


def world(
    memory: list[float | None],
    sizes: list[float],
    weights: list[float],
    load: float = 0.3,
    capacity: tuple[float, ...] = (8.0, 5.0, 3.0),
) -> RoutingSystem:
    """One frontend of 6 jobs/s, and a second of 2 that may not use the first backend."""
    count = len(memory)
    rows = [list(range(count)), list(range(1, count)) or [0]]
    curves = [HyperbolicCurve(capacity[b], 2.0) for b in range(count)]
    system = fleet(curves, [6.0, 2.0], rows)
    models = tuple(
        Model(f"m{i}", size, load, weight=weight)
        for i, (size, weight) in enumerate(zip(sizes, weights, strict=True))
    )
    backends = tuple(replace(b, memory=m) for b, m in zip(system.backends, memory, strict=True))
    return replace(system, backends=backends, models=models)


def planned(system: RoutingSystem) -> ResidencyPlan:
    found = plan(system, edges_to_try=0).residency
    assert found is not None
    return found


def capacity_with(system: RoutingSystem, held: list[list[bool]]) -> float:
    """Capacity scale of given copies, by a linear program with nothing left out."""
    shares, capacity = system.model_shares, system.capacities
    loads = system.catalogue.loads
    frontends, models, backends = len(system.frontends), len(loads), len(system.backends)
    count = 0
    index: dict[tuple[int, int, int, bool], int] = {}
    for f, m, b, warm in product(range(frontends), range(models), range(backends), (True, False)):
        usable = b in system.graph.neighbours(f).tolist() and (held[b][m] or not warm)
        if usable:
            index[f, m, b, warm] = count
            count += 1
    above = np.zeros((backends, count + 1))
    sums, right = np.zeros((frontends * models, count + 1)), np.zeros(frontends * models)
    for (f, m, b, warm), at in index.items():
        above[b, at] = 1.0 if warm else 1.0 + 2.0 * loads[m] * capacity[b]
        sums[f * models + m, at] = 1.0
        right[f * models + m] = system.rates[f] * shares[f, m]
    above[:, -1] = -capacity
    goal = np.append(np.zeros(count), 1.0)
    found = linprog(goal, above, np.zeros(backends), sums, right)
    assert found.x is not None
    return float(1.0 / found.x[-1])


def best_by_hand(system: RoutingSystem) -> float:
    """The best of all placements that fit."""
    sizes = system.catalogue.sizes
    choices = [
        [
            held
            for held in product((False, True), repeat=sizes.size)
            if backend.memory is None or sizes[list(held)].sum() <= backend.memory + 1e-9
        ]
        for backend in system.backends
    ]
    # More copies never hurt: only the largest sets.
    largest = [
        [h for h in some if not any(all(b >= a for a, b in zip(h, o)) and o != h for o in some)]  # noqa: B905
        for some in choices
    ]
    return max(capacity_with(system, [list(h) for h in held]) for held in product(*largest))


@settings(max_examples=25, deadline=None)
@given(
    memory=st.lists(st.sampled_from([1.0, 2.0, 3.0]), min_size=3, max_size=3),
    sizes=st.lists(st.sampled_from([1.0, 1.0, 2.0]), min_size=4, max_size=4),
    weights=st.lists(st.sampled_from([0.5, 1.0, 4.0]), min_size=4, max_size=4),
)
def test_the_best_of_all_placements_is_between_the_plan_and_its_bound(
    memory: list[float], sizes: list[float], weights: list[float]
) -> None:
    system = world([*memory], sizes, weights)
    found, best = planned(system), best_by_hand(system)
    assert found.capacity_scale <= best * (1.0 + 1e-6)
    assert best <= found.bound * (1.0 + 1e-6)
    # Heuristic, and yet seldom far off.
    assert found.capacity_scale >= 0.8 * best
    held = [[False] * len(sizes) for _ in memory]
    for copy in found.copies:
        b = [backend.name for backend in system.backends].index(copy.backend)
        held[b][system.catalogue.number[copy.model]] = True
    for row, limit in zip(held, memory, strict=True):
        assert system.catalogue.sizes[row].sum() <= limit + 1e-9
    assert capacity_with(system, held) == pytest.approx(found.capacity_scale, rel=1e-6)


def test_memory_for_all_models_gives_the_whole_capacity() -> None:
    system = world([4.0, 4.0, 4.0], [1.0] * 4, [1.0] * 4)
    found = plan(system)
    assert found.residency is not None
    assert found.residency.capacity_scale == pytest.approx(found.capacity_scale, rel=1e-3)
    assert found.residency.gap < 1e-3
    assert found.residency.cold == pytest.approx(0.0, abs=1e-9)


def test_a_hot_model_has_copies_and_a_system_without_models_no_such_plan() -> None:
    """Two equal backends, one model of nine tenths: it has to be at both."""
    system = fleet([HyperbolicCurve(5.0, 2.0)] * 2, [4.0])
    models = (Model("hot", weight=9.0), Model("cold", load=1.0))
    held = replace(
        system,
        models=models,
        backends=tuple(replace(b, memory=2.0) for b in system.backends),
    )
    found = planned(held)
    assert found.capacity_scale == pytest.approx(2.5, rel=1e-3)
    assert {c.backend for c in found.copies if c.model == "hot"} == {"b0", "b1"}
    assert plan(system).residency is None
    assert plan(replace(system, models=models)).residency is None


def test_pinned_models_stay_and_take_their_memory() -> None:
    system = world([1.0, 1.0, 1.0], [1.0] * 3, [1.0] * 3)
    pinned = replace(
        system,
        backends=(replace(system.backends[0], resident=("m2",)), *system.backends[1:]),
    )
    at_first = [c.model for c in planned(pinned).copies if c.backend == "b0"]
    assert at_first == ["m2"]


def test_a_policy_by_price_can_use_what_the_plan_says() -> None:
    """To within 5 %."""
    system = fleet([HyperbolicCurve(10.0, 4.0)] * 4, [20.0])
    held = replace(
        system,
        models=(Model("m*", 1.0, 0.2, count=8, zipf=1.0),),
        backends=tuple(replace(b, memory=3.0) for b in system.backends),
    )
    found = planned(held)
    below = held.sped_up(0.95 * found.capacity_scale)
    result = simulate(below, ["gmsr_secant"], horizon=1500.0, warmup=500.0, replications=2)
    assert result.policies[0].status == "stable"


def test_the_report_says_what_can_be_used_and_by_which_copies() -> None:
    found = plan(world([1.0, 1.0, 1.0], [1.0] * 4, [4.0, 1.0, 1.0, 1.0], load=2.0))
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(plan_report(found))
    text = console.export_text()
    assert "With models in memory" in text
    assert "of the capacity with all models everywhere" in text
    assert "find no copy, and load their model" in text
    assert "Memory is short" in text
    document = found.to_dict()["residency"]
    assert document["capacity_scale"] <= document["bound"]
    assert {row["model"] for row in document["copies"]} <= {"m0", "m1", "m2", "m3"}
