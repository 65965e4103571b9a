"""Cheapest fleets against integer programs: `python -m benchmarks.cheapest_fleet`.

**Size.** 20 machine types and 50 frontends, each of which may use half of the types; the processor
time of a search to a gap of 2 %, warm, the best of three. The rival has flows as variables: HiGHS
on the mixed-integer program in which 24 tangents of each type's perspective stand for its jobs,
stopped at the same gap or after a minute. Its fleet is one of the tangents; where it misses the
target by the plan of its machines, that is said.

**Mélange's form** (arXiv 2404.14527, its public solver): requests by size, the most requests/s of
each size that one machine of each type sustains, and slices of each size that go to one type as a
whole. Prices are those of its paper; curves are ours (knees by memory bandwidth), and what a
machine sustains is where a token takes 120 or 30 ms. Ours is (a) the same limits as `load<=1`, (b)
the mean latency over all requests that these limits come to, which asks less of single sizes.
"""

import math
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, hstack, vstack

from isocline.model.curves import KneeCurve
from isocline.model.fleet_problem import Demand, FleetProblem, MachineType
from isocline.model.graph import CompatibilityGraph
from isocline.theory.routing.cheapest_fleet.requirements import Judge, Requirement
from isocline.theory.routing.cheapest_fleet.search import FluidFleet, cheapest
from isocline.theory.routing.cheapest_fleet.target import Target

FloatArray = npt.NDArray[np.float64]

TYPES, FRONTENDS, GAP, PATIENCE = 20, 50, 0.02, 60.0
TANGENTS = 24
SLICES = 4
TARGET = Target("mean", 1.5)


def large(seed: int) -> FleetProblem:
    """Prices that rise more slowly than speed, as those of machines do, and are a quarter off."""
    rng = np.random.default_rng(seed)
    types = []
    for k in range(TYPES):
        peak, alone = math.exp(rng.uniform(0.0, math.log(40.0))), math.exp(rng.uniform(-1.6, 0.4))
        price = round(0.2 * peak**0.8 * math.exp(rng.normal(0.0, 0.25)), 3)
        sharpness = float(rng.uniform(1.0, 3.0))
        types.append(MachineType(f"t{k}", KneeCurve(peak, peak * alone, sharpness), price))
    rows = [np.flatnonzero(rng.random(TYPES) < 0.5).tolist() or [0] for _ in range(FRONTENDS)]
    rates = tuple(rng.exponential(10.0, FRONTENDS).tolist())
    return FleetProblem(
        tuple(types),
        tuple(f"f{f}" for f in range(FRONTENDS)),
        CompatibilityGraph.from_neighbours(TYPES, rows),
        (Demand("demand", rates),),
    )


def by_flows(problem: FleetProblem) -> tuple[float, float]:
    """HiGHS's processor time, and the mean latency of its fleet over the target."""
    graph, (demand,) = problem.graph, problem.demands
    edges, types, sources = graph.edges, graph.sinks, graph.sources
    # Unknown: flows, jobs of each type, counts.
    into = csr_array((np.ones(edges), (graph.sink, np.arange(edges))), shape=(types, edges))
    sums = csr_array((np.ones(edges), (graph.source, np.arange(edges))), shape=(sources, edges))
    rows, low = [], []
    for share in np.linspace(0.01, 0.99, TANGENTS):
        offers, worths = np.empty(types), np.empty(types)
        for k, curve in enumerate(problem.curves):
            jobs = float(curve.workload(share * curve.supremum))
            offers[k] = 1.0 / float(curve.marginal(jobs))
            worths[k] = offers[k] * float(curve.rate(jobs)) - jobs
        # jobs_k + worth n_k - offer A_k >= 0
        part = csr_array(np.diag(-offers)) @ into
        rows.append(hstack((part, csr_array(np.eye(types)), csr_array(np.diag(worths)))))
        low.append(np.zeros(types))
    top = np.array([curve.supremum for curve in problem.curves])
    none = csr_array((types, types))
    rows.append(hstack((-into, none, csr_array(np.diag(top)))))
    low.append(np.zeros(types))
    size = edges + 2 * types
    held = np.concatenate((np.zeros(edges), np.ones(types), np.zeros(types)))
    served = hstack((sums, csr_array((sources, 2 * types))))
    rates = np.array(demand.rates)
    kinds = np.concatenate((np.zeros(edges + types, np.int64), np.ones(types, np.int64)))
    begun = time.process_time()
    found = milp(
        np.concatenate((np.zeros(edges + types), problem.prices)),
        integrality=kinds,
        bounds=Bounds(np.zeros(size), np.full(size, np.inf)),
        constraints=[
            LinearConstraint(vstack(rows), np.concatenate(low), np.inf),
            LinearConstraint(served, rates, rates),
            LinearConstraint(held[None], -np.inf, TARGET.limit * demand.rate),
        ],
        options={"mip_rel_gap": GAP, "time_limit": PATIENCE},
    )
    seconds = time.process_time() - begun
    assert found.x is not None
    counts = np.round(found.x[-types:])
    standing = Judge(problem).standing(Requirement(0, TARGET), counts)
    return seconds, standing.figure / TARGET.limit


def timed(problem: FleetProblem, requirement: Requirement) -> tuple[float, FluidFleet]:
    """Processor time of a warm search, the best of three, and the fleet."""
    best, fleet = math.inf, cheapest(problem, [requirement], GAP)
    for _ in range(3):
        begun = time.process_time()
        fleet = cheapest(problem, [requirement], GAP)
        best = min(best, time.process_time() - begun)
    return best, fleet


def sizes() -> None:
    print(f"{TYPES} types, {FRONTENDS} frontends, {TARGET}: processor time to a gap of {GAP:.0%}")
    print(f"{'':10}{'ours':>9}{'gap':>8}{'machines':>10}{'cost':>9}{'HiGHS':>9}{'ratio':>8}")
    for seed in (1, 2, 3):
        problem = large(seed)
        seconds, fleet = timed(problem, Requirement(0, TARGET))
        rival, reached = by_flows(problem)
        missed = f", whose fleet has {reached:.4f} of the target" if reached > 1.0 else ""
        late = ">" if rival >= 0.9 * PATIENCE else ""
        print(
            f"seed {seed:<5}{seconds:>7.2f} s{fleet.gap:>8.2%}{int(fleet.counts.sum()):>10}"
            f"{fleet.cost:>9.2f}{late + f'{rival:.1f}':>7} s{rival / seconds:>7.1f}x{missed}"
        )


# Per hour; Mélange's paper.
GPUS = {"L4": 0.70, "A10G": 1.01, "A100-80G": 3.67, "H100": 7.5164}
# Tokens/s: peak, knee and sharpness of an 8B model, by memory bandwidth.
CURVES = {
    "L4": KneeCurve(1100.0, 30.0, 1.5),
    "A10G": KneeCurve(2100.0, 40.0, 1.6),
    "A100-80G": KneeCurve(9600.0, 70.0, 2.2),
    "H100": KneeCurve(17852.0, 65.0, 2.6),
}
INPUTS, OUTPUTS = (50, 250, 1000, 4000), (30, 120, 300, 600)  # tokens
PREFILL = 0.1  # of a token of the prompt, in tokens of the answer


def sustained(per_token: float) -> FloatArray:
    """(types,) tokens/s of a machine at which a token takes so long, s; 0 where it always does."""
    found = []
    for curve in CURVES.values():
        jobs = np.geomspace(0.01, 5000.0, 4000)
        rate = curve.rate(jobs)
        held = jobs / rate <= per_token
        found.append(float(rate[held].max()) if held.any() else 0.0)
    return np.array(found)


def melange(rates: FloatArray, most: FloatArray, prices: FloatArray) -> float:
    """Cost of its integer program: each slice to one type.

    Args:
        rates: (sizes,) requests/s.
        most: (sizes, types) requests/s that a machine sustains.
        prices: (types,) per hour.
    """
    slices, types = rates.size * SLICES, prices.size
    each = np.repeat(rates / SLICES, SLICES)
    with np.errstate(divide="ignore"):
        loads = each[:, None] / np.repeat(most, SLICES, axis=0)
    possible = np.isfinite(loads)
    one = np.hstack((np.kron(np.eye(slices), np.ones(types)), np.zeros((slices, types))))
    fits = np.hstack(
        [np.diag(np.where(p, row, 0.0)) for p, row in zip(possible, loads, strict=True)]
        + [-np.eye(types)]
    )
    top = np.concatenate((possible.ravel().astype(np.float64), np.full(types, np.inf)))
    found = milp(
        np.concatenate((np.zeros(slices * types), prices)),
        integrality=np.ones(slices * types + types, np.int64),
        bounds=Bounds(0.0, top),
        constraints=[LinearConstraint(one, 1.0, 1.0), LinearConstraint(fits, -np.inf, 0.0)],
        options={"mip_rel_gap": 1e-3, "time_limit": 20.0},
    )
    assert found.fun is not None
    return float(found.fun)


def ours(
    rates: FloatArray, work: FloatArray, curves: Sequence[KneeCurve], target: Target
) -> FluidFleet:
    """The cheapest fleet for work (sizes, types) of a request, in the unit of the curves."""
    problem = FleetProblem(
        tuple(
            MachineType(name, curve, price)
            for (name, price), curve in zip(GPUS.items(), curves, strict=True)
        ),
        tuple(f"size {i}" for i in range(rates.size)),
        CompatibilityGraph.from_neighbours(len(GPUS), [range(len(GPUS))] * rates.size),
        (Demand("demand", tuple(rates.tolist())),),
        edge_work=work.ravel(),
    )
    return cheapest(problem, [Requirement(0, target)], 0.001)


def against_melange() -> None:
    print(f"\nMélange's form, {len(INPUTS) * len(OUTPUTS)} sizes, {SLICES} slices each: per hour")
    print(f"{'':26}{'ILP':>9}{'(a)':>9}{'ratio':>8}{'(b)':>9}{'ratio':>8}{'bound':>9}")
    tokens = np.array([PREFILL * i + o for i in INPUTS for o in OUTPUTS])
    rng = np.random.default_rng(1)
    prices = np.array(list(GPUS.values()))
    for per_token in (0.12, 0.03):
        speed = sustained(per_token)
        for total in (5.0, 50.0, 400.0):
            rates = total * rng.dirichlet(np.ones(tokens.size))
            most = speed[None, :] / tokens[:, None]
            theirs = melange(rates, most, prices)
            # A type that never is as fast sustains nothing: so much work that none is sent there.
            by_load = np.where(most > 0.0, 1.0 / np.maximum(most, 1e-12), 1e6)
            units = [KneeCurve(1.0, 1.0, 2.0)] * len(GPUS)
            a = ours(rates, by_load, units, Target("load", 1.0))
            mean = per_token * float(rates @ tokens) / total
            work = np.repeat(tokens[:, None], len(GPUS), axis=1)
            b = ours(rates, work, list(CURVES.values()), Target("mean", mean))
            label = f"{1e3 * per_token:.0f} ms a token, {total:g}/s"
            print(
                f"{label:<26}{theirs:>9.2f}{a.cost:>9.2f}{a.cost / theirs:>8.3f}{b.cost:>9.2f}"
                f"{b.cost / theirs:>8.3f}{b.lower_bound:>9.2f}"
            )


def drawn(count: int = 12) -> None:
    """The same where which type serves a size best depends on the size."""
    prices = np.array(list(GPUS.values()))
    sizes_in_all = len(INPUTS) * len(OUTPUTS)
    ratios = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        most = prices * np.exp(rng.normal(0.0, 0.4, (sizes_in_all, prices.size)))
        rates = rng.uniform(10.0, 40.0) * rng.dirichlet(np.ones(sizes_in_all))
        units = [KneeCurve(1.0, 1.0, 2.0)] * len(GPUS)
        fleet = ours(rates, 1.0 / most, units, Target("load", 1.0))
        ratios.append(fleet.cost / melange(rates, most, prices))
    print(
        f"{count} with throughputs drawn by size and type: (a) costs {min(ratios):.3f} to "
        f"{max(ratios):.3f} of the ILP, {np.mean(ratios):.3f} on average"
    )


if __name__ == "__main__":
    sizes()
    against_melange()
    drawn()
