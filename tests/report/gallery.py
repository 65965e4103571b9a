"""One of every picture, from small results that take no simulation."""

import math
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isocline.demo.results import LiveComparison, LivePolicy
from isocline.demo.stage import Machine
from isocline.dispatch.telemetry.records import AttemptRecord, Outcome
from isocline.dispatch.telemetry.timeline import Timeline
from isocline.learn import Known
from isocline.loadgen.results import Distribution, LoadResult
from isocline.measurements import MeasuredPoint, measured_curve
from isocline.model.cluster import Cluster, HotSpot, Rates, SampledTasks
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.systemfile import load
from isocline.model.traffic import PoissonArrivals
from isocline.policies import routing, scheduling
from isocline.report.plots.approach import approach_picture
from isocline.report.plots.audit import audit_plot
from isocline.report.plots.cluster import cluster_plot, load_plot, tasks_plot
from isocline.report.plots.convergence import convergence_picture
from isocline.report.plots.curve import curve_plot, plan_picture
from isocline.report.plots.fleet import fleet_picture
from isocline.report.plots.fluid import fluid_plot
from isocline.report.plots.latency import latency_plot
from isocline.report.plots.latency_routing import latency_routing_picture
from isocline.report.plots.learned import learned_plot
from isocline.report.plots.live import live_plot
from isocline.report.plots.load import load_plot as durations_plot
from isocline.report.plots.measured import measured_plot
from isocline.report.plots.near_data import near_data_picture
from isocline.report.plots.paths import paths_plot
from isocline.report.plots.policies import policies_plot
from isocline.report.plots.structure import structure_picture
from isocline.report.plots.timeline import batch_plot, timeline_plot
from isocline.report.plots.workload import total_plot, workload_plot
from isocline.simulate.routing.paths import Paths
from isocline.simulate.routing.results import Comparison, Sweep
from isocline.simulate.scheduling.results import ClusterSweep
from isocline.theory.routing.convergence import Convergence, convergence
from isocline.theory.routing.convergence_phases import approach
from isocline.theory.routing.equilibrium import plan
from isocline.theory.routing.fluid_path import FluidPath
from isocline.theory.routing.inclusion import fluid
from isocline.theory.routing.latency_routing import latency_equilibrium
from isocline.theory.routing.structure import structure
from isocline.theory.scheduling.near_data_plan import near_data_plan
from tests.report import cluster_results, fleet_results
from tests.report.audit_results import audit
from tests.report.dispatch_results import result as batch
from tests.report.routing_results import estimate, policy_result
from tests.report.routing_results import make as comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLES = Path(__file__).parents[2] / "examples"


@cache
def system(name: str) -> RoutingSystem:
    found = load(EXAMPLES / f"{name}.yaml")
    assert isinstance(found, RoutingSystem)
    return found


def crowd(load: float = 0.7, names: Collection[str] = routing.ALL) -> Comparison:
    """All policies, three of them as good as equal and one far off."""
    one = comparison(load)
    factors = [1.1, 1.102, 1.104, *np.geomspace(1.2, 5.5, len(names) - 3)]
    policies = []
    for name, factor in zip(names, factors, strict=True):
        made = policy_result("gmsr", True, one.lower_bound, one.times)
        scale = factor / 1.1
        policies.append(
            replace(
                made,
                policy=name,
                mean_latency=estimate(factor * one.lower_bound_latency, 0.003),
                p99=estimate(4 * factor * one.lower_bound_latency, 0.02),
                total_over_time=scale * made.total_over_time,
                workloads_over_time=scale * made.workloads_over_time,
            )
        )
    return replace(one, policies=tuple(policies))


def impatient(load: float = 0.7) -> Comparison:
    """Jobs give up, and the policy of the least latency serves the fewest."""
    one = comparison(load)
    order = range(len(one.policies))
    policies = tuple(
        replace(
            p,
            abandoned=estimate(0.1 + 0.1 * (len(order) - i)),
            late=estimate(0.05 + 0.02 * i),
            goodput=estimate(100.0 * load * (1.0 + i)),
        )
        for i, p in zip(order, one.policies, strict=True)
    )
    return replace(
        one,
        policies=policies,
        patience="exponential patience of mean 2 s",
        deadline=1.0,
        lower_bound=math.nan,
        lower_bound_latency=math.nan,
    )


@cache
def sweep() -> Sweep:
    return Sweep((comparison(0.5), comparison(0.7), comparison(0.9, unstable=("random",))))


def cluster_crowd() -> Any:
    one = cluster_results.make()
    first = one.policies[0]
    factors = (1.0, 1.8, 0.99, 1.7, 1.01, 1.02, 2.0, 1.03, 4.0)
    assert first.mean_latency is not None
    latency = first.mean_latency.value
    return replace(
        one,
        policies=tuple(
            replace(
                first,
                policy=name,
                mean_latency=estimate(f * latency),
                p99=estimate(4 * f * latency),
                total_over_time=f * first.total_over_time,
            )
            for name, f in zip(scheduling.ALL, factors, strict=True)
        ),
    )


def cluster_sweep() -> ClusterSweep:
    return ClusterSweep(
        tuple(
            cluster_results.make(at, unstable=("random_local",) if at > 0.8 else ())
            for at in (0.5, 0.7, 0.9)
        )
    )


def live() -> LiveComparison:
    machine = Machine(1e-4, 1e-4, 1e-4, 0.2, 0.4, 0.3)
    policies = [
        LivePolicy(
            name, estimate(0.02 * ratio, 0.05), 0.015 * ratio, 0.07 * ratio, estimate(ratio, 0.05),
            None, (3.0 * ratio, 2.0, 1.0 / ratio, 0.5), estimate(0.0), 1000, 1000, Counter(), 0,
            machine,
        )
        for name, ratio in (
            ("gmsr", 1.1), ("jsq", 1.4), ("least_expected_latency", 1.3), ("random", 2.4),
        )
    ]  # fmt: skip
    names = ("fast", "medium", "slow", "slowest")
    return LiveComparison(
        "a", 0.7, 1.0, 300.0, names, (3.1, 2.2, 1.1, 0.4), 0.02, tuple(policies), 4, 3.0, 1.0, 0
    )


def durations() -> LoadResult:
    shares = (0.0, 0.1, 0.2, 0.3, 0.4, *(1.0 - 0.5 * 10.0 ** (-k / 8.0) for k in range(25)))

    def of(scale: float) -> Distribution:
        curve = tuple((q, scale * (1.0 - np.log1p(-q))) for q in shares)
        return Distribution(1000, scale, scale, scale, scale, scale, scale, scale, curve)

    return LoadResult(
        "http://127.0.0.1:8000", "Poisson", 50.0, 20.0, 2.0, 1000, 998,
        {"timeout": 2}, of(0.2), of(0.001), of(0.19), of(0.01), 64000, 12, 0, 1, False,
    )  # fmt: skip


def late_and_short() -> Timeline:
    """Starts a minute after the scheduler, has attempts of a millisecond, and one of a minute."""
    ran = [
        AttemptRecord(
            f"t{i}", f"node-{i % 5}", level, "", 0.0, start, start + length, 1, Outcome.FINISHED
        )
        for i, (level, start, length) in enumerate(
            (("local", "rack", "remote")[i % 3], 60.0 + 0.7 * i, 0.001 if i % 7 else 1.5)
            for i in range(60)
        )
    ]
    ran += [
        AttemptRecord(
            "long", "node-5", "local", "", 0.0, 61.0, 121.0, 1, Outcome.FINISHED, cold=True
        ),
        AttemptRecord("bad", "node-0", "remote", "", 0.0, 104.0, 108.0, 1, Outcome.RAISED),
        AttemptRecord("gone", "node-3", "local", "", 0.0, 103.0, 103.01, 1, Outcome.LOST),
    ]
    return Timeline.of(ran)


def dense() -> Timeline:
    """Sixty nodes with tasks shorter than a pixel, one after the other."""
    return Timeline.of(
        AttemptRecord(f"t{n}.{i}", f"n{n:02d}", "remote" if i % 9 == 0 else "local", "", 0.0,
            0.02 * i, 0.02 * i + 0.019, 1, Outcome.FINISHED)
        for n in range(60)
        for i in range(200)
    )  # fmt: skip


def paths() -> Paths:
    times = np.linspace(0.0, 40.0, 101)
    random = np.random.default_rng(1)
    noise = 0.04 * random.standard_normal((6, 101, 2)).cumsum(axis=1)
    drawn = np.array([1.4, 1.5]) * (1 - np.exp(-times / 8))[None, :, None] + np.abs(noise)
    return Paths("N-model", "gmsr", "Poisson arrivals", ("b1", "b2"), times, drawn, 100.0, 1)


def learned(count: int) -> "Figure":
    n = np.arange(31.0)
    seconds = np.where(n > 0, 10.0, 0.0)
    done = np.round(HyperbolicCurve(100.0, 20.0).rate(n) * seconds)
    drawn = RoutingSystem(
        (Frontend("all", PoissonArrivals(1.0)),),
        tuple(Backend(f"a10g-{i}", HyperbolicCurve(100.0, 20.0)) for i in range(count)),
        CompatibilityGraph.from_neighbours(count, [range(count)]),
    )
    known = Known(done, seconds)
    return learned_plot(drawn, {one.name: known for one in drawn.backends})


def measured(fall: float, completions: float) -> "Figure":
    """Points at each doubling, the last lower by a share."""
    curve = HyperbolicCurve(40.0, 6.0)
    points = [
        MeasuredPoint(
            n,
            float(curve.rate(n)) * (1.0 - fall * (n == 64)),
            None,
            completions,
            0.0,
            f"bench-{n}.json",
        )
        for n in (1, 2, 4, 8, 16, 32, 64)
    ]
    return measured_plot(measured_curve(points, "jobs", "h100"))


def near_data(servers: int) -> "Figure":
    cluster = Cluster.numbered(
        servers, Rates(1.0, 0.5), SampledTasks(3, 0.7 * servers, HotSpot(0.5, 0.8))
    )
    return near_data_picture(near_data_plan(cluster))


@cache
def path(name: str, **start: float) -> FluidPath:
    return fluid(system(name), start=start or None)


@cache
def constants() -> Convergence:
    return convergence(system("n_model"))


PICTURES: dict[str, Callable[[], "Figure"]] = {
    "a fleet": lambda: fleet_picture(fleet_results.simulated()),
    "a fleet by load": lambda: fleet_picture(fleet_results.fluid("load<=0.5")),
    "a fleet of many types": lambda: fleet_picture(fleet_results.many()),
    "a fleet without others": lambda: fleet_picture(replace(fleet_results.fluid(), frontier=())),
    "approach": lambda: approach_picture(approach(path("n_model", b1=40.0), constants())),
    "audit": lambda: audit_plot(audit()),
    "audit-one": lambda: audit_plot(audit(1)),
    "audit-unplanned": lambda: audit_plot(audit(6, parts=False)),
    "batch": lambda: batch_plot(batch()),
    "cluster-load": lambda: load_plot(cluster_sweep()),
    "cluster-policies": lambda: cluster_plot(cluster_results.make(unstable=("random_local",))),
    "cluster-policies-all": lambda: cluster_plot(cluster_crowd()),
    "cluster-tasks": lambda: tasks_plot(cluster_results.make()),
    "cluster-tasks-all": lambda: tasks_plot(cluster_crowd()),
    "convergence": lambda: convergence_picture(constants()),
    "curves": lambda: curve_plot(system("regions")),
    "curves-mixed": lambda: curve_plot(system("mixed_fleet")),
    "fluid": lambda: fluid_plot(path("n_model", b1=5.0)),
    "fluid-mixed": lambda: fluid_plot(path("mixed_fleet")),
    "latency": lambda: latency_plot(sweep()),
    "latency-all": lambda: latency_plot(Sweep((crowd(0.5), crowd(0.7), crowd(0.8)))),
    "latency-patience": lambda: latency_plot(Sweep(tuple(map(impatient, (0.5, 0.7, 0.9))))),
    "latency-routing": lambda: latency_routing_picture(latency_equilibrium(system("mixed_fleet"))),
    "learned-1": lambda: learned(1),
    "learned-4": lambda: learned(4),
    "learned-10": lambda: learned(10),
    "live": lambda: live_plot(live()),
    "load": lambda: durations_plot(durations()),
    "measured": lambda: measured(0.2, 400.0),
    "measured-rising": lambda: measured(0.0, 0.0),
    "near-data": lambda: near_data(12),
    "near-data-large": lambda: near_data(1000),
    "paths": lambda: paths_plot(paths()),
    "plan": lambda: plan_picture(plan(system("mixed_fleet"))),
    "policies": lambda: policies_plot(comparison(unstable=("random",))),
    "policies-all": lambda: policies_plot(crowd()),
    "policies-patience": lambda: policies_plot(impatient()),
    "policies-three": lambda: policies_plot(
        replace(crowd(), policies=(*crowd().policies[:3], crowd().policies[-1]))
    ),
    "structure": lambda: structure_picture(structure(system("tiers"), np.ones(5))),
    "structure-mixed": lambda: structure_picture(structure(system("mixed_fleet"), np.ones(10))),
    "timeline": lambda: timeline_plot(late_and_short()),
    "timeline-dense": lambda: timeline_plot(dense()),
    "timeline-empty": lambda: timeline_plot(Timeline(())),
    "total-jobs": lambda: total_plot(comparison(unstable=("random",))),
    "total-jobs-all": lambda: total_plot(crowd()),
    "workloads": lambda: workload_plot(comparison()),
    "workloads-all": lambda: workload_plot(crowd()),
}
