"""The graph gives back the edges it was made of, from either side, and refuses malformed ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.errors import GraphError
from isocline.model.graph import CompatibilityGraph


@st.composite
def neighbourhoods(draw: st.DrawFn) -> tuple[int, list[set[int]]]:
    sinks = draw(st.integers(1, 9))
    row = st.sets(st.integers(0, sinks - 1), min_size=1)
    return sinks, draw(st.lists(row, min_size=1, max_size=9))


@given(neighbourhoods(), st.randoms(use_true_random=False))
def test_the_edges_come_back_in_order_whatever_order_they_were_given_in(
    shape: tuple[int, list[set[int]]], random: object
) -> None:
    sinks, rows = shape
    edges = [(f, b) for f, row in enumerate(rows) for b in row]
    random.shuffle(edges)  # type: ignore[attr-defined]
    graph = CompatibilityGraph.from_edges(len(rows), sinks, edges)
    assert list(zip(graph.source.tolist(), graph.sink.tolist(), strict=True)) == sorted(edges)
    assert [graph.neighbours(f).tolist() for f in range(graph.sources)] == [sorted(r) for r in rows]
    assert (graph.sources, graph.sinks, graph.edges) == (len(rows), sinks, len(edges))


@given(neighbourhoods())
def test_the_edges_into_each_sink_are_all_edges(shape: tuple[int, list[set[int]]]) -> None:
    sinks, rows = shape
    graph = CompatibilityGraph.from_neighbours(sinks, rows)
    assert sorted(graph.edge_into.tolist()) == list(range(graph.edges))
    for b in range(sinks):
        into = graph.edge_into[graph.sink_first[b] : graph.sink_first[b + 1]]
        assert (graph.sink[into] == b).all()


@given(neighbourhoods())
def test_has_edge_says_which_pairs_are_edges(shape: tuple[int, list[set[int]]]) -> None:
    sinks, rows = shape
    graph = CompatibilityGraph.from_neighbours(sinks, rows)
    for f, row in enumerate(rows):
        assert {b for b in range(sinks) if graph.has_edge(f, b)} == row


def test_one_more_edge_makes_a_new_graph() -> None:
    graph = CompatibilityGraph.from_neighbours(2, [[0], [0, 1]])
    more = graph.with_edge(0, 1)
    assert more.neighbours(0).tolist() == [0, 1]
    assert graph.neighbours(0).tolist() == [0]


ARRAYS = ("first", "sink", "source", "sink_first", "edge_into", "source_into")


@given(neighbourhoods())
def test_one_more_edge_gives_the_graph_of_all_edges(shape: tuple[int, list[set[int]]]) -> None:
    sinks, rows = shape
    graph = CompatibilityGraph.from_neighbours(sinks, rows)
    edges = [(f, b) for f, row in enumerate(rows) for b in row]
    for f, row in enumerate(rows):
        for b in range(sinks):
            if b in row:
                with pytest.raises(GraphError, match="given twice"):
                    graph.with_edge(f, b)
                continue
            more = graph.with_edge(f, b)
            made = CompatibilityGraph.from_edges(len(rows), sinks, [*edges, (f, b)])
            for name in ARRAYS:
                found, expected = getattr(more, name), getattr(made, name)
                assert found.dtype == expected.dtype
                assert not found.flags.writeable
                assert found.tolist() == expected.tolist()
    with pytest.raises(GraphError, match="does not exist"):
        graph.with_edge(0, sinks)


def test_a_graph_cannot_be_changed() -> None:
    graph = CompatibilityGraph.from_neighbours(2, [[0, 1]])
    for array in (graph.first, graph.sink, graph.source, graph.sink_first, graph.edge_into):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize(
    ("edges", "problem"),
    [
        ([(0, 0), (2, 0)], "source 2 does not exist; there are 2, from 0"),
        ([(0, 0), (1, 3)], "sink 3 does not exist; there are 3, from 0"),
        ([(0, 0), (-1, 0)], "source -1 does not exist"),
        ([(0, 1), (1, 0), (0, 1)], r"edge \(0, 1\) is given twice; give each once"),
        ([(0, 0)], "source 1 has no sink; connect it to one"),
        ([], "source 0 has no sink"),
    ],
)
def test_a_malformed_graph_is_refused(edges: list[tuple[int, int]], problem: str) -> None:
    with pytest.raises(GraphError, match=problem):
        CompatibilityGraph.from_edges(2, 3, edges)


def test_edges_may_come_as_an_array() -> None:
    graph = CompatibilityGraph.from_edges(2, 2, np.array([[1, 0], [0, 1]]))
    assert graph.sink.tolist() == [1, 0]
