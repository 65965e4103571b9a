"""Construction of a core from a system file's model."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from isocline.errors import InfeasibleError, UsageError
from isocline.gateway.core.cache_homes import CacheHomes
from isocline.gateway.core.cache_index import CacheIndex
from isocline.gateway.core.core import Core
from isocline.gateway.core.curve_feedback import CurveFeedback
from isocline.gateway.core.prefix_caches import PrefixCaches
from isocline.gateway.core.prompts import BLOCK_LENGTH, TOKENS_PER_BYTE, Prompts
from isocline.gateway.core.request_cost import Measure
from isocline.gateway.core.residency import ResidencySetting
from isocline.gateway.core.round_trips import MeasuredDistances
from isocline.gateway.core.zones import Zones
from isocline.learn import Learner
from isocline.model.fleet import RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.serving_settings import Rules
from isocline.policies.routing.contract import FloatArray, RoutingPolicy, Setting
from isocline.policies.routing.random import Random
from isocline.randomness.draws import Stream, stream
from isocline.theory.routing.equilibrium import fluid_optimum


def core_of(
    system: RoutingSystem,
    policy: RoutingPolicy,
    *,
    seed: int = 0,
    rules: Rules | None = None,
    learner: Learner | None = None,
    measure: Measure | None = None,
    lag: float = 0.0,
    unplanned: str = "",
    cache_ranks: Mapping[int, int] | None = None,
    cache_homes: bool = False,
    rng: Stream | None = None,
    residency: ResidencySetting | None = None,
    zones: Zones | None = None,
) -> Core:
    """Build the core that routes for all frontends of a system.

    If a backend has a prefix cache, requests are weighed with what is cached there.

    Args:
        system: System; its rates are needed only by policies that follow a plan.
        policy: Routing policy.
        seed: Seed of the policy's draws; each process needs its own.
        rules: Limits on holding, ejection, retries and so on.
        learner: Learner whose curves replace the system's; None: the system's are used.
        measure: Measure of the work that a learner counts; None: each request is one.
        lag: Age of a report when a request sent on it arrives, s, for `gmsr_ahead`.
        unplanned: Rate or curve that is not known, in words, so that there is no plan; empty: none.
        cache_ranks: Ranks of the backends that publish what they cache, by number.
        cache_homes: Whether other routers, or workers, send to the same backends.
        rng: Stream of the policy's draws, in place of one from `seed`.
        residency: Models of the backends; None: every backend serves every model.
        zones: Zones of frontends and backends; None: all are as near.

    Raises:
        PolicyError: The policy follows a plan, and there is none, as the load is infeasible or not
            known.
    """
    if not system.backends:  # a policy's tables of no rows are of no shape
        policy = Random()
    row = np.arange(len(system.backends), dtype=np.int32)
    distance = np.zeros(0) if zones is None else zones.by_edge(system.graph)
    split = unplanned or _split(system)
    setting = Setting(system.graph, system.curves, row, split, lag, distance)
    feedback = CurveFeedback(learner, measure) if learner else None
    draws = stream(seed) if rng is None else rng
    prompts = prompts_of(system, cache_ranks, cache_homes)
    core = Core(setting, policy, draws, rules, feedback, prompts, residency)
    if zones is not None and zones.distances.measured:
        core.distances = MeasuredDistances(zones, core.policy_runtime)
    return core


def prompts_of(
    system: RoutingSystem,
    cache_ranks: Mapping[int, int] | None = None,
    cache_homes: bool = False,
) -> Prompts | None:
    """Prompts of a system with prefix caches, all empty; None if no backend has one.

    `cache_ranks` are the ranks of those that publish what they cache; with `cache_homes` prompts
    have homes, on which all routers agree.
    """
    if not system.has_caches:
        return None
    backends = len(system.backends)
    tokens = [backend.cache_tokens or 0 for backend in system.backends]
    capacities = [round(held / (TOKENS_PER_BYTE * BLOCK_LENGTH)) for held in tokens]
    caches = PrefixCaches(capacities)
    ranks = [(cache_ranks or {}).get(backend, 1) for backend in range(backends)]
    prompts = Prompts(
        system.work,
        caches,
        len(system.frontends),
        np.ones((system.graph.edges, 2)),
        np.zeros(3),
        np.zeros((backends, 2)),
        CacheIndex(caches, system.block_size, ranks) if cache_ranks else None,
    )
    if cache_homes:
        peaks = zip(system.curves, tokens, strict=True)
        prompts.homes = CacheHomes([curve.supremum if held else 0.0 for curve, held in peaks])
    return prompts


def _split(system: RoutingSystem) -> FloatArray | str:
    """Return the plan's split, or why there is none: a router runs at any load.

    Frontends without backends, which are yet to be discovered, have no part in the plan.
    """
    connected = np.flatnonzero(np.diff(system.graph.first)).tolist()
    if not connected:
        return "no frontend has a backend yet"
    if len(connected) < len(system.frontends):
        neighbours = [system.graph.neighbours(f).tolist() for f in connected]
        system = replace(
            system,
            frontends=tuple(system.frontends[f] for f in connected),
            graph=CompatibilityGraph.from_neighbours(len(system.backends), neighbours),
        )
    try:
        return fluid_optimum(system).split
    except (InfeasibleError, UsageError) as error:  # the latter: those connected have no load
        return str(error)
