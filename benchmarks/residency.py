"""Models at backends that hold only some of them: `python -m benchmarks.residency`.

105 models of Zipf popularity (exponent 1) over 24 backends of three speeds, each with room for
`--memory` of them; a load stops its backend for half a second. At each load the default policy, and
expected latency, which prices, too, stand beside the best of model affinity, shuffle sharding over
2, 3 and 4 backends, and rendezvous hashing; each of these with its models evicted by price and by
age. The best is the one with the least p99 among those that are stable.

Then each memory's usable capacity: a plan's, its bound, and what policies make of 0.97 of it. A
minute of CPU.
"""

import argparse
import resource
from dataclasses import replace

import isocline
from isocline.model.curves import KneeCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.residency import Model
from isocline.model.traffic import PoissonArrivals
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.routing.prepare import Eviction
from isocline.simulate.routing.results import PolicyResult

MODELS, EACH, LOAD = 105, 8, 0.5
CURVES = (KneeCurve(40.0, 20.0, 2.0), KneeCurve(20.0, 12.0, 2.0), KneeCurve(10.0, 6.0, 2.0))
PRICED = ("gmsr_secant", "least_expected_latency")
RIVALS = (
    "model_affinity",
    "shuffle_of_k:k=2",
    "shuffle_of_k:k=3",
    "shuffle_of_k:k=4",
    "rendezvous",
)


def fleet(memory: float) -> RoutingSystem:
    """24 backends with room for so many models each, at all that they can serve."""
    curves = [curve for curve in CURVES for _ in range(EACH)]
    rate = sum(curve.supremum for curve in curves)
    return RoutingSystem(
        (Frontend("all", PoissonArrivals(rate)),),
        tuple(Backend(f"b{i}", curve, memory=memory) for i, curve in enumerate(curves)),
        CompatibilityGraph.from_neighbours(len(curves), [range(len(curves))]),
        name=f"{MODELS} models, room for {memory:g} at each of {len(curves)} backends",
        models=(Model("lora-*", load=LOAD, count=MODELS, zipf=1.0),),
    )


def results(
    system: RoutingSystem, load: float, policies: tuple[str, ...], horizon: float, how: Eviction
) -> list[tuple[str, PolicyResult]]:
    """Each policy's result at a load, by its name and how models make way."""
    found = isocline.simulate(
        system.sped_up(load),
        policies,
        horizon=horizon,
        warmup=horizon / 4.0,
        replications=3,
        seed=11,
        eviction=how,
    )
    return [(f"{it.policy}, {how}", it) for it in found.policies]


def shown(label: str, it: PolicyResult) -> str:
    """Line of the table."""
    if it.mean_latency is None or it.p99 is None or it.loads is None or it.cold is None:
        return f"  {label:32s} unstable"
    return (
        f"  {label:32s} mean {_value(it.mean_latency)} s  p99 {_value(it.p99)} s  "
        f"loads {100.0 * it.loads.value:8.4f} %  cold {100.0 * it.cold.value:8.4f} %"
    )


def _value(estimate: Estimate) -> str:
    return f"{estimate.value:8.3f} ± {estimate.half_width:6.3f}"


def p99_of(it: PolicyResult) -> float:
    """Seconds; inf of what is unstable."""
    return float("inf") if it.p99 is None else it.p99.value


def compared(memory: float, loads: list[float], horizon: float) -> None:
    """Policies by price beside the best of the others."""
    system = fleet(memory)
    print(system.name)
    for load in loads:
        ours = results(system, load, PRICED, horizon, "price")
        hows: tuple[Eviction, ...] = ("price", "lru")
        others = [row for how in hows for row in results(system, load, RIVALS, horizon, how)]
        print(f" load {load:g}")
        for label, it in (*ours, *others):
            print(shown(label, it))
        label, best = min(others, key=lambda row: p99_of(row[1]))
        mine = ours[0][1]
        if mine.p99 is not None and mine.loads is not None and best.loads is not None:
            less = 1.0 - p99_of(mine) / p99_of(best)
            fewer = 1.0 - mine.loads.value / max(best.loads.value, 1e-12)
            print(f"  -> {PRICED[0]} beside {label}: p99 {less:.1%} lower, loads {fewer:.1%} fewer")


def usable(memories: list[float], horizon: float, share: float = 0.97) -> None:
    """Capacity of plans, and policies at nearly all of it."""
    for memory in memories:
        system = fleet(memory)
        found = isocline.plan(replace(system), edges_to_try=0).residency
        assert found is not None
        print(
            f"room for {memory:g}: usable {found.capacity_scale:.4f} of the capacity, no more than "
            f"{found.bound:.4f} by any policy; {len(found.copies)} copies"
        )
        for label, it in results(system, share * found.capacity_scale, PRICED, horizon, "price"):
            print(shown(f"{label} at {share:g}", it))


def main() -> None:
    """Print all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", type=float, default=8.0)
    parser.add_argument("--loads", type=float, nargs="*", default=[0.2, 0.3, 0.5, 0.7])
    parser.add_argument("--memories", type=float, nargs="*", default=[6.0, 8.0, 16.0])
    parser.add_argument("--horizon", type=float, default=400.0, help="s of each replication")
    given = parser.parse_args()
    compared(given.memory, given.loads, given.horizon)
    usable(given.memories, 2.0 * given.horizon)
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_utime:.0f} s of CPU")


if __name__ == "__main__":
    main()
