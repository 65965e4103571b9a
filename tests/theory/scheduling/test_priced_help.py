"""The rule of `priced_help` with known loads, held against exact means of small clusters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.model.cluster import Cluster, ExplicitTasks, Rates
from isocline.model.graph import CompatibilityGraph
from isocline.theory.scheduling.cluster_chain import IDLE, IntArray, Rule, evaluate
from isocline.theory.scheduling.optimal_policy import optimal_policy


def own_only(waiting: IntArray, running: IntArray) -> tuple[int, int] | None:
    """Type m on server m alone."""
    return next(
        ((m, m) for m in range(waiting.size) if running[m] == IDLE and waiting[m] > 0), None
    )


def priced(loads: list[float], slowdown: float) -> Rule:
    """Own type first, else that of which most wait, if it saves more than it costs."""

    def rule(waiting: IntArray, running: IntArray) -> tuple[int, int] | None:
        if (own := own_only(waiting, running)) is not None:
            return own
        most = int(waiting.argmax())
        saved = (waiting[most] + 1) / (1 - loads[most])
        for m in np.flatnonzero(running == IDLE):
            load = loads[m]
            cost = slowdown + load * slowdown**2 / (1 - load)
            if waiting[most] > 0 and saved > cost:
                return int(m), most
        return None

    return rule


def two_servers(loads: list[float], remote: float) -> Cluster:
    graph = CompatibilityGraph.from_neighbours(2, [[0], [1]])
    return Cluster.numbered(2, Rates(1.0, remote), ExplicitTasks(graph, np.array(loads)))


@settings(max_examples=12)
@given(st.lists(st.floats(0.05, 0.85), min_size=2, max_size=2), st.floats(0.2, 0.95))
def test_it_is_an_improvement_on_help_to_nobody(loads: list[float], remote: float) -> None:
    """One step of policy iteration never raises the mean; the chain has room for 40 tasks."""
    best = optimal_policy(two_servers(loads, remote), 40)
    helped = evaluate(best.chain, priced(loads, 1 / remote)).mean
    assert helped <= evaluate(best.chain, own_only).mean * (1 + 1e-3)


@pytest.mark.parametrize("loads", [[0.3, 0.3], [0.7, 0.7], [0.9, 0.2], [0.8, 0.5]])
@pytest.mark.parametrize("remote", [0.3, 0.5, 0.8])
def test_it_is_within_a_tenth_of_the_optimum(loads: list[float], remote: float) -> None:
    best = optimal_policy(two_servers(loads, remote), 60)
    helped = evaluate(best.chain, priced(loads, 1 / remote)).mean
    assert helped <= 1.1 * best.mean
