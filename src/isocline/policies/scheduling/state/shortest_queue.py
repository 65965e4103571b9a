"""The shortest of a task's local queues (near-data paper, Section 2.1), ties at random."""

from typing import Any

from numba import int64, uint32

from isocline.compilation.compiled import inlined, inlined_as
from isocline.policies.scheduling.state.columns import LENGTH
from isocline.policies.scheduling.state.view import ROUTE, ClusterSetting, ClusterView
from isocline.randomness.draws import below


@inlined
def first_shortest(local: Any, view: ClusterView) -> int:
    """The first of the shortest.

    `local`, (k,) int32, are the task's local servers, at least one; reads LENGTH of their rows of
    `view.columns`.
    """
    best = uint32(local[0])
    least = view.columns[best, LENGTH]
    for i in range(1, local.size):
        queue = uint32(local[i])
        length = view.columns[queue, LENGTH]
        # Arithmetic in place of a branch that no predictor could learn.
        best = queue if length < least else best
        least = min(length, least)
    return int64(best)  # type: ignore[no-any-return]


@inlined
def random_shortest(local: Any, view: ClusterView, rng: Any) -> int:
    """One of the shortest. Draws: one if there is a tie.

    `local`, (k,) int32, are the task's local servers, at least one; reads LENGTH of their rows of
    `view.columns`. `rng`, (2,) uint64, is advanced by the draw.
    """
    best = first_shortest(local, view)
    least = view.columns[uint32(best), LENGTH]
    tied = 0
    for i in range(local.size):
        tied += view.columns[uint32(local[i]), LENGTH] == least
    if tied == 1:
        return best
    skip = below(rng, tied)
    for i in range(local.size):
        if view.columns[uint32(local[i]), LENGTH] == least:
            best = int64(local[i])
            if skip == 0:
                break
            skip -= 1
    return best


@inlined_as(ROUTE)
def shortest_first(local: Any, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """The first of the shortest, for local servers in random order. Draws: none.

    Reads `view.columns` as `first_shortest` does.
    """
    return first_shortest(local, view)


@inlined_as(ROUTE)
def shortest_random(local: Any, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """One of the shortest, for local servers in any order.

    Reads `view.columns` as `random_shortest` does, and draws from `rng` as it does.
    """
    return random_shortest(local, view, rng)


def shortest_route(setting: ClusterSetting) -> Any:
    """The quicker one where both are the same in law."""
    return shortest_first if setting.shuffled else shortest_random
