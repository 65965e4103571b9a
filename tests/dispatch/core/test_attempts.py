"""The registry of attempts, against a list of those under way."""

import math

from hypothesis import given
from hypothesis import strategies as st

from isocline.dispatch.actions import Start
from isocline.dispatch.core.attempts import Attempt, Attempts
from isocline.policies.scheduling.contract import LOCAL

SERVERS, TASKS = 3, 5


def begin(registry: Attempts, task: int, server: int, now: float) -> Attempt:
    start = Start(task, server, LOCAL, "", pipelined=bool(registry.at[server]))
    return registry.begin(start, 10 + task, 0, 0, LOCAL, now)


def registry_of_servers() -> Attempts:
    registry = Attempts()
    for server in range(SERVERS):
        registry.at[server] = []
    return registry


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "begin", "end", "lose"]),
        st.integers(0, TASKS - 1),
        st.integers(0, SERVERS - 1),
    ),
    max_size=40,
)


@given(steps=STEPS)
def test_by_number_by_server_and_by_task_are_the_same_attempts(
    steps: list[tuple[str, int, int]],
) -> None:
    registry, under_way = registry_of_servers(), list[Attempt]()
    for now, (what, task, server) in enumerate(steps):
        known = [a for a in under_way if (a.start.task, a.start.server) == (task, server)]
        here = [a for a in under_way if a.start.server == server]
        if what == "begin" and not known and len(here) < 2:
            under_way.append(begin(registry, task, server, float(now)))
        elif what == "end":
            assert registry.end(server, task, float(now)) is (known[0] if known else None)
            under_way = [a for a in under_way if a not in known]
        elif what == "lose":
            assert registry.lose(server) == here
            registry.at[server] = []
            under_way = [a for a in under_way if a not in here]
        assert len(registry) == len(under_way)
        assert registry.at == {
            server: [a for a in under_way if a.start.server == server] for server in range(SERVERS)
        }
        for number in range(TASKS):
            assert registry.of.get(number, []) == [a for a in under_way if a.start.task == number]
        assert all(registry.get(a.number) is a for a in under_way)
        assert all(registry.find(a.start.server, a.start.task) is a for a in under_way)
        for at in registry.at.values():
            assert [a.began < math.inf for a in at] == [True, False][: len(at)]


def test_a_pipelined_attempt_begins_when_the_one_before_it_ends() -> None:
    registry = registry_of_servers()
    first, second = begin(registry, 0, 0, 1.0), begin(registry, 1, 0, 2.0)
    assert (first.began, second.given, second.began) == (1.0, 2.0, math.inf)
    registry.end(0, 0, 5.0)
    assert second.began == 5.0


def test_attempts_at_a_task_are_counted_until_it_is_forgotten() -> None:
    registry = registry_of_servers()
    assert [begin(registry, 7, server, 0.0).nth for server in (0, 1)] == [1, 2]
    registry.end(0, 7, 1.0)
    registry.lose(1)
    assert begin(registry, 7, 2, 2.0).nth == 3
    registry.forget(7)
    assert begin(registry, 7, 0, 3.0).nth == 1
    assert registry.get(1) is None
