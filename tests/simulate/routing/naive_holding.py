"""A slow, obviously correct twin of continuous time with jobs held at their frontends."""

import math
from collections.abc import Callable, Sequence


def sharing_held(
    arrivals: Sequence[tuple[float, int, float]],
    rates: Sequence[Callable[[int], float]],
    sees: Sequence[Sequence[int]],
    route: Callable[[int, list[int]], int],
) -> tuple[list[float], int]:
    """Sojourn times of (time, frontend, size) jobs in order of arrival, and the most ever held.

    Every job at a backend is worked on at rate(N) / N. `route(f, N)` gives a backend or -1 to hold.
    """
    left: list[dict[int, float]] = [{} for _ in rates]
    queues: list[list[int]] = [[] for _ in sees]
    done: dict[int, float] = {}
    now, coming, most = 0.0, 0, 0

    def admit(job: int, backend: int) -> None:
        left[backend][job] = arrivals[job][2]

    while coming < len(arrivals) or any(left):
        speed = [
            rate(len(jobs)) / max(len(jobs), 1) for rate, jobs in zip(rates, left, strict=True)
        ]
        ends = [
            (now + work / speed[b], b, job)
            for b, jobs in enumerate(left)
            for job, work in jobs.items()
        ]
        end, backend, job = min(ends, default=(math.inf, -1, -1))
        comes = arrivals[coming][0] if coming < len(arrivals) else math.inf
        then = min(end, comes)
        for b, jobs in enumerate(left):
            for other in jobs:
                jobs[other] -= speed[b] * (then - now)
        now = then
        if end <= comes:
            del left[backend][job]
            done[job] = now - arrivals[job][0]
            asking = {f for f, seen in enumerate(sees) if backend in seen}
            while ready := [f for f in asking if queues[f]]:
                f = min(ready, key=lambda f: queues[f][0])  # in order of arrival
                b = route(f, [len(jobs) for jobs in left])
                if b < 0:
                    asking.discard(f)
                else:
                    admit(queues[f].pop(0), b)
        else:
            f = arrivals[coming][1]
            b = -1 if queues[f] else route(f, [len(jobs) for jobs in left])
            if b < 0:
                queues[f].append(coming)
            else:
                admit(coming, b)
            coming += 1
        most = max(most, sum(map(len, queues)))
    return [done[i] for i in range(len(arrivals))], most
