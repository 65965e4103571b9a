"""Compilation of the kernels that each verb needs, by runs on the smallest systems there are.

Kernels are compiled for types, not for sizes or curves: these stand for all systems.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, final

import numpy as np

from isocline.compilation.interpretable import SMALL
from isocline.model.cluster import Cluster, ExplicitTasks, Rates
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals

_LARGE = SMALL + 1  # backends or servers with which a level flow is not interpreted


def _system(backends: int = 2) -> RoutingSystem:
    """Two frontends; one may use all backends, one the last."""
    curve = HyperbolicCurve(2.0, 1.0)
    return RoutingSystem(
        tuple(Frontend(name, PoissonArrivals(0.5)) for name in ("f0", "f1")),
        tuple(Backend(f"b{b}", curve) for b in range(backends)),
        CompatibilityGraph.from_neighbours(backends, [range(backends), [backends - 1]]),
    )


def _cluster(servers: int = 2) -> Cluster:
    """A type of tasks for each server, and for its neighbour."""
    neighbours = [[n, (n + 1) % servers] for n in range(servers)]
    graph = CompatibilityGraph.from_neighbours(servers, neighbours)
    tasks = ExplicitTasks(graph, np.linspace(0.1, 0.6, servers))
    names = tuple(f"n{n}" for n in range(servers))
    return Cluster(names, np.zeros(servers, np.int64), ("",), Rates(1.0, 0.5), tasks)


def _plan() -> None:
    from isocline.theory.routing.equilibrium import plan
    from isocline.theory.routing.inclusion import fluid
    from isocline.theory.routing.latency_routing import latency_equilibrium
    from isocline.theory.scheduling.near_data_plan import near_data_plan

    plan(_system(_LARGE))
    plan(_system(_LARGE).sped_up(1e6))  # which cannot be served
    latency_equilibrium(_system(_LARGE))
    fluid(_system())
    near_data_plan(_cluster(_LARGE))


def _simulate() -> None:
    """All policies, Poisson arrivals or a trace; clusters by the policies that are the default."""
    from isocline.policies.parse import scheduling_policy
    from isocline.policies.routing import ALL
    from isocline.simulate.common.replication import Run
    from isocline.simulate.routing.prepare import prepare
    from isocline.simulate.routing.replicate import rehearse
    from isocline.simulate.routing.run_settings import RunSettings
    from isocline.simulate.scheduling.compare import DEFAULT_POLICIES
    from isocline.simulate.scheduling.prepare import prepare_cluster
    from isocline.simulate.scheduling.replicate import rehearse as rehearse_cluster
    from isocline.simulate.scheduling.run_settings import ClusterRunSettings
    from isocline.theory.routing.equilibrium import plan
    from isocline.theory.routing.hindsight.bound import hindsight_bound
    from isocline.theory.scheduling.near_data_plan import near_data_plan

    prepared = prepare(_system())
    for policy in (made() for made in ALL.values()):
        if not policy.may_hold:
            rehearse(Run(prepared, policy, RunSettings(1.0)))
        rehearse(Run(prepared, policy, RunSettings(1.0, listed=True)))
    plan(_system(_LARGE))
    hindsight_bound(_system(), [0.0, 1.0])
    near_data_plan(_cluster(_LARGE))
    for name in DEFAULT_POLICIES:
        setting = ClusterRunSettings(1.0)
        rehearse_cluster(Run(prepare_cluster(_cluster()), scheduling_policy(name), setting))


def _serve() -> None:
    """All policies, with curves given or learned."""
    from isocline.gateway.core.build import core_of
    from isocline.gateway.serve.worker_core import rehearse
    from isocline.learn import Learner
    from isocline.policies.routing import ALL

    for policy in ALL.values():
        rehearse(core_of(_system(), policy()))
    for name in ("gmsr_secant", "gmsr"):
        rehearse(core_of(_system(), ALL[name](), learner=Learner(2)))


@final
class EnvoyModule(NamedTuple):
    """Module for the Envoy that is installed: where it is, or why it is nowhere."""

    library: Path | None
    problem: str = ""


def envoy_module() -> EnvoyModule | None:
    """Compile the module for Envoy, and what makes its prices; None if there is no Envoy."""
    from isocline.errors import MissingExtraError, UsageError
    from isocline.planes.envoy.binary import find_envoy
    from isocline.planes.envoy.module_build import built_module, version_of
    from isocline.planes.envoy.policy_prices import SecantPrices
    from isocline.policies.routing.gmsr_secant import GmsrSecant
    from isocline.simulate.routing.prepare import prepare

    try:
        binary = find_envoy(None)
    except MissingExtraError:
        return None
    priced = SecantPrices(GmsrSecant(), prepare(_system()).setting, 1)
    priced.look(0.0, [0, 0])
    priced.prices()
    try:
        return EnvoyModule(built_module(version_of(binary)))
    except UsageError as error:
        return EnvoyModule(None, str(error))


def _run() -> None:
    """The default policy of `isocline run` and `Scheduler`, and the plan that explains a run."""
    from isocline.dispatch.core.core import Core
    from isocline.dispatch.scheduler import DEFAULT_POLICY
    from isocline.dispatch.setup import prior
    from isocline.policies.parse import scheduling_policy
    from isocline.randomness.draws import stream
    from isocline.theory.scheduling.near_data_plan import near_data_plan

    Core([0, 0], prior(1), scheduling_policy(DEFAULT_POLICY), stream(0))
    near_data_plan(_cluster(_LARGE))


def options_of_simulate() -> None:
    """Options of `simulate` that have kernels of their own, with every policy that takes them."""
    from isocline.errors import UsageError
    from isocline.learn import Learning
    from isocline.policies.routing import ALL
    from isocline.policies.scheduling import ALL as SCHEDULING
    from isocline.simulate.common.replication import Run
    from isocline.simulate.routing.delay import Delay
    from isocline.simulate.routing.learned_policy import LearnedPolicy
    from isocline.simulate.routing.prepare import prepare
    from isocline.simulate.routing.replicate import rehearse
    from isocline.simulate.routing.run_settings import RunSettings
    from isocline.simulate.routing.slotted_clock import slots_of
    from isocline.simulate.scheduling.prepare import prepare_cluster
    from isocline.simulate.scheduling.replicate import rehearse as rehearse_cluster
    from isocline.simulate.scheduling.run_settings import ClusterRunSettings

    system = _system()
    prepared, slots = prepare(system), slots_of("slotted", system)
    for policy in (made() for made in ALL.values()):
        with suppress(UsageError):  # a policy that holds jobs
            late = replace(prepared, delay=Delay(0.1, 0.1, 0.1))
            rehearse(Run(late, policy, RunSettings(1.0)))
            rehearse(Run(prepared, policy, RunSettings(1.0, percentiles=False)))
            rehearse(Run(prepared, policy, RunSettings(1.0, slots=slots)))
            rehearse(Run(prepared, LearnedPolicy(policy, Learning()), RunSettings(1.0)))
            rehearse(Run(prepared, policy, RunSettings(1.0, listed=True, interrupted=True)))
    for scheduling in (made() for made in SCHEDULING.values()):
        for percentiles in (True, False):
            run = ClusterRunSettings(1.0, percentiles=percentiles)
            rehearse_cluster(Run(prepare_cluster(_cluster()), scheduling, run))


VERBS: dict[str, Callable[[], None]] = {
    "plan": _plan,
    "simulate": _simulate,
    "serve": _serve,
    "run": _run,
}
