"""Slow, obviously correct twins of the slotted clock and of the fluid of the N-model."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

FloatArray = npt.NDArray[np.float64]


def pmf(law: str, expected: float, jobs: int) -> FloatArray:
    """(jobs + 1,) probabilities of 0 .. jobs departures; the Poisson parameter by bisection."""
    if law == "bernoulli":
        return np.array([1.0 - expected, expected, *[0.0] * (jobs - 1)])[: jobs + 1]
    k = np.arange(jobs + 1)
    if law == "binomial":
        return np.asarray(stats.binom.pmf(k, jobs, expected / max(jobs, 1)))

    def cut(parameter: float) -> FloatArray:
        p = stats.poisson.pmf(k, parameter)
        p[-1] = stats.poisson.sf(jobs - 1, parameter)
        return np.asarray(p)

    low, high = 0.0, 40.0 * (jobs + 1)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if float(k @ cut(middle)) < expected else (low, middle)
    return cut(low)


def quantile(p: FloatArray, mark: float) -> int:
    """The least k with P(0) + ... + P(k) > mark."""
    return int(np.searchsorted(np.cumsum(p), mark, side="right"))


def stationary_mean(arrivals: float, rate: Callable[[int], float], law: str, largest: int) -> float:
    """Mean of N' = N + Poisson(arrivals) - D(N), from the balance equations cut at `largest`."""
    size = largest + 1
    came = stats.poisson.pmf(np.arange(size), arrivals)
    chain = np.zeros((size, size))
    for n in range(size):
        left = pmf(law, rate(n), n)
        stays = np.convolve(left[::-1], came)[:size]  # what is left of n, plus what came
        chain[n, : stays.size] = stays
        chain[n, -1] += 1.0 - chain[n].sum()
    equations = np.vstack((chain.T - np.eye(size), np.ones(size)))
    law_of_n = np.linalg.lstsq(equations, np.r_[np.zeros(size), 1.0], rcond=None)[0]
    assert law_of_n[-1] < 1e-12
    return float(law_of_n @ np.arange(size))


def slotted(
    slots: int,
    arrivals: Iterator[int],
    departures: Iterator[int],
    leaving: Iterator[int],
    mean: float,
    source: Callable[[int], int],
    route: Callable[[int, list[int]], int],
    law: Callable[[int, int], FloatArray],
    start: Sequence[int],
) -> tuple[list[list[int]], list[int], list[int]]:
    """Play the recursion of the GMSR paper, Section 3, job by job.

    Returns:
        Workloads at the beginning of each slot and after the last, jobs held at the end of each
        slot, and the sojourn in slots of every job that left and was not there at the start.

    `route(f, N)` gives a backend or -1 to hold; `law(b, N)` the probabilities of departures.
    """
    backends: list[list[int]] = [[-1] * n for n in start]
    queues: dict[int, list[int]] = {}
    history, held, sojourns = [[len(jobs) for jobs in backends]], [], []
    poisson = stats.poisson.pmf(np.arange(int(mean + 40 * math.sqrt(mean) + 40)), mean)
    for slot in range(slots):
        n = [len(jobs) for jobs in backends]
        joining: list[list[int]] = [[] for _ in backends]
        refused = set()
        for f in sorted(queues):
            while queues[f]:
                b = route(f, n)
                if b < 0:
                    refused.add(f)
                    break
                joining[b].append(queues[f].pop(0))
        for _ in range(quantile(poisson, unit(next(arrivals)))):
            f = source(next(arrivals))
            b = -1 if queues.get(f) else route(f, n)
            (joining[b] if b >= 0 else queues.setdefault(f, [])).append(slot)
        for b, jobs in enumerate(backends):
            mark = unit(next(departures))
            for _ in range(quantile(law(b, n[b]), mark) if n[b] else 0):
                at = (next(leaving) >> 32) * len(jobs) >> 32
                if jobs[at] >= 0:
                    sojourns.append(slot - jobs[at])
                jobs[at] = jobs[-1]
                jobs.pop()
            jobs.extend(joining[b])
        history.append([len(jobs) for jobs in backends])
        held.append(sum(map(len, queues.values())))
    return history, held, sojourns


def unit(bits: int) -> float:
    """64 bits as a number in [0, 1)."""
    return (bits >> 11) * 2.0**-53


def n_model_fluid(start: Sequence[float], times: FloatArray, step: float = 5e-4) -> FloatArray:
    """(T, 2) the fluid of Appendix F's N-model by Euler's scheme.

    On the surface of equal gradients it alternates between the sides, an error of order `step`.
    """
    n1, n2 = start
    path, now = np.empty((times.size, 2)), 0.0
    for i, time in enumerate(times):
        while now < time - step / 2:
            first = 1.0 / (n1 + 1.0) ** 2 > 2.0 / (n2 + 2.0) ** 2
            v1 = 0.4 + 0.6 * first - n1 / (n1 + 1.0)
            v2 = 0.6 * (not first) - n2 / (n2 + 2.0)
            n1, n2, now = n1 + step * v1, n2 + step * v2, now + step
        path[i] = n1, n2
    return path
