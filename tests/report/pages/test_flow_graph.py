"""Graphs of flows: widths in proportion, ends that carry what they should, groups that add up."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.report.pages.flow_graph import End, Flow, FlowGraph
from tests.report.pages.reading import HOSTILE, Page


def graph(rates: dict[tuple[int, int], float], excess: float = 0.0) -> FlowGraph:
    """Flows between ends whose rates are the sums; each sink serves `excess` less than it gets."""
    flows = [Flow(*ends, rate) for ends, rate in rates.items()]
    sources = range(1 + max(source for source, _ in rates))
    sinks = range(1 + max(sink for _, sink in rates))
    return FlowGraph(
        "graph",
        "in words",
        ("from", "to"),
        [End(f"f-{i}", sum(f.rate for f in flows if f.source == i), 1) for i in sources],
        [End(f"b-{j}", sum(f.rate for f in flows if f.sink == j) - excess, 1 + j % 3, "note")
         for j in sinks],
        flows,
    )  # fmt: skip


def drawn(made: FlowGraph) -> tuple[list[float], list[float], Page]:
    """Widths of ribbons, and heights of bars, of the picture for a desk."""
    page = Page(str(made.svg()))
    half = page.source.index("plot-narrow")
    wide = Page(page.source[: page.source.rindex("<svg", 0, half)])
    ribbons = [
        float(str(a["stroke-width"])) for a in wide.named("path") if "flow" in str(a["class"])
    ]
    bars = [float(str(a["height"])) for a in wide.named("rect") if "end" in str(a["class"])]
    return ribbons, bars, wide


def test_ribbons_are_as_wide_as_flows_and_fill_the_bars_of_their_ends() -> None:
    ribbons, bars, _ = drawn(graph({(0, 0): 30.0, (0, 1): 10.0, (1, 1): 20.0}))
    one = sum(ribbons) / 60.0
    assert ribbons == pytest.approx([30 * one, 20 * one, 10 * one], rel=0.01)
    assert sorted(bars) == pytest.approx(sorted([40 * one, 20 * one, 30 * one, 30 * one]), rel=0.01)


def test_what_a_sink_cannot_serve_is_outlined_as_high_as_it_is() -> None:
    ribbons, _, page = drawn(graph({(0, 0): 30.0}, excess=10.0))
    (rest,) = (a for a in page.named("rect") if a["class"] == "rest")
    assert float(str(rest["height"])) == pytest.approx(ribbons[0] / 3.0, rel=0.01)
    _, _, page = drawn(graph({(0, 0): 30.0}))
    assert not [a for a in page.named("rect") if a["class"] == "rest"]


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 40), st.integers(0, 40)), st.floats(1e-3, 1e3), min_size=1,
        max_size=80,
    )
)  # fmt: skip
def test_however_many_there_are_few_are_drawn_and_nothing_is_lost(
    rates: dict[tuple[int, int], float],
) -> None:
    made = graph(rates)
    ribbons, bars, page = drawn(made)
    assert len(bars) <= 40
    heights = [float(str(a["y"])) for a in page.named("rect")]
    (box,) = (a for a in page.named("svg"))
    width, height = map(float, str(box["viewbox"]).split()[2:])
    assert min(heights) >= 0.0
    assert all(float(str(a["y"])) + float(str(a["height"])) <= height for a in page.named("rect"))
    ends = re.findall(r"M([\d.]+) .* ([\d.]+) [\d.]+\"", page.source)
    assert all(0 <= float(x) <= width for pair in ends for x in pair)
    # Each is at least a pixel wide; the rest adds up to the bars.
    assert sum(ribbons) >= sum(bars) / 2.0 - len(bars) * 2.0


def test_names_stay_text_and_long_ones_are_there_in_full() -> None:
    long = "inference-" * 10
    made = FlowGraph(
        HOSTILE, HOSTILE, (HOSTILE, "to"), [End(HOSTILE, 1.0, 1, HOSTILE)], [End(long, 1.0, 0)],
        [Flow(0, 0, 1.0)],
    )  # fmt: skip
    page = Page(str(made.svg()))
    assert page.requests() == []
    assert not page.named("script")
    assert not page.named("img")
    assert long in page.words
