"""A source without supply changes nothing for the others, and sees the price it would get."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.errors import UsageError
from isocline.flow import LevelFlowProblem, Prices, capacity_scale, solve
from isocline.flow.result import FlowStatus
from isocline.model.curves import HyperbolicCurve
from isocline.model.graph import CompatibilityGraph
from isocline.theory.routing.capacity_slack import capacity_slack

CURVES = [HyperbolicCurve(10.0, 4.0), HyperbolicCurve(6.0, 1.0), HyperbolicCurve(20.0, 9.0)]
CAPACITY = np.array([10.0, 6.0, 20.0])


@given(
    rows=st.lists(st.sets(st.integers(0, 2), min_size=1), min_size=2, max_size=5),
    data=st.data(),
)
def test_silent_sources_might_as_well_not_be_there(
    rows: list[set[int]], data: st.DataObject
) -> None:
    supply = np.array([data.draw(st.sampled_from([0.0, 0.5, 3.0])) for _ in rows])
    loud = np.flatnonzero(supply)
    if not loud.size:
        with pytest.raises(UsageError, match="every supply is 0"):
            capacity_scale(CompatibilityGraph.from_neighbours(3, rows), supply, CAPACITY)
        return
    graph = CompatibilityGraph.from_neighbours(3, rows)
    alone = CompatibilityGraph.from_neighbours(3, [rows[f] for f in loud])
    whole = capacity_scale(graph, supply, CAPACITY)
    part = capacity_scale(alone, supply[loud], CAPACITY)
    assert whole.scale == part.scale
    assert whole.sources.tolist() == loud[part.sources].tolist()
    assert (
        capacity_slack(graph, supply, CAPACITY).slack
        == capacity_slack(alone, supply[loud], CAPACITY).slack
    )
    found = solve(LevelFlowProblem(graph, supply, Prices.of_curves(CURVES)))
    expected = solve(LevelFlowProblem(alone, supply[loud], Prices.of_curves(CURVES)))
    assert found.status == expected.status
    if found.status is FlowStatus.INFEASIBLE:
        assert found.violated_sources.tolist() == loud[expected.violated_sources].tolist()
        return
    assert found.inflow.tolist() == expected.inflow.tolist()
    for f, row in enumerate(rows):
        assert found.level[f] == min(found.price[b] for b in row)
        sent = found.flow[graph.first[f] : graph.first[f + 1]].sum()
        assert sent == pytest.approx(supply[f])
    again = solve(LevelFlowProblem(graph, supply, Prices.of_curves(CURVES)), near=found)
    assert again.inflow == pytest.approx(found.inflow, rel=1e-9)
