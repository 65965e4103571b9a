"""Engines of the routing simulator, and what each runs.

Those that few runs need are imported when they are chosen: each brings kernels of its own.
"""

from collections.abc import Mapping

import numpy as np

from isocline.simulate.common.engine_choice import EngineKind, Feature, asked, chosen
from isocline.simulate.routing.engines import (
    ChainEngine,
    Engine,
    RoutingRun,
    ShareEngine,
    TrackEngine,
)
from isocline.simulate.routing.prepare import ALL_AT_ONCE, laws_of


def _learning(run: RoutingRun) -> Engine:
    from isocline.simulate.routing.learning_engine import LearningEngine  # noqa: PLC0415

    return LearningEngine(run)


def _slotted(run: RoutingRun) -> Engine:
    from isocline.simulate.routing.slotted_engine import SlottedEngine  # noqa: PLC0415

    return SlottedEngine(run)


def _delayed(run: RoutingRun) -> Engine:
    from isocline.simulate.routing.delayed_engine import DelayedEngine  # noqa: PLC0415

    return DelayedEngine(run)


def _holding(run: RoutingRun) -> Engine:
    from isocline.simulate.routing.holding_engine import HoldEngine  # noqa: PLC0415

    return HoldEngine(run)


def _abandonment(run: RoutingRun) -> Engine:
    from isocline.simulate.routing.abandonment_engine import AbandonmentEngine  # noqa: PLC0415

    return AbandonmentEngine(run)


def _caching(run: RoutingRun) -> Engine:
    from isocline.simulate.routing.caching_engine import CachingEngine  # noqa: PLC0415

    return CachingEngine(run)


def _residency(run: RoutingRun) -> Engine:
    from isocline.simulate.routing.residency_engine import ResidencyEngine  # noqa: PLC0415

    return ResidencyEngine(run)


F = Feature
_CONTINUOUS = frozenset({F.CONTINUOUS, F.FCFS})
_TIMED = _CONTINUOUS | {F.LATENCIES}
_LISTED = _TIMED | {F.LISTED, F.TRACE, F.LAWS, F.SLOWDOWNS}
_ZONED = _LISTED | {F.ZONES}
# Layers open the pools of one system, which those of a later one need not match.
ENGINES: tuple[EngineKind[Engine], ...] = (
    EngineKind(ChainEngine, _CONTINUOUS | {F.LAYERS}),
    EngineKind(TrackEngine, _TIMED | {F.SLOWDOWNS, F.LAYERS}),
    EngineKind(ShareEngine, _LISTED | {F.LAYERS}),
    EngineKind(ShareEngine, _ZONED | {F.CHANGES}),
    EngineKind(_holding, _LISTED | {F.HOLDING, F.LAYERS}),
    EngineKind(_holding, _ZONED | {F.HOLDING}),
    EngineKind(_abandonment, _LISTED | {F.PATIENCE, F.LAYERS}),
    EngineKind(_abandonment, _ZONED | {F.PATIENCE, F.CHANGES, F.FAILURES}),
    EngineKind(_caching, _ZONED | {F.CACHES, F.PATIENCE, F.CHANGES, F.FAILURES}),
    EngineKind(_residency, _ZONED | {F.MODELS}),
    EngineKind(_learning, _TIMED | {F.LEARNING, F.SLOWDOWNS, F.LAYERS}),
    EngineKind(_slotted, frozenset({F.SLOTTED, F.LATENCIES, F.HOLDING, F.LISTED, F.LAYERS})),
    EngineKind(_delayed, _TIMED | {F.DELAY, F.LAYERS}),
)


def engine_for(run: RoutingRun) -> Engine:
    """Make the quickest engine that can do a run.

    Raises:
        UsageError: None can.
    """
    prepared, policy, settings = run.prepared, run.policy, run.settings
    slotted = settings.slots is not None
    make = chosen(
        ENGINES,
        asked(
            {
                F.SLOTTED: slotted,
                F.CONTINUOUS: not slotted,
                F.TRACE: prepared.trace is not None,
                F.LAWS: laws_of(prepared.system),
                F.HOLDING: policy.may_hold,
                F.DELAY: prepared.delay is not None,
                F.LEARNING: policy.learns,
                F.PATIENCE: settings.interrupted and not settings.failures,
                F.FAILURES: bool(settings.failures),
                F.CHANGES: bool(settings.changes),
                F.SLOWDOWNS: bool(settings.slowdowns),
                F.CACHES: prepared.caches is not None,
                F.MODELS: prepared.eviction is not None,
                F.ZONES: prepared.system.ways.size > 0,
                F.FCFS: bool(np.any(prepared.places != ALL_AT_ONCE)),
                F.LATENCIES: settings.percentiles or policy.needs_latency or settings.drain,
                F.LISTED: settings.listed,
            }
        ),
    )
    return make(run)


def require_engine(features: Mapping[Feature, bool | str]) -> None:
    """Raise UsageError if no engine runs these features together."""
    chosen(ENGINES, asked(features))
