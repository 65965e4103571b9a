"""Kernels in the interpreter: the same numbers, and no numba."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.compilation import interpretable
from isocline.compilation.interpretable import interpreted, interpreted_if_small
from isocline.flow import FlowStatus, LevelFlow, LevelFlowProblem, Prices, solve
from isocline.theory.scheduling.capacity_region import balanced_load
from tests.flow.worlds import at_load, curve, random_graph

ROOT = Path(__file__).parents[2]
KINDS = ("hyperbolic", "exponential", "knee", "table", "servers")


def same(one: LevelFlow, other: LevelFlow) -> bool:
    """To the last bit."""
    arrays = ("flow", "inflow", "price", "level", "violated_sources", "violated_sinks")
    equal = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays)
    return one.status is other.status and one.certificate == other.certificate and equal


def both_ways(problem: LevelFlowProblem) -> tuple[LevelFlow, LevelFlow]:
    with interpreted():
        by_python = solve(problem)
    return by_python, solve(problem)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=5, unique=True),
    load=st.sampled_from([1e-6, 0.3, 0.8, 0.999, 1.0 - 1e-9, 1.001]),
)
def test_interpreted_and_compiled_flows_are_the_same(
    seed: int, kinds: list[str], load: float
) -> None:
    rng = np.random.default_rng(seed)
    sources, sinks = rng.integers(1, 7, size=2)
    curves = [curve(rng, str(rng.choice(kinds))) for _ in range(sinks)]
    supply = 10.0 ** rng.uniform(-2, 2, sources)
    problem = at_load(random_graph(rng, sources, sinks, 0.5), supply, curves, load)
    by_python, by_numba = both_ways(problem)
    assert by_numba.status is (FlowStatus.OPTIMAL if load < 1.0 else FlowStatus.INFEASIBLE)
    assert same(by_python, by_numba)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_interpreted_and_compiled_loads_and_latencies_are_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, 4, 5, 0.5)
    supply = 10.0 ** rng.uniform(-2, 2, 4)
    with interpreted():
        by_python = balanced_load(graph, supply)
    by_numba = balanced_load(graph, supply)
    assert np.array_equal(by_python.load, by_numba.load)
    curves = [curve(rng, "knee") for _ in range(5)]
    bound = at_load(graph, supply, curves, 0.7)
    latencies = LevelFlowProblem(graph, bound.supply, Prices.of_latencies(curves))
    assert same(*both_ways(latencies))


def test_a_custom_price_is_interpreted_and_compiled() -> None:
    rng = np.random.default_rng(1)
    prices = Prices.custom(_price, [4.0, 6.0, 9.0], [[1.0], [2.0], [0.5]])
    problem = LevelFlowProblem(random_graph(rng, 2, 3, 1.0), np.array([1.0, 2.0]), prices)
    assert same(*both_ways(problem))


def _price(parameters: np.ndarray, inflow: float) -> float:
    return 1.0 + float(parameters[0]) * inflow * inflow


def test_where_python_has_no_number_the_work_is_done_compiled() -> None:
    assert interpreted_if_small(1, lambda: 1.0 / _one_if_interpreted()) == 0.5


def _one_if_interpreted() -> float:
    if interpretable.in_interpreter():
        raise ZeroDivisionError
    return 2.0


def test_large_work_is_compiled_and_small_work_until_patience_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = interpretable.in_interpreter
    monkeypatch.setattr(interpretable, "PATIENCE", np.inf)
    assert interpreted_if_small(interpretable.SMALL, asked)
    assert not interpreted_if_small(interpretable.SMALL + 1, asked)
    monkeypatch.setattr(interpretable, "PATIENCE", -1.0)
    assert not interpreted_if_small(1, asked)
    assert interpreted_if_small(1, asked, never_compile=True)
    assert not asked()


WITHOUT_NUMBA = """
import sys
from isocline.cli import main
try:
    main(["plan", *sys.argv[1:]])
except SystemExit as end:
    assert not end.code, end.code
print("numba" in sys.modules)
"""


@pytest.mark.parametrize("system", ["mixed_fleet", "small_cluster"])
def test_a_plan_of_a_small_system_does_not_even_import_numba(system: str) -> None:
    command = [sys.executable, "-c", WITHOUT_NUMBA, f"examples/{system}.yaml"]
    if system == "mixed_fleet":
        command.append("--compare")
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=ROOT, env=dict(os.environ)
    )
    assert done.stdout.splitlines()[-1] == "False"
    assert "compiling" not in done.stderr
