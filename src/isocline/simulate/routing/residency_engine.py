"""Engine of backends with bounded memory for the models that jobs ask for."""

from typing import final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.fleet import RoutingSystem
from isocline.model.residency import NO_MODEL
from isocline.model.traffic import Mix
from isocline.simulate.common.random_streams import MODELS, random_stream
from isocline.simulate.routing.engines import FloatArray, IntArray, RoutingRun, ShareEngine
from isocline.simulate.routing.kernels.model_memory import ABSENT, PINNED, RESIDENT, Memory


@final
class ResidencyEngine(ShareEngine):
    """Any arrivals and sizes, given as a list, and models that backends hold or load.

    At the start the memory of each backend holds what is pinned there, and one without a limit
    holds all models.
    """

    memory: Memory

    def __init__(self, run: RoutingRun):
        super().__init__(run)
        self.view = self.view._replace(work=np.zeros((self.view.backend.size, 2)), job=np.zeros(3))
        self.memory = self._memory(self._models())

    def model_loads(self, ends: FloatArray) -> FloatArray:
        """As `Engine.model_loads`."""
        memory = self.memory
        block = np.searchsorted(ends, self.arriving.time)
        came = (memory.model != NO_MODEL) & (block < ends.size)
        what = (came, memory.loads > 0, memory.loads, memory.evictions)
        return np.array([np.bincount(block[came], of[came], ends.size) for of in what])

    def _models(self) -> IntArray:
        """(n,) the model that each listed job asks for: that of its trace, or one drawn."""
        prepared = self.prepared
        mix = None if prepared.trace is None else prepared.trace.mix
        n = self.arriving.time.size
        if mix is not None and mix.column == "model":
            named = of_trace(prepared.system, mix)
            if named is not None:
                return named[:n].copy()
        draws = random_stream(self.run.settings.seed, self.run.replication, MODELS).random(n)
        return drawn(prepared.system.model_shares, self.arriving.frontend, draws)

    def _memory(self, model: IntArray) -> Memory:
        system, n = self.prepared.system, model.size
        catalogue = system.catalogue
        state, free = _at_start(system)
        shape = state.shape
        return Memory(
            model,
            catalogue.sizes,
            catalogue.loads,
            self.prepared.eviction == "price",
            state,
            free,
            np.zeros(shape[0]),
            np.zeros(shape, np.int32),
            np.zeros(shape),
            np.zeros(shape),
            np.zeros(shape),
            np.zeros(n, np.int32),
            np.zeros(n, np.int8),
            np.zeros(n, np.int16),
        )


def drawn(shares: FloatArray, frontend: IntArray, draws: FloatArray) -> IntArray:
    """(n,) models by (F, M) shares of frontends and (n,) uniform draws; NO_MODEL of no shares."""
    found = np.full(frontend.size, NO_MODEL, np.int32)
    for f, row in enumerate(shares):
        here = frontend == f
        some = np.flatnonzero(row)
        if some.size:
            ends = np.cumsum(row[some])
            at = np.searchsorted(ends / ends[-1], draws[here], side="right")
            found[here] = some[np.minimum(at, some.size - 1)]
    return found


def of_trace(system: RoutingSystem, mix: Mix) -> IntArray | None:
    """(n,) model of each request by its label; None where no label is that of a model."""
    numbers = system.catalogue.number
    of_label = np.array([numbers.get(label, NO_MODEL) for label in mix.labels], np.int32)
    return None if (of_label == NO_MODEL).all() else of_label[mix.of]


def _at_start(system: RoutingSystem) -> tuple[npt.NDArray[np.int8], FloatArray]:
    """(B, M) states, and (B,) free memory; raises UsageError if a model fits nowhere."""
    catalogue = system.catalogue
    sizes, numbers = catalogue.sizes, catalogue.number
    state = np.full((len(system.backends), sizes.size), ABSENT, np.int8)
    free = np.full(len(system.backends), np.inf)
    for b, backend in enumerate(system.backends):
        if backend.memory is None:
            state[b] = RESIDENT
        else:
            free[b] = backend.memory
        for name in backend.resident:
            if name not in numbers:
                raise UsageError(
                    f"backend {backend.name!r}: {name!r} is not among the models that there are"
                ).within("backends", backend.name, "resident")
            state[b, numbers[name]] = PINNED
            free[b] -= sizes[numbers[name]]
    return state, free
