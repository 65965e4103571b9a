"""Routing by expected latency (GMSR paper, Appendix A): Wardrop's conditions, Pigou, its price."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.cli import main
from isocline.errors import InfeasibleError, UsageError
from isocline.flow import LevelFlowProblem, Prices
from isocline.model.graph import CompatibilityGraph
from isocline.model.systemfile import load
from isocline.theory import fluid_optimum
from isocline.theory.routing.latency_routing import latency_equilibrium, price_of_anarchy
from tests.builders import fleet, mixed, station
from tests.flow.worlds import PLAIN, curve, solved
from tests.theory.routing.test_equilibrium import n_model, random_system

EXAMPLES = Path(__file__).parents[3] / "examples"
SEEDS = st.integers(0, 2**32 - 1)
LOADS = st.sampled_from([0.05, 0.5, 0.9, 0.999])


@settings(max_examples=80, deadline=None)
@given(seed=SEEDS, load_=LOADS)
def test_used_backends_have_one_latency_and_none_has_less(seed: int, load_: float) -> None:
    """Wardrop's conditions, from the curves and the split alone."""
    system = random_system(seed, load_)
    found = latency_equilibrium(system)
    graph = system.graph
    sent = np.add.reduceat(found.split, graph.first[:-1])
    assert sent == pytest.approx(system.rates, rel=1e-11)
    received = np.bincount(graph.sink, found.split, graph.sinks)
    latency = np.empty(graph.sinks)
    for b, (one, jobs) in enumerate(zip(system.curves, found.workloads, strict=True)):
        assert float(one.rate(jobs)) == pytest.approx(received[b], rel=1e-9, abs=1e-12)
        latency[b] = jobs / received[b] if received[b] > 0.0 else 1.0 / float(one.marginal(0.0))
    for f in range(graph.sources):
        edges = range(graph.first[f], graph.first[f + 1])
        least = min(latency[graph.sink[e]] for e in edges)
        used = [latency[graph.sink[e]] for e in edges if found.split[e] > 1e-9 * system.rates[f]]
        assert used == pytest.approx([least] * len(used), rel=1e-6)
    assert found.total_jobs == pytest.approx(found.workloads.sum())
    assert found.mean_latency == pytest.approx(found.total_jobs / system.rates.sum())


@settings(max_examples=80, deadline=None)
@given(seed=SEEDS, load_=LOADS)
def test_price_of_anarchy_is_at_least_one(seed: int, load_: float) -> None:
    assert price_of_anarchy(random_system(seed, load_)) >= 1.0 - 1e-9


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, kind=st.sampled_from(PLAIN), share=st.floats(0.05, 0.95))
def test_price_of_anarchy_is_one_where_backends_are_alike_and_all_connected(
    seed: int, kind: str, share: float
) -> None:
    one = curve(np.random.default_rng(seed), kind)
    system = fleet([one] * 4, [share * one.supremum, 3.0 * share * one.supremum])
    assert price_of_anarchy(system) == pytest.approx(1.0, rel=1e-9)


def test_what_the_paper_prints_for_its_n_model_is_the_equilibrium_by_latency() -> None:
    # N/l is N + 1 and N + 2: level at (2, 1), which Appendix F states for GMSR (the erratum).
    found = latency_equilibrium(n_model())
    assert found.workloads.tolist() == pytest.approx([2.0, 1.0], rel=1e-12)
    assert price_of_anarchy(n_model()) == pytest.approx(3.0 / (2.0 * math.sqrt(2.0)), rel=1e-12)


def power(parameters: Any, inflow: float) -> Any:
    """offset + factor a^degree."""
    return parameters[0] + parameters[1] * inflow ** parameters[2]


# A price must increase, so the constant latency 1 rises by this much per job/s.
TILT = 1e-12


def pigou(degree: int, marginal: bool) -> np.ndarray:
    """Shares of Pigou's two roads, latencies 1 and x^degree; by latency, or by marginal cost.

    The marginal cost of a latency a^d is (d + 1) a^d.
    """
    factor = degree + 1.0 if marginal else 1.0
    own = Prices.custom(power, [math.inf] * 2, [[1.0, TILT, 1.0], [0.0, factor, degree]])
    graph = CompatibilityGraph.from_neighbours(2, [(0, 1)])
    return solved(LevelFlowProblem(graph, np.array([1.0]), own)).inflow


def pigou_cost(shares: np.ndarray, degree: int) -> float:
    return float(shares[0] + shares[1] ** (degree + 1))


def test_pigous_example_is_four_thirds() -> None:
    by_latency, best = pigou(1, marginal=False), pigou(1, marginal=True)
    assert by_latency == pytest.approx([0.0, 1.0], abs=1e-9)
    assert best == pytest.approx([0.5, 0.5], rel=1e-9)
    assert pigou_cost(best, 1) == pytest.approx(0.75, rel=1e-9)
    assert pigou_cost(by_latency, 1) / pigou_cost(best, 1) == pytest.approx(4.0 / 3.0, rel=1e-9)


@pytest.mark.parametrize("degree", [2, 10, 100, 1000])
def test_price_of_anarchy_grows_without_bound_along_pigous_family(degree: int) -> None:
    # Best is x = (d + 1)^(-1/d); the ratio 1 / (1 - d (d + 1)^(-(d + 1)/d)) grows like d / ln d.
    cost = [pigou_cost(pigou(degree, marginal), degree) for marginal in (False, True)]
    ratio = cost[0] / cost[1]
    known = 1.0 / (1.0 - degree * (degree + 1.0) ** (-(degree + 1.0) / degree))
    assert ratio == pytest.approx(known, rel=1e-9)
    assert ratio > 0.9 * degree / math.log(degree + 1.0) / 1.2


def test_pigous_example_as_a_system_file() -> None:
    system = load(EXAMPLES / "pigou.yaml")
    found = latency_equilibrium(system)
    assert found.workloads.tolist() == pytest.approx([0.0, 1.0], abs=1e-6)
    assert found.mean_latency == pytest.approx(1.0, rel=1e-6)
    assert fluid_optimum(system).total_jobs == pytest.approx(0.75, rel=1e-4)
    assert price_of_anarchy(system) == pytest.approx(4.0 / 3.0, rel=1e-4)


def test_other_rates_on_request() -> None:
    expected = latency_equilibrium(n_model()).workloads
    found = latency_equilibrium(n_model(0.5), np.array([0.4, 0.6]))
    assert found.workloads == pytest.approx(expected, rel=1e-12)
    assert found.mean_latency == pytest.approx(3.0, rel=1e-12)
    assert price_of_anarchy(n_model(0.5), np.array([0.4, 0.6])) == price_of_anarchy(n_model())


def test_overload_raises_with_its_proof_and_servers_are_refused_by_name() -> None:
    with pytest.raises(InfeasibleError) as caught:
        latency_equilibrium(n_model(2.0))
    assert caught.value.frontends == ("f0", "f1")
    assert caught.value.supply >= caught.value.capacity
    with pytest.raises(UsageError, match="backend b0: a servers curve"):
        latency_equilibrium(fleet([station()], [0.5]))


def test_record_knows_its_json_frame_and_picture() -> None:
    found = latency_equilibrium(mixed())
    document = json.loads(found.to_json())
    assert document.keys() == {"total_jobs", "mean_latency", "backends", "certificate"}
    assert found.to_frame()["jobs"].sum() == pytest.approx(document["total_jobs"])
    left, right = found.plot().axes
    assert [tick.get_text() for tick in left.get_yticklabels()] == ["b0", "b1"]
    assert "latency" in right.get_xlabel()


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["plan", *map(str, arguments)], prog_name="isocline")


def test_plan_compare_prints_the_price_of_anarchy_and_both_workloads() -> None:
    shown = run("--compare", EXAMPLES / "pigou.yaml").stdout
    assert "Price of anarchy 1.333: 33.3% above the optimum" in shown
    assert "1.000 jobs in the system, mean latency 1.000 s" in shown
    assert "0.7500 jobs in the system, mean latency 750.0 ms" in shown


def test_plan_compare_adds_one_key_to_the_json() -> None:
    plain = json.loads(run("--json", EXAMPLES / "n_model.yaml").stdout)
    compared = json.loads(run("--json", "--compare", EXAMPLES / "n_model.yaml").stdout)
    rival = compared.pop("latency_routing")
    assert compared == plain
    assert rival["price_of_anarchy"] == pytest.approx(rival["total_jobs"] / plain["total_jobs"])
    assert [row["jobs"] for row in rival["backends"]] == pytest.approx([2.0, 1.0], rel=1e-12)


def test_plan_compare_writes_pictures_and_rows(tmp_path: Path) -> None:
    assert run("--compare", EXAMPLES / "regions.yaml", "--out", tmp_path).exit_code == 0
    for kind in ("png", "svg", "csv"):
        assert (tmp_path / f"latency_routing.{kind}").stat().st_size > 0
    assert (tmp_path / "latency_routing.csv").read_text().startswith("name,jobs,rate,latency\n")


def test_plan_compare_of_too_much_load_has_nothing_to_compare(tmp_path: Path) -> None:
    path = tmp_path / "overloaded.yaml"
    path.write_text((EXAMPLES / "n_model.yaml").read_text().replace("rate: 0.4", "rate: 1.2"))
    result = run("--compare", "--json", path)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["latency_routing"] is None
    assert "anarchy" not in run("--compare", path).stdout
