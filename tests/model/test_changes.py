"""`isocline.changed`: machines added or removed, and other arrival rates."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import isocline
from isocline.model.changes.written import changes_in, next_names
from isocline.model.traffic import BatchArrivals, MarkovModulatedArrivals

EXAMPLES = Path(__file__).parents[2] / "examples"
FLEET = isocline.load(EXAMPLES / "mixed_fleet.yaml", kind="routing")
CLUSTER = isocline.load(EXAMPLES / "small_cluster.yaml", kind="near-data")
DRAWN = isocline.load(EXAMPLES / "near_data.yaml", kind="near-data")
KINDS = ("h100", "rtx4090", "a10g", "h100-1", "a10g-3")


def edges(system: isocline.RoutingSystem) -> set[tuple[str, str]]:
    graph = system.graph
    return {
        (system.frontends[f].name, system.backends[b].name)
        for f, b in zip(graph.source.tolist(), graph.sink.tolist(), strict=True)
    }


def same(one: isocline.RoutingSystem, other: isocline.RoutingSystem) -> bool:
    return (
        one.frontends == other.frontends
        and one.backends == other.backends
        and edges(one) == edges(other)
    )


def written(tmp_path: Path, old: str, new: str, name: str = "mixed_fleet") -> Any:
    text = (EXAMPLES / f"{name}.yaml").read_text()
    assert old in text
    (tmp_path / "by_hand.yaml").write_text(text.replace(old, new))
    return isocline.load(tmp_path / "by_hand.yaml")


def test_a_copy_is_what_a_file_written_so_describes(tmp_path: Path) -> None:
    line = "  - {name: h100-2,    curve: *h100}\n"
    by_hand = written(tmp_path, line, line + line.replace("h100-2", "h100-3"))
    made = isocline.changed(FLEET, add={"h100": 1})
    assert same(made, by_hand)
    assert isocline.plan(made).to_dict() == isocline.plan(by_hand).to_dict()


def test_a_copy_may_be_for_some_frontends_alone(tmp_path: Path) -> None:
    made = isocline.changed(FLEET, add=["a10g-1=2@c*"])
    assert {f for f, b in edges(made) if b in ("a10g-1-2", "a10g-1-3")} == {"chat", "code"}
    assert edges(FLEET) < edges(made)


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 4)), max_size=4))
def test_adding_and_removing_the_same_is_nothing(counts: list[tuple[str, int]]) -> None:
    texts = [f"{name}={count}" for name, count in counts]
    if not texts:
        return
    more = isocline.changed(FLEET, add=texts)
    assert len(more.backends) == len(FLEET.backends) + sum(count for _, count in counts)
    assert same(isocline.changed(more, remove=texts[::-1]), FLEET)
    assert same(isocline.changed(FLEET, add=texts, remove=texts[::-1]), FLEET)


@given(
    st.lists(
        st.tuples(st.sampled_from(["chat", "code", "office", "c*", None]), st.floats(0.01, 100.0)),
        min_size=1,
        max_size=4,
    )
)
def test_rates_scale(factors: list[tuple[str | None, float]]) -> None:
    made = isocline.changed(
        FLEET, rates=[f"x{f!r}" if name is None else f"{name}=x{f!r}" for name, f in factors]
    )
    wanted = FLEET.rates.copy()
    for name, factor in factors:
        of = {"c*": (0, 1), None: (0, 1, 2), "chat": (0,), "code": (1,), "office": (2,)}[name]
        wanted[list(of)] *= factor
    assert made.rates == pytest.approx(wanted, rel=1e-12)
    assert made.backends == FLEET.backends


def test_a_rate_may_be_given_itself() -> None:
    made = isocline.changed(FLEET, rates={"chat": 7.5, "office": 0.0})
    assert made.rates.tolist() == [7.5, 57.0, 0.0]
    assert isocline.changed(made, rates=["office=3"]).rates.tolist() == [7.5, 57.0, 3.0]


@pytest.mark.parametrize(
    ("arrivals", "factor"),
    [
        (isocline.PiecewiseArrivals(((0.0, 1.0), (10.0, 3.0)), 20.0), 1.5),
        (BatchArrivals(2.0, 3.0), 2.0),
        (MarkovModulatedArrivals((1.0, 5.0), (60.0, 6.0)), 1.2),
        (isocline.TraceArrivals(np.array([0.0, 1.0, 2.5]), 4.0), 3.0),
    ],
)
def test_a_law_keeps_its_form_at_another_rate(arrivals: isocline.Arrivals, factor: float) -> None:
    system = isocline.RoutingSystem(
        (isocline.Frontend("f", arrivals),), FLEET.backends[:1],
        isocline.CompatibilityGraph.from_neighbours(1, [[0]]),
    )  # fmt: skip
    for rates in (f"x{factor}", [f"f={factor * arrivals.rate!r}"]):
        made = isocline.changed(system, rates=rates).frontends[0].arrivals
        assert type(made) is type(arrivals)
        assert made.rate == pytest.approx(factor * arrivals.rate)
        if isinstance(made, isocline.PiecewiseArrivals):
            assert made.period == 20.0  # the day is as long as before


def test_a_frontend_goes_with_its_jobs() -> None:
    made = isocline.changed(FLEET, remove={"chat": 1})
    assert [frontend.name for frontend in made.frontends] == ["code", "office"]
    assert edges(made) == {(f, b) for f, b in edges(FLEET) if f != "chat"}


def test_backends_go_from_the_end_of_their_kind() -> None:
    made = isocline.changed(FLEET, remove={"a10g": 2, "h100-1": 1})
    gone = {b.name for b in FLEET.backends} - {b.name for b in made.backends}
    assert gone == {"a10g-3", "a10g-4", "h100-1"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"add": "h10=1"}, "there is no backend 'h10'; did you mean 'h100'?"),
        ({"add": "chat"}, "'chat': it is a frontend.*give a rate, as chat=x2"),
        ({"add": "h100=1@chta"}, "no frontend 'chta'; did you mean 'chat'?"),
        ({"add": "h100=1@"}, "names no frontend after @"),
        ({"add": "h100=two"}, "'two' is no whole number from 1 to 100,000"),
        ({"add": "h100=" + "9" * 5000}, "999....' is no whole number from 1 to 100,000"),
        ({"remove": "h100=3"}, r"there are 2 of it \(h100-1, h100-2\)"),
        ({"remove": "of"}, "no backend 'of'"),
        ({"remove": ["h100=2", "rtx4090=4"]}, "'code' may use no other backend"),
        ({"remove": "chat=2"}, "'chat': it is one frontend"),
        ({"rates": "cod=x2"}, "no frontend 'cod'; did you mean 'code'?"),
        ({"rates": "12"}, "there are 3 frontends; say whose rate it is, as chat=12"),
        ({"rates": "chat=x0"}, "'x0' is no factor above 0"),
        ({"rates": "chat=nan"}, "'nan' is no rate"),
        ({"rates": ["x2", 3]}, "rate"),
        ({}, "nothing changes"),
    ],
)
def test_what_cannot_be_done_is_said(change: dict[str, str], said: str) -> None:
    with pytest.raises(isocline.IsoclineError, match=said):
        isocline.changed(FLEET, **change)


def test_backends_that_are_not_alike_are_no_kind(tmp_path: Path) -> None:
    line = "  - {name: h100-2,    curve: *h100}"
    unlike = written(tmp_path, line, line.replace("*h100", "{type: servers, rate: 9}"))
    with pytest.raises(isocline.IsoclineError, match="h100-1 and h100-2 differ in their curves"):
        isocline.changed(unlike, add="h100")
    assert len(isocline.changed(unlike, add="h100-2").backends) == 11


def test_the_rates_of_a_trace_are_its_own() -> None:
    trace = isocline.Trace("t", np.arange(100.0), np.ones(100), np.ones(100))
    system = replace(FLEET, trace=trace)
    for change in ({"rates": "chat=3"}, {"rates": "chat=x2"}, {"remove": "chat"}):
        with pytest.raises(isocline.IsoclineError, match="are those of trace t"):
            isocline.changed(system, **change)
    faster = isocline.changed(system, rates="x2").trace
    assert faster is not None
    assert faster.length == trace.length / 2


def test_names_go_on_as_they_began() -> None:
    assert next_names("h100", ["h100-1", "h100-4", "h100-x"], 2) == ["h100-5", "h100-6"]
    assert next_names("a", ["a1", "a2"], 1) == ["a3"]
    assert next_names("gpu", ["gpu"], 2) == ["gpu-2", "gpu-3"]
    assert next_names("l4", ["l4", "l40"], 1) == ["l4-2"]


def test_a_server_more_is_what_a_file_written_so_describes(tmp_path: Path) -> None:
    by_hand = written(tmp_path, "servers: 1000", "servers: 1010", "near_data")
    made = isocline.changed(DRAWN, add={"servers": 10})
    assert made.servers == by_hand.servers
    assert isocline.plan(made).to_dict() == isocline.plan(by_hand).to_dict()


def test_a_copied_server_holds_the_same_data(tmp_path: Path) -> None:
    by_hand = written(
        tmp_path,
        "  - {name: c2, rack: c}\n",
        "  - {name: c2, rack: c}\n  - {name: b1-2, rack: b}\n",
        "small_cluster",
    )
    text = (tmp_path / "by_hand.yaml").read_text()
    text = text.replace("[a2, b1, b2]", "[a2, b1, b2, b1-2]").replace("[b1, c1]", "[b1, c1, b1-2]")
    (tmp_path / "by_hand.yaml").write_text(text)
    by_hand = isocline.load(tmp_path / "by_hand.yaml")
    made = isocline.changed(CLUSTER, add={"b1": 1})
    assert isocline.plan(made).to_dict() == isocline.plan(by_hand).to_dict()
    in_rack = isocline.changed(CLUSTER, add={"b": 1})
    assert in_rack.servers[-1] == "b3"
    assert in_rack.rack[-1] == 1
    assert isocline.plan(in_rack).capacity_scale >= isocline.plan(CLUSTER).capacity_scale


@pytest.mark.parametrize(
    ("cluster", "name"), [(CLUSTER, "b1"), (CLUSTER, "c"), (DRAWN, "servers"), (DRAWN, "7")]
)
def test_adding_and_removing_servers_is_nothing(cluster: isocline.Cluster, name: str) -> None:
    if name == "7":
        made = isocline.changed(isocline.changed(cluster, add="7=3"), remove="servers=3")
    else:
        made = isocline.changed(cluster, add={name: 3}, remove={name: 3})
    assert made.servers == cluster.servers
    assert made.racks == cluster.racks
    assert made.rack.tolist() == cluster.rack.tolist()
    if isinstance(made.tasks, isocline.ExplicitTasks):
        assert isinstance(cluster.tasks, isocline.ExplicitTasks)
        assert made.tasks.graph.sink.tolist() == cluster.tasks.graph.sink.tolist()


def test_servers_in_counted_racks_stay_spread_evenly() -> None:
    rates = isocline.Rates(1.0, 0.5, 0.8)
    tasks = isocline.SampledTasks(3, 9.0)
    made = isocline.changed(isocline.Cluster.numbered(12, rates, tasks, racks=3), add="servers=3")
    whole = isocline.Cluster.numbered(15, rates, tasks, racks=3)
    assert made.rack.tolist() == whole.rack.tolist()
    assert made.servers == whole.servers


def test_tasks_come_more_or_less_often() -> None:
    assert isocline.changed(DRAWN, rates="x1.2").arrival_rate == pytest.approx(840.0)
    assert isocline.changed(DRAWN, rates="600").arrival_rate == pytest.approx(600.0)
    assert isocline.changed(CLUSTER, rates="x0.5").arrival_rate == pytest.approx(0.23)


@pytest.mark.parametrize(
    ("cluster", "change", "said"),
    [
        (CLUSTER, {"add": "b9"}, "no server or rack 'b9'; did you mean 'b"),
        (CLUSTER, {"add": "servers"}, "say in which rack, as a=1"),
        (CLUSTER, {"add": "b1=1@chat"}, "a cluster has no frontends"),
        (CLUSTER, {"remove": "c=2"}, r"the data of tasks\[3\] would be on no server"),
        (CLUSTER, {"remove": "b=3"}, "there are 2 of it"),
        (CLUSTER, {"rates": "clicks=x2"}, "have no names; give a factor for all"),
        (DRAWN, {"add": "h100"}, "the servers have no names; give servers=COUNT"),
        (DRAWN, {"remove": "servers=1000"}, "no server would be left"),
        (DRAWN, {"rates": "0"}, "give a rate above 0"),
    ],
)
def test_what_cannot_be_done_to_a_cluster_is_said(
    cluster: isocline.Cluster, change: dict[str, str], said: str
) -> None:
    with pytest.raises(isocline.IsoclineError, match=said):
        isocline.changed(cluster, **change)


def test_a_frontend_that_is_named_twice_counts_once() -> None:
    assert changes_in(add="h100=1@chat, chat") == changes_in(add="h100=1@chat")
