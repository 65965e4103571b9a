"""Markov-modulated Poisson arrivals: the rate is that of a state, and states follow each other."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Self, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import require_fields
from isocline.errors import UsageError
from isocline.model.traffic.arrivals import Arrivals, FloatArray

IndexArray = npt.NDArray[np.int64]

_AT_ONCE = 1024  # states drawn at a time


@final
@dataclass(frozen=True)
class MarkovModulatedArrivals(Arrivals):
    """K states; in state k jobs come at `rates[k]` for an exponential time of mean `durations[k]`.

    The next state is drawn with the probabilities of a row of `following`, by default any other
    state alike; with two states they take turns. Fischer and Meier-Hellstern, *The Markov-modulated
    Poisson process (MMPP) cookbook*, Performance Evaluation 18(2), 1993.
    """

    rates: tuple[float, ...]  # jobs/s
    durations: tuple[float, ...]  # s
    following: tuple[tuple[float, ...], ...] | None = None  # (K, K), rows add up to 1

    def __post_init__(self) -> None:
        require_fields(self, "mmpp arrivals")
        states = len(self.rates)
        if states < 2 or len(self.durations) != states:
            raise UsageError(
                f"mmpp arrivals: {states} rates and {len(self.durations)} durations; give as many "
                "of one as of the other, two or more"
            )
        if not all(math.isfinite(rate) and rate >= 0 for rate in self.rates) or not any(self.rates):
            raise UsageError("mmpp arrivals: give finite rates of at least 0, one of them above 0")
        if not all(math.isfinite(mean) and mean > 0 for mean in self.durations):
            raise UsageError("mmpp arrivals: give finite durations above 0")
        chain = self._chain
        if chain.shape != (states, states) or (chain < 0).any() or not np.allclose(chain.sum(1), 1):
            raise UsageError(
                f"mmpp arrivals: next must be {states} rows of {states} probabilities that add up "
                "to 1"
            )
        reach = np.linalg.matrix_power(np.eye(states) + chain, states) > 0
        if not reach.all():
            raise UsageError("mmpp arrivals: next must lead from each state to every other")

    @cached_property
    def _chain(self) -> FloatArray:
        if self.following is not None:
            return np.array(self.following, dtype=np.float64, ndmin=2)
        states = len(self.rates)
        return (np.ones((states, states)) - np.eye(states)) / (states - 1)

    @cached_property
    def shares(self) -> FloatArray:
        """(K,) long-run share of time in each state."""
        states = len(self.rates)
        balance = np.vstack((self._chain.T - np.eye(states), np.ones(states)))
        visits = np.linalg.lstsq(balance, np.r_[np.zeros(states), 1.0], rcond=None)[0]
        time = visits * np.array(self.durations)
        return np.asarray(time / time.sum())

    @property
    def rate(self) -> float:
        return float(self.shares @ np.array(self.rates))

    @property
    def is_stationary(self) -> bool:
        return True

    @property
    def in_words(self) -> str:
        return f"Markov-modulated Poisson ({len(self.rates)} states)"

    def sped_up(self, factor: float) -> Self:
        rates = tuple(rate * factor for rate in self.rates)
        return self.__class__(rates, tuple(d / factor for d in self.durations), self.following)

    def enlarged(self, factor: float) -> Self:
        rates = tuple(rate * factor for rate in self.rates)
        return self.__class__(rates, self.durations, self.following)

    def sample(self, rng: np.random.Generator, until: float) -> FloatArray:
        ends, states = self._path(rng, until)
        edges = np.concatenate(([0.0], np.minimum(ends, until)))
        # A unit-rate Poisson process on the cumulative rate, mapped back through its inverse.
        brought = np.array(self.rates)[states] * np.diff(edges)
        cumulative = np.concatenate(([0.0], np.cumsum(brought)))
        marks = np.sort(rng.uniform(0.0, cumulative[-1], int(rng.poisson(cumulative[-1]))))
        at = np.searchsorted(cumulative, marks, side="right") - 1
        into = (marks - cumulative[at]) / np.array(self.rates)[states[at]]
        return np.asarray(edges[at] + into)

    def _path(self, rng: np.random.Generator, until: float) -> tuple[FloatArray, IndexArray]:
        """When each state that is visited before `until` ends, and which it is."""
        cumulative = np.cumsum(self._chain, axis=1)
        cumulative[:, -1] = 1.0
        state = int(np.searchsorted(np.cumsum(self.shares)[:-1], rng.random(), side="right"))
        now = 0.0
        ends: list[FloatArray] = []
        visited: list[IndexArray] = []
        while now < until:
            marks = rng.random(_AT_ONCE)
            states = np.empty(_AT_ONCE, np.int64)
            for i, mark in enumerate(marks):
                states[i] = state
                state = int(np.searchsorted(cumulative[state], mark, side="right"))
            lengths = rng.standard_exponential(_AT_ONCE) * np.array(self.durations)[states]
            ends.append(now + np.cumsum(lengths))
            visited.append(states)
            now = float(ends[-1][-1])
        all_ends = np.concatenate(ends)
        kept = int(np.searchsorted(all_ends, until)) + 1
        return all_ends[:kept], np.concatenate(visited)[:kept]
