"""What the price of `gmsr_secant` costs over that of `gmsr`: `python -m benchmarks.secant_cost`.

CPU of the one over that of the other, in rounds in which both have their turn: of a request in the
core (`arrived` and `finished`) and of the policy's call alone, and of a job in the simulator, with
and without a clock for each. Least of the rounds, as anything else on the machine only adds to it.
The goal for the core is 1.2.
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.gateway_core import microseconds, system
from isocline.gateway.core.build import core_of
from isocline.policies.parse import parse
from isocline.randomness.draws import stream
from isocline.simulate.common.replication import Run
from isocline.simulate.routing.engines import ChainEngine, TrackEngine
from isocline.simulate.routing.prepare import prepare
from isocline.simulate.routing.run_settings import RunSettings
from isocline.simulate.routing.scenario import scenario

ROUNDS, CALLS = 5, 20_000
POLICIES = ("gmsr", "gmsr_secant")


def request(policy: str, backends: int) -> float:
    """Microseconds for one in the core, 32 in flight."""
    return microseconds(core_of(system(backends), parse(policy)))


def call(policy: str, backends: int) -> float:
    """Microseconds for one call of the policy, and to set the workloads that it sees."""
    core = core_of(system(backends), parse(policy))
    runtime, rng = core.policy_runtime, stream(0)
    candidates = np.arange(backends, dtype=np.int32)
    view, choose = runtime.view, runtime.choose
    rows = np.random.default_rng(1).poisson(4.0, (256, backends)).astype(np.int32)
    choose(candidates, view, 0.0, rng)
    start = time.process_time()
    for i in range(CALLS):
        view.workload[:] = rows[i % 256]
        choose(candidates, view, 3e-3 * i, rng)
    return 1e6 * (time.process_time() - start) / CALLS


def simulated(kind: type[ChainEngine] | type[TrackEngine], policy: str, backends: int) -> float:
    """Microseconds for one simulated job at load 0.7."""
    prepared = prepare(scenario(system(backends), load=0.7).system)
    jobs = 100_000
    horizon = jobs / float(prepared.system.rates.sum())
    engine = kind(Run(prepared, parse(policy), RunSettings(2.0 * horizon)))
    engine.advance(0.2 * horizon)
    start = time.process_time()
    engine.advance(1.2 * horizon)
    return 1e6 * (time.process_time() - start) / jobs


def compare(label: str, cost: Callable[[str, int], float], backends: int) -> None:
    least = dict.fromkeys(POLICIES, float("inf"))
    for _ in range(ROUNDS):
        for policy in POLICIES:
            least[policy] = min(least[policy], cost(policy, backends))
    plain, secant = (least[policy] for policy in POLICIES)
    print(f"{label:44}{backends:>9}{plain:>9.3f}{secant:>9.3f}{secant / plain:>9.2f}", flush=True)


def main() -> None:
    print(f"{'us of CPU':44}{'backends':>9}{'gmsr':>9}{'secant':>9}{'ratio':>9}")
    for backends in (4, 16, 64):
        compare("a request in the core", request, backends)
        compare("a call of the policy", call, backends)
        for kind in (ChainEngine, TrackEngine):
            compare(f"a simulated job, {kind.__name__}", partial(simulated, kind), backends)


if __name__ == "__main__":
    main()
