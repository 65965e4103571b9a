"""SimPy, lean: two timeouts per job and a callback on each; no processes, no resources.

A process per job over `simpy.Resource`, as in SimPy's tutorial, is six times slower.
"""

import time
from functools import partial
from typing import Any

import numpy as np
import simpy
from simpy.events import Timeout

from benchmarks.rivals import ARRIVALS, SERVERS, Measured


def measure(jobs: int, seed: int) -> Measured:
    started = time.process_time()
    rng = np.random.default_rng(seed)
    gaps = iter(rng.exponential(1 / ARRIVALS, jobs).tolist())
    samples = zip(*_samples(rng, jobs), strict=True)
    sizes = iter(rng.standard_exponential(jobs).tolist())
    env = simpy.Environment()
    jobs_at = [0] * SERVERS
    total, last, area = 0, 0.0, 0.0

    def arrive(_: Any) -> None:
        nonlocal total, last, area
        now = env.now
        area += total * (now - last)
        last = now
        total += 1
        best, b, c = next(samples)
        if jobs_at[b] < jobs_at[best]:
            best = b
        if jobs_at[c] < jobs_at[best]:
            best = c
        if jobs_at[best] == 0:
            Timeout(env, next(sizes)).callbacks.append(finishers[best])
        jobs_at[best] += 1
        gap = next(gaps, None)
        if gap is not None:
            Timeout(env, gap).callbacks.append(arrive)

    def finish(server: int, _: Any) -> None:
        nonlocal total, last, area
        now = env.now
        area += total * (now - last)
        last = now
        total -= 1
        jobs_at[server] -= 1
        if jobs_at[server]:
            Timeout(env, next(sizes)).callbacks.append(finishers[server])

    finishers = [partial(finish, server) for server in range(SERVERS)]
    Timeout(env, next(gaps)).callbacks.append(arrive)
    env.run()
    return Measured(jobs, time.process_time() - started, area / jobs)


def _samples(rng: np.random.Generator, jobs: int) -> tuple[list[int], list[int], list[int]]:
    """Three different servers for each job."""
    a = rng.integers(SERVERS, size=jobs)
    b = rng.integers(SERVERS - 1, size=jobs)
    b += b >= a
    c = rng.integers(SERVERS - 2, size=jobs)
    c += c >= np.minimum(a, b)
    c += c >= np.maximum(a, b)
    return a.tolist(), b.tolist(), c.tolist()
