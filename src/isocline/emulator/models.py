"""Models in the memory of an emulated server.

They are loaded by calls, as LoRA adapters of vLLM, or as requests ask for them. A load takes time,
in which the server stands still; loads come one after the other.
"""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import final

from isocline.emulator.completion_request import ApiError
from isocline.model.residency import Model, model_of

_MISSING = "NotFoundError"
_ROUNDING = 1e-9  # by which sums of sizes may exceed the memory


@final
@dataclass
class Load:
    """One load, and what is to happen once it is done."""

    model: Model
    name: str
    then: list[Callable[[], None]] = field(default_factory=list)


@final
class ModelStore:
    """Models that one server has in memory, and those that it is loading.

    Attributes:
        resident: Sizes by name; the model that was used the longest time ago comes first.
        ends: Time at which the load under way ends, s; inf: none is.
    """

    def __init__(
        self, memory: float, entries: Sequence[Model], always: Collection[str], on_demand: bool
    ) -> None:
        """Initialise.

        Args:
            memory: Memory, in the unit of sizes.
            entries: Models that there are, each with its size and load.
            always: Models that are always served, and take nothing.
            on_demand: Whether it loads what requests ask for, and drops others for that.
        """
        self.resident: dict[str, float] = {}
        self.ends = inf
        self._memory, self._entries = memory, tuple(entries)
        self._always = frozenset(always)
        self._on_demand = on_demand
        self._loads: deque[Load] = deque()

    @property
    def names(self) -> list[str]:
        """Models that it serves now."""
        return [*self._always, *self.resident]

    @property
    def coming(self) -> set[str]:
        """Models that are being loaded, or queued for it."""
        return {load.name for load in self._loads}

    def serves(self, name: str) -> bool:
        """Whether it serves requests for a model now; such a one then counts as used."""
        if name in self.resident:
            self.resident[name] = self.resident.pop(name)
            return True
        return name in self._always

    def demand(self, name: str, now: float, then: Callable[[], None], used: set[str]) -> None:
        """Load a model that a request asks for, and call `then`; none of `used` is dropped.

        Raises:
            ApiError: It does not load on demand, there is no such model (404), or no room (503).
        """
        if not self._on_demand or model_of(self._entries, name) is None:
            raise ApiError(404, f"the model {name!r} does not exist", _MISSING)
        under_way = next((load for load in self._loads if load.name == name), None)
        if under_way is not None:
            under_way.then.append(then)
            return
        model = self._known(name)
        for other in [it for it in self.resident if it not in used]:
            if self._fits(model):
                break
            del self.resident[other]
        if not self._fits(model):
            raise ApiError(503, f"there is no memory for the model {name!r}", "ServiceUnavailable")
        self._begin(Load(model, name, [then]), now)

    def load(self, name: str, now: float, then: Callable[[], None]) -> None:
        """Load a model by a call, and then call `then`.

        Raises:
            ApiError: There is no such model (404), it is loaded already, or there is no room (400).
        """
        model = self._known(name)
        if name in self.resident or name in self.coming:
            raise ApiError(400, f"the lora adapter {name!r} has already been loaded")
        if not self._fits(model):
            raise ApiError(400, f"there is no memory for the lora adapter {name!r}")
        self._begin(Load(model, name, [then]), now)

    def unload(self, name: str) -> None:
        """Drop a model; raises ApiError if it is not loaded (404)."""
        if self.resident.pop(name, None) is None:
            raise ApiError(404, f"the lora adapter {name!r} cannot be found", _MISSING)

    def advance(self, now: float) -> list[Callable[[], None]]:
        """Return what is to happen after the loads that are done by now."""
        then: list[Callable[[], None]] = []
        while self.ends <= now:
            done = self._loads.popleft()
            self.resident[done.name] = done.model.size
            then += done.then
            self.ends += self._loads[0].model.load if self._loads else inf
        return then

    def _known(self, name: str) -> Model:
        model = model_of(self._entries, name)
        if model is None:
            raise ApiError(404, f"there is no lora adapter {name!r}", _MISSING)
        return model

    def _fits(self, model: Model) -> bool:
        coming = sum(load.model.size for load in self._loads)
        taken = sum(self.resident.values()) + coming + model.size
        return taken <= self._memory * (1.0 + _ROUNDING)

    def _begin(self, load: Load, now: float) -> None:
        if not self._loads:
            self.ends = now + load.model.load
        self._loads.append(load)
