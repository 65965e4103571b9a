import dataclasses
import json
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from isocline.errors import InfeasibleError, MissingExtraError, UsageError
from isocline.flow import capacity_scale
from isocline.model.curves import Curve, ExponentialCurve, HyperbolicCurve, KneeCurve
from isocline.model.fleet import RoutingSystem
from isocline.theory import FluidOptimum, fluid_optimum, plan
from isocline.theory.routing.workloads import workloads
from tests.builders import fleet, station
from tests.flow.worlds import PLAIN, curve, random_graph

ROOT2 = math.sqrt(2.0)


def n_model(factor: float = 1.0) -> RoutingSystem:
    """GMSR paper, Figure 6: both frontends reach the first backend, the second both."""
    curves = [HyperbolicCurve(1.0, 1.0), HyperbolicCurve(1.0, 2.0)]
    return fleet(curves, [0.4 * factor, 0.6 * factor], [[0], [0, 1]])


def random_system(seed: int, load: float = 0.7) -> RoutingSystem:
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, 5, 5, 0.4)
    curves = [curve(rng, str(rng.choice(PLAIN))) for _ in range(5)]
    rows = [graph.neighbours(f).tolist() for f in range(5)]
    system = fleet(curves, rng.uniform(0.2, 1.0, 5).tolist(), rows)
    return system.sped_up(load * plan(system, edges_to_try=0).capacity_scale)


def optimum(system: RoutingSystem) -> FluidOptimum:
    return fluid_optimum(system)


def test_n_model_has_the_true_optimum_not_the_printed_one() -> None:
    found = plan(n_model())
    assert found.total_jobs == pytest.approx(2 * ROOT2, rel=1e-12)
    assert [backend.jobs for backend in found.backends] == pytest.approx([ROOT2] * 2, rel=1e-12)
    assert found.mean_latency == pytest.approx(2 * ROOT2, rel=1e-12)  # rates add up to 1
    assert found.total_jobs is not None
    assert found.total_jobs < 3.0  # the printed equilibrium (2, 1)
    assert found.capacity_scale == pytest.approx(2.0, rel=1e-12)


def test_json_has_exactly_the_keys_of_the_interface() -> None:
    document = plan(n_model()).to_dict()
    assert json.loads(json.dumps(document)) == document
    assert list(document) == [
        "kind", "status", "total_jobs", "mean_latency", "backends", "split", "tiers",
        "capacity_scale", "bottleneck", "certificate", "shadow_prices", "missing_edges", "overload",
    ]  # fmt: skip
    assert document["kind"] == "routing"
    assert document["status"] == "optimal"
    assert set(document["backends"][0]) == {
        "name", "jobs", "rate", "marginal_rate", "utilisation",
    }  # fmt: skip
    assert set(document["split"][0]) == {"frontend", "backend", "rate"}
    assert set(document["tiers"][0]) == {"frontends", "backends", "marginal_rate"}
    assert set(document["bottleneck"]) == {"frontends", "backends"}
    assert set(document["certificate"]) == {"conservation", "slope_gap"}
    assert set(document["shadow_prices"][0]) == {"backend", "saves"}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), load=st.sampled_from([0.05, 0.5, 0.9, 1 - 1e-9]))
def test_plan_is_consistent_with_the_curves_it_was_made_from(seed: int, load: float) -> None:
    system = random_system(seed, load)
    found = plan(system, edges_to_try=0)
    sent = dict.fromkeys((f.name for f in system.frontends), 0.0)
    received = dict.fromkeys((b.name for b in system.backends), 0.0)
    for entry in found.split:
        sent[entry.frontend] += entry.rate
        received[entry.backend] += entry.rate
    assert list(sent.values()) == pytest.approx(system.rates, rel=1e-11)
    for backend, one in zip(found.backends, system.curves, strict=True):
        assert backend.rate == pytest.approx(received[backend.name], rel=1e-12)
        assert one.rate(backend.jobs) == pytest.approx(backend.rate, rel=1e-9, abs=1e-12)
        # the workload is right to 1e-16 / (1 - load), the marginal rate to the same
        assert one.marginal(backend.jobs) == pytest.approx(backend.marginal_rate, rel=1e-6)
        assert backend.utilisation == pytest.approx(backend.rate / one.supremum)
    total = math.fsum(backend.jobs for backend in found.backends)
    assert found.total_jobs == pytest.approx(total)
    assert found.mean_latency == pytest.approx(total / system.rates.sum())  # Little's law


def test_tiers_are_named_in_order_of_falling_marginal_rate() -> None:
    system = fleet(
        [HyperbolicCurve(1.0, 1.0), HyperbolicCurve(9.0, 1.0), HyperbolicCurve(1.0, 99.0)],
        [0.5, 1.0],
        [[0, 1], [1, 2]],
    )
    found = plan(system).tiers
    assert [tier.backends for tier in found] == [("b1",), ("b0",), ("b2",)]
    assert found[0].frontends == ("f0", "f1")
    assert found[2].frontends == ()
    assert found[2].marginal_rate == pytest.approx(1 / 99)


def test_what_cannot_be_served_is_said_with_its_proof_and_has_no_optimum() -> None:
    system = fleet([HyperbolicCurve(1.0, 1.0)] * 3, [0.7, 0.7, 0.5], [[0], [0], [1, 2]])
    document = plan(system).to_dict()
    assert document["status"] == "infeasible"
    assert document["bottleneck"] == {"frontends": ["f0", "f1"], "backends": ["b0"]}
    assert document["capacity_scale"] == pytest.approx(1 / 1.4)
    for key in ("total_jobs", "mean_latency", "certificate"):
        assert document[key] is None
    for key in ("backends", "split", "tiers", "shadow_prices", "missing_edges"):
        assert document[key] == []


def test_plan_refuses_a_curve_that_is_not_strictly_concave_by_name() -> None:
    system = fleet([HyperbolicCurve(1.0, 1.0), station(2.0, 3)], [0.5])
    with pytest.raises(UsageError, match=r"backend b1: a servers curve is not strictly concave"):
        plan(system)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), backend=st.integers(0, 4))
def test_shadow_price_is_the_derivative_in_the_backends_speed(seed: int, backend: int) -> None:
    system = random_system(seed)
    step = 1e-4

    def jobs(factor: float) -> float:
        backends = list(system.backends)
        faster = backends[backend].curve.scaled(factor)
        backends[backend] = dataclasses.replace(backends[backend], curve=faster)
        return optimum(dataclasses.replace(system, backends=tuple(backends))).total_jobs

    slope = (jobs(1.0 - step) - jobs(1.0 + step)) / (2.0 * step)
    found = plan(system, edges_to_try=0)
    # the central difference is wrong by step^2 of a third derivative, and by the kinks of tables
    assert found.mean_latency is not None
    expected = 0.01 * slope / system.rates.sum()
    assert found.shadow_prices[backend].saves == pytest.approx(
        expected, rel=2e-3, abs=1e-7 * found.mean_latency
    )


def test_frame_has_one_row_for_each_backend() -> None:
    frame = plan(n_model()).to_frame()
    assert frame.index.tolist() == ["b0", "b1"]
    assert frame["jobs"].tolist() == pytest.approx([ROOT2] * 2)
    assert set(frame.columns) == {
        "jobs", "rate", "marginal_rate", "utilisation", "saves_per_percent",
    }  # fmt: skip


def test_frame_without_pandas_names_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'isocline\[frame\]'"):
        plan(n_model()).to_frame()


def test_fluid_optimum_takes_other_rates_on_request() -> None:
    assert fluid_optimum(n_model(0.5), np.array([0.4, 0.6])).total_jobs == pytest.approx(2 * ROOT2)


def test_fluid_optimum_raises_with_the_sets_that_prove_infeasibility() -> None:
    with pytest.raises(InfeasibleError) as caught:
        fluid_optimum(n_model(2.0))
    assert caught.value.frontends == ("f0", "f1")
    assert caught.value.backends == ("b0", "b1")
    assert caught.value.supply >= caught.value.capacity


def test_fluid_optimum_of_one_kind_of_servers_is_the_offered_load() -> None:
    # M/M/n stations of one speed: N = a / rate below capacity, whatever the split
    system = fleet([station(2.0, 3)] * 4, [5.0, 7.0])
    found = fluid_optimum(system)
    assert found.total_jobs == pytest.approx(6.0, rel=1e-12)
    assert found.workloads == pytest.approx([1.5] * 4, rel=1e-5)


def test_fluid_optimum_fills_the_faster_servers_first() -> None:
    # 3 jobs/s: the fast station takes 2, at 1/2 s each; the slow one the rest at 1 s
    found = fluid_optimum(fleet([station(2.0), station(1.0, 5)], [3.0]))
    assert found.total_jobs == pytest.approx(2.0, rel=1e-4)


@pytest.mark.parametrize("load", [0.1, 0.4, 0.6, 0.8, 0.95])
@pytest.mark.parametrize("seed", range(4))
def test_fluid_optimum_of_servers_is_that_of_a_linear_program(seed: int, load: float) -> None:
    rng = np.random.default_rng(seed)
    stations = [station(float(rng.uniform(0.5, 3.0)), int(rng.integers(1, 9))) for _ in range(4)]
    rates = rng.uniform(0.2, 1.0, 3)
    graph: list[list[int]] = [[0, 1], [1, 2, 3], [0, 2]]
    full = fleet(stations, rates.tolist(), graph)
    scale = capacity_scale(full.graph, rates, full.capacities).scale
    system = full.sped_up(load * scale)
    # Jobs are work in place: 1 / rate for each job/s that a station serves, whatever its load.
    pairs = [(f, b) for f, backends in enumerate(graph) for b in backends]
    cost = [1.0 / stations[b].each for _, b in pairs]
    served = np.array([[float(f == g) for f, _ in pairs] for g in range(3)])
    used = np.array([[float(b == c) for _, b in pairs] for c in range(4)])
    program = linprog(
        cost, A_ub=used, b_ub=[it.supremum for it in stations],
        A_eq=served, b_eq=[it.arrivals.rate for it in system.frontends],
    )  # fmt: skip
    assert program.success
    assert program.fun is not None
    found = fluid_optimum(system)
    assert found.total_jobs == pytest.approx(program.fun, rel=3e-6)
    assert found.total_jobs >= program.fun * (1.0 - 1e-9)


@pytest.mark.parametrize("load", [1e-9, 0.3, 0.5, 0.7, 1 - 1e-9])
@pytest.mark.parametrize(
    "one",
    [HyperbolicCurve(3.0, 2.0), ExponentialCurve(3.0, 2.0), KneeCurve(3.0, 2.0, 4.0)],
    ids=["hyperbolic", "exponential", "knee"],
)
def test_workloads_agree_with_the_curves_own_inverse(one: Curve, load: float) -> None:
    inflow = np.array([load * one.supremum])
    jobs = one.workload(inflow)
    found = workloads([one], inflow, 1.0 / one.marginal(jobs))
    assert found == pytest.approx(jobs, rel=1e-6)
