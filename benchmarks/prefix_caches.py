"""Cost of prefix caches to the simulator, on one core: `python -m benchmarks.prefix_caches`.

The same made-up conversations on ten backends with `gmsr`: without caches, with caches that the one
frontend knows, and with four frontends that each follow all caches. Speeds are requests per second
of the processor, medians over rounds in which each has its turn, without compiling.
"""

import statistics
import time
from dataclasses import replace
from threading import Event

import numpy as np

from isocline.model.curves import KneeCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem, Work
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals, PromptBlocks, Trace
from isocline.policies.parse import parse
from isocline.simulate.routing.options import Length, Model, Options, Traffic, experiment_of

ROUNDS = 3
REQUESTS = 100_000
TALKS = 500  # conversations at a time
BLOCK = 512  # tokens


def conversations(seed: int = 0) -> Trace:
    """Requests whose prompts grow by one to four blocks until, at 40, a new conversation begins."""
    rng = np.random.default_rng(seed)
    ids: list[list[int]] = [[0] for _ in range(TALKS)]
    prompts, number = [], 1
    for talk, more in zip(
        rng.integers(0, TALKS, REQUESTS).tolist(),
        rng.integers(1, 5, REQUESTS).tolist(),
        strict=True,
    ):
        if len(ids[talk]) > 40:
            ids[talk] = [0]
        ids[talk] = [*ids[talk], *range(number, number + more)]
        number += more
        prompts.append(ids[talk])
    blocks = PromptBlocks.of(prompts)
    times = np.cumsum(rng.standard_exponential(REQUESTS))
    return Trace(
        "conversations",
        times - times[0],
        np.asarray(blocks.counts * float(BLOCK), np.float64),
        rng.geometric(1 / 300, REQUESTS).astype(np.float64),
        blocks=blocks,
    )


def fleet(frontends: int, tokens: int | None) -> RoutingSystem:
    """Ten like backends, each with a cache of so many tokens."""
    curve = KneeCurve(8000.0, 40.0, 2.0)
    backends = (Backend(f"b{b}", curve, cache_tokens=tokens) for b in range(10))
    return RoutingSystem(
        tuple(Frontend(f"f{f}", PoissonArrivals(1.0)) for f in range(frontends)),
        tuple(backends),
        CompatibilityGraph.from_neighbours(10, [range(10)] * frontends),
        work=Work("tokens", 1.0, 0.1, 1.0),
        block_size=BLOCK,
    )


def main() -> None:
    """Measure and print."""
    trace = conversations()
    options = Options(Traffic(trace, load=0.9), Length(), model=Model())
    experiments = {
        "without caches": experiment_of(fleet(1, None), {"gmsr": parse("gmsr")}, options),
        "caches of 1,500 blocks, one frontend": experiment_of(
            fleet(1, 1500 * BLOCK), {"gmsr": parse("gmsr")}, options
        ),
        "the same, four frontends": experiment_of(
            fleet(4, 1500 * BLOCK), {"gmsr": parse("gmsr")}, options
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in experiments}
    for number in range(ROUNDS + 1):
        for name, one in experiments.items():
            started = time.process_time()
            one.replicate(replace(one.runs[0], replication=number), Event())
            if number:  # the first one compiles
                seconds[name].append(time.process_time() - started)
    first = statistics.median(seconds["without caches"])
    for name, some in seconds.items():
        middle = statistics.median(some)
        speed = f"{REQUESTS / middle / 1e6:.2f} M requests/s"
        print(f"{name}: {speed}, {middle / first:.1f} times as long")


if __name__ == "__main__":
    main()
