"""Compilation of the kernels that each verb needs, by runs on the smallest systems there are.

Kernels are compiled for types, not for sizes or curves: these stand for all systems.
"""

from collections.abc import Callable

import numpy as np

from isocline.model.cluster import Cluster, ExplicitTasks, Rates
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals


def _system() -> RoutingSystem:
    curve = HyperbolicCurve(2.0, 1.0)
    return RoutingSystem(
        tuple(Frontend(name, PoissonArrivals(0.5)) for name in ("f0", "f1")),
        tuple(Backend(name, curve) for name in ("b0", "b1")),
        CompatibilityGraph.from_neighbours(2, [[0, 1], [1]]),
    )


def _cluster() -> Cluster:
    tasks = ExplicitTasks(CompatibilityGraph.from_neighbours(2, [[0], [1]]), np.array([0.6, 0.1]))
    return Cluster(("n0", "n1"), np.array([0, 0]), ("",), Rates(1.0, 0.5), tasks)


def _plan() -> None:
    from isocline.theory.equilibrium import plan
    from isocline.theory.inclusion import fluid
    from isocline.theory.latency_routing import latency_equilibrium
    from isocline.theory.near_data_plan import near_data_plan

    plan(_system())
    latency_equilibrium(_system())
    fluid(_system())
    near_data_plan(_cluster())


def _simulate() -> None:
    """All policies, Poisson arrivals or a trace; clusters by the policies that are the default."""
    from isocline.policies.routing import ALL
    from isocline.policies.scheduling import parse
    from isocline.simulate.cluster.compare import DEFAULT_POLICIES
    from isocline.simulate.cluster.prepare import prepare_cluster
    from isocline.simulate.cluster.replicate import rehearse as rehearse_cluster
    from isocline.simulate.cluster.run import ClusterRun
    from isocline.simulate.prepare import prepare
    from isocline.simulate.replicate import rehearse
    from isocline.simulate.run import Run
    from isocline.theory.near_data_plan import near_data_plan

    prepared = prepare(_system())
    for policy in (made() for made in ALL.values()):
        if not policy.may_hold:
            rehearse(prepared, policy, Run(1.0))
        rehearse(prepared, policy, Run(1.0, listed=True))
    near_data_plan(_cluster())
    for name in DEFAULT_POLICIES:
        rehearse_cluster(prepare_cluster(_cluster()), parse(name), ClusterRun(Run(1.0)))


def _serve() -> None:
    """All policies, with curves given or learned."""
    from isocline.gateway.build import core_of
    from isocline.gateway.serving.core import rehearse
    from isocline.learn import Learner
    from isocline.policies.routing import ALL

    for policy in ALL.values():
        rehearse(core_of(_system(), policy()))
    rehearse(core_of(_system(), ALL["gmsr"](), learner=Learner(2)))


def _run() -> None:
    """The default policies of `isocline run` and of `Scheduler`, and what explains a run."""
    from isocline.dispatch.batch.run import POLICY
    from isocline.dispatch.core import Core
    from isocline.dispatch.starting import prior
    from isocline.draws import stream
    from isocline.policies.scheduling import parse
    from isocline.theory.near_data_plan import near_data_plan

    for name in (POLICY, "local_first"):
        Core([0, 0], prior(1), parse(name), stream(0))
    near_data_plan(_cluster())


VERBS: dict[str, Callable[[], None]] = {
    "plan": _plan,
    "simulate": _simulate,
    "serve": _serve,
    "run": _run,
}
