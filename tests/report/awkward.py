"""Pictures of input that is awkward to draw: long names, many, one, none, very large numbers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from isocline.dispatch.telemetry.records import AttemptRecord, Outcome
from isocline.dispatch.telemetry.timeline import Timeline
from isocline.learn import Known
from isocline.loadgen.results import Distribution
from isocline.loadgen.tally import Times
from isocline.measurements import MeasuredPoint, measured_curve
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals
from isocline.report.plots.cluster import cluster_plot, load_plot, tasks_plot
from isocline.report.plots.curve import curve_plot, plan_picture
from isocline.report.plots.latency import latency_plot
from isocline.report.plots.learned import learned_plot
from isocline.report.plots.live import live_plot
from isocline.report.plots.load import load_plot as durations_plot
from isocline.report.plots.measured import measured_plot
from isocline.report.plots.paths import paths_plot
from isocline.report.plots.policies import policies_plot
from isocline.report.plots.structure import structure_picture
from isocline.report.plots.timeline import timeline_plot
from isocline.report.plots.workload import total_plot, workload_plot
from isocline.simulate.routing.results import Comparison, Sweep
from isocline.simulate.scheduling.results import ClusterSweep
from isocline.theory.routing.equilibrium import plan
from isocline.theory.routing.structure import structure
from tests.report import cluster_results
from tests.report.gallery import durations, live, paths
from tests.report.routing_results import estimate, make, policy_result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONG = [f"my_company.routing.experimental:weighted_price_{i:02d}:beta={i}" for i in range(12)]
BACKENDS = [f"inference-h100-80gb-eu-west-1-zone-b-rack-{i:02d}-x" for i in range(40)]
DOLLARS = ["$x$", "a$b$c", "$\\frac{", "100 %_^{}", "gmsr"]


def comparison(
    names: Sequence[str],
    *,
    bound: bool = True,
    stable: bool = True,
    spread: float = 0.01,
    scale: float = 1.0,
    backends: Sequence[str] = ("h100", "a10g"),
) -> Comparison:
    """Policies from 1.1 to 4 times the bound, `spread` the half-width of their intervals."""
    one, policies = make(), []
    for name, factor in zip(names, np.geomspace(1.1, 4.0, len(names)).tolist(), strict=True):
        made = policy_result("gmsr", stable, one.lower_bound, one.times)
        jobs = factor * scale * made.total_over_time[:, None] * np.linspace(1, 0.1, len(backends))
        made = replace(
            made, policy=name, workloads_over_time=jobs, total_over_time=jobs.sum(axis=1)
        )
        if stable:
            latency = scale * factor * one.lower_bound_latency
            made = replace(
                made, mean_latency=estimate(latency, spread), p99=estimate(4 * latency, spread)
            )
        policies.append(made)
    return replace(
        one,
        backends=tuple(backends),
        policies=tuple(policies),
        lower_bound=scale * one.lower_bound if bound else math.nan,
        lower_bound_latency=scale * one.lower_bound_latency if bound else math.nan,
    )


def fleet(names: Sequence[str], rate: float = 5.0, peak: float = 40.0) -> RoutingSystem:
    """One frontend that may use all backends, no two of which are alike."""
    return RoutingSystem(
        (Frontend("all", PoissonArrivals(rate)),),
        tuple(Backend(name, HyperbolicCurve(peak + i, 12.0)) for i, name in enumerate(names)),
        CompatibilityGraph.from_neighbours(len(names), [range(len(names))]),
    )


def _measured(name: str, scale: float, workloads: Sequence[float] = (1, 4, 16, 64)) -> "Figure":
    points = [MeasuredPoint(n, scale * n / (n + 9.0), None, 50.0, 0.0, name) for n in workloads]
    return measured_plot(measured_curve(points, "tokens", name))


def _tasks(names: Sequence[str]) -> "Figure":
    one = cluster_results.make()
    policies = tuple(replace(one.policies[0], policy=name) for name in names)
    return tasks_plot(replace(one, policies=policies))


def _live(policies: Sequence[str], backends: Sequence[str]) -> "Figure":
    one = live()
    jobs = tuple(np.linspace(3.0, 1.0, len(backends)).tolist())
    found = tuple(
        replace(one.policies[i % 4], policy=name, jobs=jobs) for i, name in enumerate(policies)
    )
    return live_plot(
        replace(one, backends=tuple(backends), optimal_jobs=jobs, policies=found, fleet="mixed")
    )


def learned(names: Sequence[str]) -> "Figure":
    jobs = np.arange(31.0)
    seconds = np.where(jobs > 0, 10.0, 0.0)
    known = Known(np.round(HyperbolicCurve(40.0, 12.0).rate(jobs) * seconds), seconds)
    return learned_plot(fleet(names), dict.fromkeys(names, known))


def _timeline(nodes: Sequence[str]) -> "Figure":
    return timeline_plot(
        Timeline.of(
            AttemptRecord(f"t{i}", node, "local", "", 0.0, i, i + 1.5, 1, Outcome.FINISHED)
            for i, node in enumerate(nodes)
        )
    )


PICTURES: dict[str, Callable[[], "Figure"]] = {
    "policies, one without bound": lambda: policies_plot(
        comparison(["gmsr"], bound=False, spread=0.4)
    ),
    "policies, long names": lambda: policies_plot(comparison(LONG)),
    "policies, none stable": lambda: policies_plot(
        comparison(["gmsr", "jsq"], stable=False, bound=False)
    ),
    "latency, long names": lambda: latency_plot(Sweep((comparison(LONG),))),
    "latency, none stable": lambda: latency_plot(
        Sweep((comparison(["gmsr", "jsq"], stable=False, bound=False),))
    ),
    "totals, very many jobs": lambda: total_plot(comparison(["gmsr", "jsq"], scale=1e12)),
    "workloads, very many jobs": lambda: workload_plot(comparison(["gmsr"], scale=1e12)),
    "workloads, long names": lambda: workload_plot(comparison(LONG[:3])),
    "workloads, many backends": lambda: workload_plot(comparison(["gmsr"], backends=BACKENDS)),
    "curves, long names": lambda: curve_plot(fleet(BACKENDS)),
    "plan, very large": lambda: plan_picture(plan(fleet("ab", peak=1e12))),
    "structure, long names": lambda: structure_picture(
        structure(fleet(BACKENDS[:12]), np.ones(12))
    ),
    "cluster, none stable": lambda: cluster_plot(
        cluster_results.make(unstable=list(cluster_results.FACTORS))
    ),
    "cluster over load, none stable": lambda: load_plot(
        ClusterSweep((cluster_results.make(unstable=list(cluster_results.FACTORS)),))
    ),
    "tasks, long names": lambda: _tasks(LONG),
    "live, long names": lambda: _live(LONG[:6], BACKENDS[:30]),
    "learned, addresses": lambda: learned([f"192.168.100.{i}:8000" for i in range(3)]),
    "learned, long names": lambda: learned(BACKENDS[:3]),
    "measured, long name, very large": lambda: _measured(LONG[0], 1e12),
    "measured, one point": lambda: _measured("one", 1.0, (5.5,)),
    "timeline, long names": lambda: _timeline(BACKENDS[:12]),
    "load, nothing completed": lambda: durations_plot(
        replace(
            durations(), latency=Distribution.of(Times()), first_token=None, between_tokens=None
        )
    ),
    "paths, long name": lambda: paths_plot(replace(paths(), policy=LONG[0])),
}
