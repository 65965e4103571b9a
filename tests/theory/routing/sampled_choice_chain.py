"""Exact stationary law of power of d choices over small buffers, state by state."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import comb
from typing import final

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import spsolve

State = tuple[tuple[int, ...], ...]  # of each group the jobs at its backends, in order


@final
@dataclass(frozen=True)
class Group:
    """Like backends of the chain."""

    count: int
    service: Callable[[int], float]  # jobs/s at a number of jobs
    score: Callable[[int], float]


def mean_jobs(
    groups: Sequence[Group], rate: float, d: int, most: int, *, replacement: bool
) -> float:
    """Mean jobs per backend; a job sent to a backend with `most` jobs is lost."""
    parts = [itertools.combinations_with_replacement(range(most + 1), g.count) for g in groups]
    states: list[State] = list(itertools.product(*parts))
    number = {state: i for i, state in enumerate(states)}
    matrix = scipy.sparse.lil_matrix((len(states), len(states)))
    for state, i in number.items():
        for to, speed in transitions(groups, state, rate, d, most, replacement):
            matrix[number[to], i] += speed
            matrix[i, i] -= speed
    matrix[0, :] = 1.0
    right = np.zeros(len(states))
    right[0] = 1.0
    law = spsolve(matrix.tocsc(), right)
    jobs = np.array([sum(map(sum, state)) for state in states])
    return float(law @ jobs) / sum(g.count for g in groups)


def transitions(
    groups: Sequence[Group], state: State, rate: float, d: int, most: int, replacement: bool
) -> Iterator[tuple[State, float]]:
    n = sum(g.count for g in groups)
    scores = [g.score(j) for g, held in zip(groups, state, strict=True) for j in held]

    def all_above(least: float, strictly: bool) -> float:
        there = sum(score > least or (score == least and not strictly) for score in scores)
        return (there / n) ** d if replacement else comb(there, d) / comb(n, d)

    for g, (group, held) in enumerate(zip(groups, state, strict=True)):
        for jobs in set(held):
            many, score = held.count(jobs), group.score(jobs)
            if jobs > 0:
                yield changed(state, g, jobs, jobs - 1), many * group.service(jobs)
            if jobs < most:
                chosen = all_above(score, strictly=False) - all_above(score, strictly=True)
                yield (
                    changed(state, g, jobs, jobs + 1),
                    n * rate * chosen * many / scores.count(score),
                )


def changed(state: State, group: int, before: int, after: int) -> State:
    held = list(state[group])
    held[held.index(before)] = after
    return (*state[:group], tuple(sorted(held)), *state[group + 1 :])
