"""What a system knows of itself; and the example files are what they say."""

from pathlib import Path

import numpy as np
import pytest

from isocline.errors import GraphError, UsageError
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem, Work
from isocline.model.graph import CompatibilityGraph
from isocline.model.systemfile import load, notes
from isocline.model.traffic import PoissonArrivals, Trace, read_trace

EXAMPLES = Path(__file__).parents[2] / "examples"
AZURE = Path(__file__).parents[3] / "shared" / "data" / "azure_llm_code.csv"


def small() -> RoutingSystem:
    return RoutingSystem(
        frontends=(Frontend("f", PoissonArrivals(2.0)),),
        backends=tuple(Backend(name, HyperbolicCurve(30.0, 4.0)) for name in "ab"),
        graph=CompatibilityGraph.from_neighbours(2, [[0]]),
        work=Work("tokens", mean=10.0, prefill=0.5),
    )


def test_curves_and_capacities_are_in_jobs_whatever_the_unit_of_work() -> None:
    assert small().curves[0] == HyperbolicCurve(3.0, 4.0)
    assert small().capacities.tolist() == pytest.approx([3.0, 3.0])


def test_the_work_of_a_request_weighs_its_tokens() -> None:
    trace = Trace("t", np.array([0.0, 1.0]), np.array([10.0, 0.0]), np.array([1.0, 7.0]))
    assert small().work.of(trace).tolist() == [6.0, 7.0]


def test_a_system_can_be_sped_up_and_connected_further() -> None:
    system = small().sped_up(3.0).with_edge(0, 1)
    assert system.rates.tolist() == [6.0]
    assert system.graph.neighbours(0).tolist() == [0, 1]


def test_a_graph_of_another_size_is_refused() -> None:
    graph = CompatibilityGraph.from_neighbours(3, [[0]])
    with pytest.raises(GraphError, match="joins 1 frontend and 3 backends; the system has 1 and 2"):
        RoutingSystem(small().frontends, small().backends, graph)


ROUTING = [
    path
    for path in sorted(EXAMPLES.glob("*.yaml"))
    if "kind: routing" in path.read_text() and path.stem != "serve"  # it has neither curve nor rate
]


@pytest.mark.parametrize("path", ROUTING, ids=lambda path: path.stem)
def test_every_example_loads_and_can_be_served(path: Path) -> None:
    system = load(path)
    assert system.rates.sum() < system.capacities.sum()


def test_the_mixed_fleet_is_loaded_to_seven_tenths_with_the_work_of_the_azure_trace() -> None:
    system = load(EXAMPLES / "mixed_fleet.yaml")
    assert system.rates.sum() / system.capacities.sum() == pytest.approx(0.70, abs=0.005)
    if not AZURE.exists():
        pytest.skip("the public traces are not part of the repository")
    assert system.work.of(read_trace(AZURE)).mean() == pytest.approx(system.work.mean, rel=1e-3)


def test_the_n_model_is_level_at_the_root_of_two() -> None:
    system = load(EXAMPLES / "n_model.yaml")
    n = np.sqrt(2.0)
    marginals = [float(curve.marginal(n)) for curve in system.curves]
    assert marginals[0] == pytest.approx(marginals[1], rel=1e-12)
    assert sum(float(c.rate(n)) for c in system.curves) == pytest.approx(system.rates.sum())


def test_the_regions_say_what_was_cut_from_their_table_and_keep_data_at_home() -> None:
    system = load(EXAMPLES / "regions.yaml")
    assert len(notes(system)) == 1
    eu = [system.backends[b].name for b in system.graph.neighbours(0)]
    assert eu == ["eu-large", "eu-small"]


@pytest.mark.parametrize("wrong", [{"mean": 0.0}, {"mean": float("nan")}, {"prefill": -0.1}])
def test_work_made_in_python_is_checked_like_that_of_a_file(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Work(unit="tokens", **wrong)
