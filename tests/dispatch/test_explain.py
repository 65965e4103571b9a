"""What is said of a run is what was measured, and what the near-data model makes of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.dispatch.engines.base import Node
from isocline.dispatch.explain import Copy, Explanation, Helped, explain
from isocline.dispatch.telemetry.demand import Demand

LOCAL, RACK, REMOTE = "local", "rack", "remote"


def nodes(names: str) -> list[Node]:
    return [Node(name) for name in names]


def skewed() -> Demand:
    """Of 80 tasks for a alone, b runs 20; c and d have 40 of their own."""
    demand = Demand()
    for number in range(80):
        helped = number % 4 == 0
        node, level, seconds = ("b", REMOTE, 2.0) if helped else ("a", LOCAL, 1.0)
        demand.finished(f"hot-{number % 2}", ["a"], node, level, seconds)
    for number in range(40):
        demand.finished(f"cold-{number}", ["c", "d"], "cd"[number % 2], LOCAL, 1.0)
    return demand


def test_a_hot_node_is_a_beneficiary_and_its_data_is_what_to_copy() -> None:
    found = explain(skewed(), nodes("abcd"), elapsed=100.0)
    assert found.tasks == {LOCAL: 100, RACK: 0, REMOTE: 20}
    assert found.seconds == {LOCAL: 1.0, REMOTE: 2.0}
    assert found.helped == (Helped("b", "a", 20.0),)
    # Near-data paper, Eq. (1), with loads .8, 0, .2, .2 tasks/s, alpha = 1 and gamma = .5: with a
    # alone overloaded .8 s - 1 = .5 (1 + 2 (1 - .2 s)), so that s = 2.5.
    assert found.capacity_scale == pytest.approx(2.5)
    # With a copy at b the hot data has two nodes: .8 s - 2 = .5 (2 - .4 s), so that s = 3.
    scale: Any = pytest.approx(3.0)
    assert found.copies[0] == Copy(("a",), "b", ("hot-0", "hot-1"), scale)
    assert found.bottleneck == ("a",)
    words = str(found)
    assert "b helped a with 20 tasks." in words
    assert "Load 0.4 of" in words
    assert (
        "Copy the data that only a holds, such as hot-0 and hot-1, to b: "
        "the capacity grows by 20.0%." in words
    )


def test_without_any_task_it_says_that_nothing_is_known() -> None:
    found = explain(Demand(), nodes("ab"), elapsed=1.0)
    assert found.capacity_scale is None
    assert "unknown: no task whose chunk a node holds has finished" in str(found)


def test_a_rate_that_nobody_measured_is_said_to_be_assumed() -> None:
    demand = Demand()
    demand.finished("x", ["a"], "a", LOCAL, 1.0)
    assert "no task ran remotely" in str(explain(demand, nodes("ab"), 10.0))
    demand = Demand()
    demand.finished("x", ["a"], "b", REMOTE, 1.0)
    assert "no task ran where its data is" in str(explain(demand, nodes("ab"), 10.0))


def test_if_remote_is_as_fast_as_local_there_is_no_capacity_to_speak_of() -> None:
    demand = Demand()
    demand.finished("x", ["a"], "a", LOCAL, 1.0)
    demand.finished("x", ["a"], "b", REMOTE, 0.5)
    assert "does not matter where data is" in str(explain(demand, nodes("ab"), 10.0))


def test_racks_have_a_rate_of_their_own() -> None:
    demand = Demand()
    for node, level, seconds in (("a", LOCAL, 1.0), ("b", RACK, 1.5), ("c", REMOTE, 3.0)):
        demand.finished("x", ["a"], node, level, seconds)
    racks = [Node("a", "r"), Node("b", "r"), Node("c", "s")]
    near, flat = explain(demand, racks, 1.0), explain(demand, nodes("abc"), 1.0)
    assert near.capacity_scale is not None
    assert flat.capacity_scale is not None
    assert near.capacity_scale > flat.capacity_scale


def test_a_node_that_fetched_the_chunk_did_not_help_itself() -> None:
    demand = Demand()
    demand.finished("x", ["a", "b"], "b", REMOTE, 1.0)  # b holds it by now
    assert explain(demand, nodes("ab"), 1.0).helped == (Helped("b", "a", 1.0),)


NAMES = "abcde"
TASKS = st.lists(
    st.tuples(
        st.sets(st.sampled_from(NAMES), max_size=3),
        st.sampled_from(NAMES),
        st.floats(0.01, 10.0),
    ),
    max_size=40,
)


@given(TASKS, st.floats(0.1, 1e4))
def test_whatever_ran_is_counted_once_and_explained(
    tasks: list[tuple[set[str], str, float]], elapsed: float
) -> None:
    demand = Demand()
    remote = 0
    for number, (holders, node, seconds) in enumerate(tasks):
        level = REMOTE if holders and node not in holders else LOCAL
        remote += level == REMOTE
        demand.finished(f"c{number}", holders, node, level, seconds)
    found: Explanation = explain(demand, nodes(NAMES), elapsed)
    assert sum(found.tasks.values()) == len(tasks)
    assert sum(entry.tasks for entry in found.helped) == pytest.approx(remote)
    assert all(copy.capacity_scale > (found.capacity_scale or 0.0) for copy in found.copies)
    assert str(found).startswith(f"{len(tasks):,} task")


def test_chunks_are_counted_in_bounded_memory_and_the_hot_one_is_kept() -> None:
    demand = Demand()
    for number in range(100_000):
        demand.finished("hot" if number % 10 == 0 else f"cold-{number}", ["a"], "a", LOCAL, 1.0)
    assert demand.chunks_of(("a",), 1) == ["hot"]
    assert len(demand.chunks_of(("a",), 10**6)) <= 1 << 14


def test_it_says_either_what_to_copy_or_that_there_is_nothing_to_copy() -> None:
    """At a load that all nodes bear, more holders may still raise what they can do."""
    demand = Demand()
    for number in range(30):
        demand.finished(f"c{number}", ["a"], "a", LOCAL, 1.0)
    found = explain(demand, nodes("ab"), elapsed=100.0)
    assert found.copies
    assert not found.beneficiaries
    words = str(found)
    assert "Nothing to copy" not in words
    assert "No data needs to be copied at this load" in words
    assert "For a higher load:\nCopy the data that only a holds" in words


def test_the_first_tasks_of_workers_are_said_apart_and_leave_less_time_for_the_rest() -> None:
    """Four nodes import modules for 9 s of 10 s, and are busy with 4 s of tasks in the last one."""
    demand = Demand()
    for number in range(44):
        node = "abcd"[number % 4]
        demand.finished(f"c{number}", [node], node, LOCAL, 0.1 if number >= 4 else None)
        if number < 4:
            demand.finished_cold(8.5)
    demand.lost_seconds += 2.0
    found = explain(demand, nodes("abcd"), elapsed=10.0)
    assert found.capacity_scale == pytest.approx(1.0)  # 4 s of work in 4 nodes' last second
    words = str(found)
    assert (
        "4 tasks were the first of a worker or imported modules, and took on average 8.5" in words
    )
    assert "Attempts without a result took 2 s" in words
    assert "these rates in the remaining time" in words
