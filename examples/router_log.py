"""An access log as nginx writes it, of a fleet that is not there: `python examples/router_log.py`.

nginx sends each request to the machine with the fewest (`least_conn`) of those that its path may
use: /chat the two large ones and the two small ones, /code the small ones alone. Machines serve all
their requests at once, at a rate that bends at some number of them. Time is virtual.
"""

import heapq

import numpy as np

MACHINES = {  # address: (requests/s at most, number at which the rate bends)
    "10.0.0.1:80": (60.0, 24.0),
    "10.0.0.2:80": (60.0, 24.0),
    "10.0.0.3:80": (30.0, 6.0),
    "10.0.0.4:80": (30.0, 6.0),
}
SITES = {"/chat": (44.0, (0, 1, 2, 3)), "/code": (50.0, (2, 3))}  # requests/s, machines
REQUESTS, BEGINNING = 20_000, 1_796_000_000.0


def main() -> None:
    """Print the log, in the order in which requests end."""
    rng = np.random.default_rng(0)
    names, limits = list(MACHINES), list(MACHINES.values())
    # Each machine's requests as a heap of (service until its end, beginning, path); the service
    # that one request has had by now, and since when that stands.
    held: list[list[tuple[float, float, str]]] = [[] for _ in names]
    given, since = [0.0] * len(names), [0.0] * len(names)
    paths = list(SITES)
    total = sum(rate for rate, _ in SITES.values())
    share = [SITES[path][0] / total for path in paths]
    arrives, left = rng.exponential(1.0 / total), REQUESTS

    def each(machine: int) -> float:
        """Service of one request there, per s."""
        peak, bend = limits[machine]
        return peak / bend / (1.0 + (len(held[machine]) / bend) ** 3.0) ** (1.0 / 3.0)

    while left or any(held):
        ends = [
            since[m] + (own[0][0] - given[m]) / each(m) if own else np.inf
            for m, own in enumerate(held)
        ]
        machine = int(np.argmin(ends))
        comes = left and arrives <= ends[machine]
        now = arrives if comes else ends[machine]
        if comes:
            path = paths[rng.choice(len(paths), p=share)]
            machine = min(SITES[path][1], key=lambda m: (len(held[m]), rng.random()))
        given[machine] += each(machine) * (now - since[machine]) if held[machine] else 0.0
        since[machine] = now
        if comes:
            heapq.heappush(held[machine], (given[machine] + rng.exponential(), now, path))
            left, arrives = left - 1, now + rng.exponential(1.0 / total)
        else:
            _, began, path = heapq.heappop(held[machine])
            took = now - began
            print(
                f'{BEGINNING + now:.3f} {took:.3f} "{names[machine]}" "{took:.3f}" "200" 200 '
                f'example.org "{path}/{left}"'
            )


if __name__ == "__main__":
    main()
