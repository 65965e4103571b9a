"""Cores whose backends have memory for some models, and what happens around them, for tests."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import partial

from isocline.gateway.core.actions import Action, Hold, Reject, Send
from isocline.gateway.core.build import core_of
from isocline.gateway.core.core import Core
from isocline.gateway.core.model_catalogue import KnownModel
from isocline.gateway.core.model_memory import ModelCall, State
from isocline.gateway.core.request import Profile
from isocline.gateway.core.residency import ResidencySetting
from isocline.model.curves import Curve, HyperbolicCurve
from isocline.model.serving_settings import Rules
from isocline.policies.parse import parse
from tests.builders import fleet

CURVE = HyperbolicCurve(100.0, 10.0)
LOAD = 0.5


def entry(pattern: str, size: float = 1.0, load: float = LOAD) -> KnownModel:
    return KnownModel(size, load, lambda name: fnmatchcase(name, pattern))


def residency_core(
    capacities: Sequence[float | None],
    *,
    entries: Sequence[KnownModel] | None = None,
    pinned: Sequence[Sequence[str]] = (),
    by_call: bool = True,
    unloads: bool = True,
    curves: Sequence[Curve] | None = None,
    policy: str = "gmsr",
    **rules: object,
) -> Core:
    setting = ResidencySetting(entries or [entry("m*")], capacities, pinned, by_call, unloads)
    system = fleet(curves or [CURVE] * len(capacities), [1.0])
    made = partial(core_of, rules=Rules(**rules), residency=setting)  # type: ignore[arg-type]
    return made(system, parse(policy))


def asks(core: Core, model: str, now: float = 0.0) -> Action:
    return core.arrived(now, 0, Profile(model=model))


def calls(core: Core, now: float = 0.0) -> list[tuple[int, str, bool]]:
    """Calls that begin: backend, model, and whether it is a load."""
    return [(backend, call.model, call.loads) for backend, call in core.take_calls(now)]


def begun(core: Core, now: float = 0.0) -> tuple[int, ModelCall]:
    """The one call that begins."""
    (one,) = core.take_calls(now)
    return one


def load(core: Core, model: str, now: float = 0.0, took: float = LOAD) -> int:
    """Ask for a model, have it loaded and the request served; returns its backend."""
    action = asks(core, model, now)
    while isinstance(action, Hold):
        for backend, call in core.take_calls(now):
            now += took if call.loads else 0.0
            for then in core.call_ended(backend, call, now):
                action = then if then.request == action.request else action
    assert isinstance(action, Send), action
    core.finished(action.request, now + 0.01)
    return action.backend


def resident(core: Core, backend: int) -> set[str]:
    assert core.residency is not None
    copies = core.residency.memories[backend].copies.values()
    return {copy.model for copy in copies if copy.state is State.RESIDENT}


def rejected(actions: Sequence[Action]) -> list[Reject]:
    return [action for action in actions if isinstance(action, Reject)]
