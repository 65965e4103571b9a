"""Slow, obviously correct twins of the compiled kernels."""

import heapq
import math
from collections.abc import Callable, Iterator, Sequence

MASK = (1 << 64) - 1


def xoroshiro(state: Sequence[int]) -> Iterator[int]:
    """xoroshiro128++ as its authors print it."""
    s0, s1 = (int(word) for word in state)

    def rotated(x: int, k: int) -> int:
        return ((x << k) | (x >> (64 - k))) & MASK

    while True:
        yield (rotated((s0 + s1) & MASK, 17) + s0) & MASK
        s1 ^= s0
        s0 = rotated(s0, 49) ^ s1 ^ ((s1 << 21) & MASK)
        s1 = rotated(s1, 28)


def sharing(
    arrivals: Sequence[tuple[float, float]],
    rate: Callable[[int], float],
    places: int | float = math.inf,
) -> list[float]:
    """Sojourn times of (time, size) jobs at one backend, in order of arrival.

    Each job in service is worked on at rate(N) / min(N, places); the others wait in order.
    """
    left: dict[int, float] = {}  # in service: work left
    waiting: list[int] = []
    done: dict[int, float] = {}
    now = 0.0
    queue = [(time, i) for i, (time, _) in enumerate(arrivals)]
    heapq.heapify(queue)
    while queue or left:
        share = rate(len(left) + len(waiting)) / len(left) if left else 0.0
        first = min(left, key=lambda i: left[i]) if left else -1
        ends = now + left[first] / share if left else math.inf
        comes = queue[0][0] if queue else math.inf
        then = min(ends, comes)
        for i in left:
            left[i] -= share * (then - now)
        now = then
        if ends <= comes:
            del left[first]
            done[first] = now - arrivals[first][0]
            if waiting:
                job = waiting.pop(0)
                left[job] = arrivals[job][1]
        else:
            _, job = heapq.heappop(queue)
            if len(left) < places:
                left[job] = arrivals[job][1]
            else:
                waiting.append(job)
    return [done[i] for i in range(len(arrivals))]


def birth_death_mean(arrival_rate: float, rate: Callable[[int], float], largest: int) -> float:
    """Mean of the law pi_n ~ prod arrival_rate / rate(i), cut at `largest`."""
    logs = [0.0]
    for n in range(1, largest + 1):
        logs.append(logs[-1] + math.log(arrival_rate / rate(n)))
    top = max(logs)
    weights = [math.exp(x - top) for x in logs]
    return math.fsum(n * w for n, w in enumerate(weights)) / math.fsum(weights)


def erlang_c_mean(offered: float, servers: int) -> float:
    """Mean jobs in M/M/n with `offered` = arrival rate / service rate of one server."""
    terms = [offered**k / math.factorial(k) for k in range(servers)]
    last = offered**servers / math.factorial(servers) * servers / (servers - offered)
    waiting = last / (math.fsum(terms) + last)
    return offered + waiting * offered / (servers - offered)
