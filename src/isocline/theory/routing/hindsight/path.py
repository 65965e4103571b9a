"""Fluid paths under given routing.

Between arrivals a member of a pool with n jobs drains at l(n), which is straight between whole
numbers, so that n falls exponentially from one to the next. `follow` discretises nothing: the delay
of its path is that of a routing of the fluid, and so an upper bound of the least.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from isocline.compilation.compiled import kernel
from isocline.theory.routing.hindsight.pools import Constants, Jobs

FloatArray = npt.NDArray[np.float64]

_SMALL = 1e-4  # below it, three terms of a series are as good as double precision


@kernel
def drain(rate: Any, b: int, jobs: Any, length: float) -> float:
    """Let a member of pool b drain for `length` s; the integral of its jobs over this time.

    Args:
        rate: (B, M + 1) float64, jobs/s with 0 ... M jobs; read-only.
        b: The pool.
        jobs: (B,) float64, jobs of one member; written at b.
        length: s.
    """
    n, area = jobs[b], 0.0
    while length > 0.0 and n > 0.0:
        j = min(math.ceil(n) - 1, rate.shape[1] - 2)
        low = rate[b, j]
        slope = rate[b, j + 1] - low
        now = low + slope * (n - j)  # the rate
        due = np.inf
        if low > 0.0:  # until only j are left
            bend = slope * (n - j) / low
            due = math.log1p(bend) / slope if bend > _SMALL else (n - j) / low * (1.0 - 0.5 * bend)
        step = min(due, length)
        z = slope * step
        if z > _SMALL:
            once = -math.expm1(-z) / z
            twice = (1.0 - once) / z
        else:
            once = 1.0 - z * (0.5 - z / 6.0)
            twice = 0.5 - z * (1.0 / 6.0 - z / 24.0)
        area += step * (n - now * step * twice)
        n = float(j) if due <= length else max(n - now * step * once, 0.0)
        length -= step
    jobs[b] = n
    return area


@kernel
def follow(
    constants: Constants, node: Any, split: Any, come: Jobs, jobs: Any, at_node: Any, delay: Any
) -> None:
    """Follow the fluid from the first node to the last; every job is split as it comes.

    Args:
        constants: Of the pools; read-only.
        node: (K + 1,) float64, s; read-only.
        split: (K + 1, E) float64, shares of a group's jobs at the nodes, straight between them;
            read-only.
        come: The arrivals; read-only.
        jobs: (B,) float64, jobs of one member: at the first node, and on return at the last.
        at_node: (K + 1, B) float64, jobs of one member just before each node; written.
        delay: (K,) float64, job-seconds of all members in each cell; written.
    """
    rate, members, first, pool = constants
    time = come.time
    i = 0
    for k in range(delay.size):
        for b in range(jobs.size):
            at_node[k, b] = jobs[b]
        now, end, area = node[k], node[k + 1], 0.0
        while True:
            comes = i < time.size and time[i] < end
            then = time[i] if comes else end
            if then > now:
                for b in range(jobs.size):
                    area += members[b] * drain(rate, b, jobs, then - now)
                now = then
            if not comes:
                break
            f = come.group[i]
            later = (now - node[k]) / (end - node[k])
            for e in range(first[f], first[f + 1]):
                share = (1.0 - later) * split[k, e] + later * split[k + 1, e]
                jobs[pool[e]] += come.weight[i] * share / members[pool[e]]
            i += 1
        delay[k] = area
    for b in range(jobs.size):
        at_node[delay.size, b] = jobs[b]


@kernel
def spread(
    constants: Constants,
    length: Any,
    arrivals: Any,
    parts: int,
    split: Any,
    jobs: Any,
    after: Any,
) -> None:
    """Take implicit steps, one for each cell; split what comes by the least expected latency.

    Args:
        constants: Of the pools; read-only.
        length: (K,) float64, s, of each cell; read-only.
        arrivals: (K, F) float64, jobs of each group at the first node of each cell; read-only.
        parts: Into so many each is divided; 0 to split it as `split` says.
        split: (K, E) float64, shares of a group's jobs; written, or read.
        jobs: (B,) float64, jobs of one member: at the first node, and on return at the end.
        after: (K, B) float64, jobs of one member at the end of each cell; written.
    """
    rate, members, first, pool = constants
    for k in range(length.size):
        for f in range(first.size - 1):
            for e in range(first[f], first[f + 1]):
                if parts == 0:
                    jobs[pool[e]] += arrivals[k, f] * split[k, e] / members[pool[e]]
                else:
                    split[k, e] = 0.0
            for _ in range(parts):
                best, least = first[f], np.inf
                for e in range(first[f], first[f + 1]):
                    b = pool[e]
                    j = min(int(jobs[b]), rate.shape[1] - 2)
                    ahead = rate[b, j] + (jobs[b] - j) * (rate[b, j + 1] - rate[b, j])
                    cost = (jobs[b] + 1.0) / (ahead + rate[b, j + 1] - rate[b, j])
                    if cost < least:
                        best, least = e, cost
                split[k, best] += 1.0 / parts
                jobs[pool[best]] += arrivals[k, f] / parts / members[pool[best]]
        for b in range(jobs.size):
            # n + h l(n) = jobs at the end of the cell: an implicit step, which never overshoots.
            low, high = 0, rate.shape[1] - 1
            while high - low > 1:
                middle = (low + high) // 2
                if middle + length[k] * rate[b, middle] <= jobs[b]:
                    low = middle
                else:
                    high = middle
            slope = rate[b, low + 1] - rate[b, low]
            left = jobs[b] - low - length[k] * rate[b, low]
            jobs[b] = low + left / (1.0 + length[k] * slope)
            after[k, b] = jobs[b]
