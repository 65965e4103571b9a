import numpy as np

from isocline.flow.problem import Edges
from isocline.flow.rounding_repair import repair_rounding
from tests.flow.worlds import ring


def test_short_sink_is_filled_by_sinks_that_each_give_a_little() -> None:
    n, missing, give = 50, 1e-12, 1e-13
    graph = ring(n)
    flow = np.full(graph.edges, 0.5)
    into_first = graph.edge_into[graph.sink_first[0]]
    flow[into_first] -= missing  # what the source sends too little, it sends nowhere
    group = np.zeros(2 * n, dtype=np.int32)
    excess = np.zeros(2 * n)
    excess[n:] = np.bincount(graph.sink, flow, n) - 1.0
    sent = np.add.reduceat(flow, graph.first[:-1])
    repair_rounding(Edges.of(graph), np.ones(n), group, flow, excess, 5e-13, give)
    inflow = np.bincount(graph.sink, flow, n)
    rounding = 4e-16  # of a sum of two halves
    assert abs(inflow[0] - 1.0) <= rounding
    assert np.all(inflow >= 1.0 - give - rounding)
    assert np.allclose(np.add.reduceat(flow, graph.first[:-1]), sent, rtol=0, atol=rounding)


def test_sinks_within_their_limit_are_left_alone() -> None:
    graph = ring(10)
    flow = np.full(graph.edges, 0.5)
    excess = np.zeros(20)
    excess[10] = -1e-13
    repair_rounding(
        Edges.of(graph), np.ones(10), np.zeros(20, np.int32), flow, excess, 5e-13, 1e-13
    )
    assert np.all(flow == 0.5)
