"""Optimal scheduling of small clusters, against queues that are solved and a slow twin."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.errors import UsageError
from isocline.model.cluster import Cluster, ExplicitTasks, Rates, SampledTasks
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import DeterministicSizes
from isocline.simulate.scheduling.compare import simulate_cluster
from isocline.theory.scheduling.cluster_chain import (
    IDLE,
    LOCAL,
    MOST_STATES,
    RACK,
    REMOTE,
    IntArray,
    Rule,
    cluster_chain,
    evaluate,
)
from isocline.theory.scheduling.optimal_policy import optimal_policy
from tests.naive import erlang_c_mean

RATES = Rates(local=1.0, remote=0.5)
State = tuple[tuple[int, ...], tuple[int, ...]]  # waiting, running


def cluster(
    rows: Sequence[Sequence[int]],
    arrivals: Sequence[float],
    rates: Rates = RATES,
    servers: int = 2,
    racks: int = 1,
) -> Cluster:
    graph = CompatibilityGraph.from_neighbours(servers, rows)
    return Cluster.numbered(servers, rates, ExplicitTasks(graph, np.array(arrivals)), racks=racks)


def own_only(waiting: IntArray, running: IntArray) -> tuple[int, int] | None:
    """Type m on server m alone."""
    return next(
        ((m, m) for m in range(waiting.size) if running[m] == IDLE and waiting[m] > 0), None
    )


def longest_above(least: int) -> Rule:
    """Own type first, else the type of which most wait, if at least so many."""

    def rule(waiting: IntArray, running: IntArray) -> tuple[int, int] | None:
        if (own := own_only(waiting, running)) is not None:
            return own
        idle, longest = np.flatnonzero(running == IDLE), int(waiting.argmax())
        return (int(idle[0]), longest) if idle.size and waiting[longest] >= least else None

    return rule


def test_one_server_is_mm1() -> None:
    found = optimal_policy(cluster([[0]], [0.7], servers=1))
    assert found.mean == pytest.approx(0.7 / 0.3, rel=1e-4)
    assert found.lost < 2e-6


@pytest.mark.parametrize("room", [1, 2, 7])
def test_one_server_with_little_room_is_mm1_with_losses(room: int) -> None:
    found = optimal_policy(cluster([[0]], [0.7], servers=1), room)
    law = 0.7 ** np.arange(room + 2)  # in the system: one runs, `room` wait
    law /= law.sum()
    assert found.mean == pytest.approx(law @ np.arange(room + 2), rel=1e-10)
    assert found.lost == pytest.approx(law[-1], rel=1e-10)


@pytest.mark.parametrize("servers", [2, 3, 4])
def test_data_on_every_server_is_mmc(servers: int) -> None:
    everywhere = cluster([range(servers)], [0.6 * servers], servers=servers)
    assert optimal_policy(everywhere, 60).mean == pytest.approx(
        erlang_c_mean(0.6 * servers, servers), rel=1e-9
    )


def test_servers_that_never_help_are_queues_of_their_own() -> None:
    chain = cluster_chain(cluster([[0], [1]], [0.5, 0.3]), 50)
    assert evaluate(chain, own_only).mean == pytest.approx(0.5 / 0.5 + 0.3 / 0.7, rel=1e-9)


def least_by_value_iteration(system: Cluster, room: int, rounds: int) -> float:
    """The least mean, state by state and set of starts by set of starts, as slow as it is plain."""
    assert isinstance(system.tasks, ExplicitTasks)
    graph, arrivals, rates = system.tasks.graph, system.tasks.rates, system.rates.levels
    types, servers = range(arrivals.size), range(system.size)
    clock = arrivals.sum() + system.size * rates[LOCAL]

    def level(kind: int, server: int) -> int:
        local = graph.neighbours(kind)
        if server in local:
            return LOCAL
        near = system.rates.rack is not None and system.rack[server] in system.rack[local]
        return RACK if near else REMOTE

    def after(waiting: tuple[int, ...], running: tuple[int, ...]) -> list[State]:
        """Every state that starts can lead to."""
        found = []
        options = [(None, *types) if running[m] == IDLE else (None,) for m in servers]
        for chosen in itertools.product(*options):
            left = tuple(waiting[kind] - chosen.count(kind) for kind in types)
            if min(left) >= 0:
                now = (
                    running[m] if kind is None else level(kind, m)
                    for m, kind in zip(servers, chosen, strict=True)
                )
                found.append((left, tuple(now)))
        return found

    grid = itertools.product(range(room + 1), repeat=arrivals.size)
    states = list(
        itertools.product(
            [waiting for waiting in grid if sum(waiting) <= room],
            itertools.product((IDLE, LOCAL, RACK, REMOTE), repeat=system.size),
        )
    )
    choices = {state: after(*state) for state in states}
    value = dict.fromkeys(states, 0.0)
    for _ in range(rounds):
        best = {state: min(value[each] for each in choices[state]) for state in states}
        last, value = value, {}
        for waiting, running in states:
            total, stays = float(sum(waiting) + sum(each != IDLE for each in running)), clock
            for kind in types:
                if sum(waiting) < room:
                    more = (*waiting[:kind], waiting[kind] + 1, *waiting[kind + 1 :])
                    total += arrivals[kind] / clock * best[more, running]
                    stays -= arrivals[kind]
            for m in servers:
                if running[m] != IDLE:
                    idle = (*running[:m], IDLE, *running[m + 1 :])
                    total += rates[running[m]] / clock * best[waiting, idle]
                    stays -= rates[running[m]]
            value[waiting, running] = total + stays / clock * best[waiting, running]
    change = [
        min(value[each] for each in choices[state]) - min(last[each] for each in choices[state])
        for state in states
    ]
    assert max(change) - min(change) < 1e-6
    return 0.5 * (max(change) + min(change))


@pytest.mark.parametrize(
    "system",
    [
        cluster([[0], [1]], [1.1, 0.2]),
        cluster([[0, 1], [1]], [0.5, 0.9], Rates(1.0, 0.3)),
        cluster([[0], [2]], [0.5, 0.3], Rates(1.0, 0.3, 0.8), servers=3, racks=2),
    ],
)
def test_the_least_mean_is_that_of_value_iteration_in_a_plain_twin(system: Cluster) -> None:
    assert optimal_policy(system, 3).mean == pytest.approx(
        least_by_value_iteration(system, 3, 400), rel=1e-6
    )


@settings(max_examples=15)
@given(
    st.lists(st.floats(0.05, 0.9), min_size=2, max_size=2),
    st.floats(0.1, 0.95),
    st.integers(3, 12),
)
def test_no_rule_is_better_than_the_optimum_and_the_certificate_is_close(
    arrivals: list[float], remote: float, room: int
) -> None:
    system = cluster([[0], [1]], arrivals, Rates(1.0, remote))
    found = optimal_policy(system, room)
    assert found.low <= found.mean * (1 + 1e-9)
    assert found.mean <= found.high * (1 + 1e-9)
    assert found.high - found.low <= 1e-7 * found.mean
    for rule in (own_only, *map(longest_above, (1, 2, 3))):
        assert evaluate(found.chain, rule).mean >= found.low


def test_room_for_more_tasks_raises_the_bound_until_none_are_lost() -> None:
    system = cluster([[0], [1]], [1.1, 0.2])
    found = [optimal_policy(system, room) for room in (5, 10, 20, 80)]
    means, lost = [each.mean for each in found], [each.lost for each in found]
    assert means == sorted(means)
    assert lost == sorted(lost, reverse=True)
    assert means[-1] == pytest.approx(optimal_policy(system).mean, rel=1e-4)


def test_simulated_policies_are_not_below_the_optimum() -> None:
    system = cluster([[0], [1]], [0.9, 0.3])
    found = simulate_cluster(
        system, ("late_binding", "local_first", "fifo", "balanced_pandas"),
        horizon=20_000.0, warmup=1000.0, replications=4, percentiles=False, threads=1,
    )  # fmt: skip
    least = optimal_policy(system).low
    for policy in found.policies:
        assert policy.mean_tasks is not None
        assert policy.mean_tasks.high >= least


def test_a_server_helps_where_that_gains_time_and_not_elsewhere() -> None:
    slow = optimal_policy(cluster([[0], [1]], [0.4, 0.4], Rates(1.0, 0.05)), 30)
    assert slow.first_start([1, 0], [IDLE, IDLE]) == (0, 0)
    assert slow.first_start([1, 0], [LOCAL, IDLE]) is None
    fast = optimal_policy(cluster([[0], [1]], [0.4, 0.4], Rates(1.0, 0.95)), 30)
    assert fast.first_start([1, 0], [LOCAL, IDLE]) == (1, 0)


def test_what_no_chain_can_be_made_of_is_refused() -> None:
    system = cluster([[0], [1]], [0.5, 0.5])
    with pytest.raises(UsageError, match="list their types"):
        cluster_chain(Cluster.numbered(2, RATES, SampledTasks(1, 1.0)), 5)
    constant = Cluster.numbered(2, RATES, system.tasks, service=DeterministicSizes())
    with pytest.raises(UsageError, match="exponential"):
        cluster_chain(constant, 5)
    with pytest.raises(UsageError, match="give 1 or more"):
        cluster_chain(system, 0)
    with pytest.raises(UsageError, match=f"more than {MOST_STATES:,}"):
        cluster_chain(system, 1000)
    with pytest.raises(UsageError, match="so little room"):
        optimal_policy(cluster([[0], [2]], [1.5, 0.6], servers=3), 2)
    with pytest.raises(UsageError, match="lower the rates"):
        optimal_policy(cluster([[0], [1]], [1.0, 1.0]))


def test_rules_that_cannot_be_followed_are_refused() -> None:
    chain = cluster_chain(cluster([[0], [1]], [0.5, 0.5]), 3)
    with pytest.raises(UsageError, match="never becomes empty"):
        evaluate(chain, lambda waiting, running: None)  # noqa: ARG005
    with pytest.raises(UsageError, match="has server 0 start type 1"):
        evaluate(chain, lambda waiting, running: (0, 1))  # noqa: ARG005
    with pytest.raises(UsageError, match="no state has"):
        chain.state([2, 2], [IDLE, IDLE])
