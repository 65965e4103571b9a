"""Engine of backends with prefix caches, whose jobs are the requests of a trace."""

from typing import final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.policies.routing.contract import View
from isocline.simulate.routing.abandonment_engine import AbandonmentEngine
from isocline.simulate.routing.cache_knowledge import CacheKnowledge
from isocline.simulate.routing.engines import FloatArray, RoutingRun
from isocline.simulate.routing.failure import BackendFailure
from isocline.simulate.routing.kernels.lru import clear, lru
from isocline.simulate.routing.kernels.prefix_caching import Caches, Prompts

IndexArray = npt.NDArray[np.int64]

# Blocks in all caches and indices together, of 20 bytes each or a little more: 4 GB.
_MOST_BLOCKS = 2 * 10**8

# Before any answer: one prompt of which half was cached, so that the first ones are sent home.
_FIRST_AT_HOME = np.array([0.5, 1.0])


@final
class CachingEngine(AbandonmentEngine):
    """Engine of the requests of a trace, with the work that the cache of their backend leaves."""

    prompts: Prompts
    caches: Caches

    def __init__(self, run: RoutingRun):
        assert run.prepared.caches is not None
        self.prompts = run.prepared.prompts
        super().__init__(run)
        self.view = _with_tokens(self.view)
        self.caches = self._caches(run.prepared.caches)

    def _listed_sizes(self) -> FloatArray:
        return self.prepared.least_work[: self.arriving.time.size]

    def cached_work(self, since: float) -> FloatArray:
        """As `Engine.cached_work`."""
        prompts, n = self.prompts, int(np.searchsorted(self.arriving.time, since))
        m = self.arriving.time.size
        read, written = prompts.prompt[n:m], prompts.output[n:m]
        cached = self.caches.cached[n:m]
        cold = np.array([read.sum(), written.sum()]) @ prompts.weight
        saved = prompts.weight[0] * cached.sum()
        return np.array([cold - saved, cold, cached.sum(), read.sum()])

    def _caches(self, knowledge: CacheKnowledge) -> Caches:
        system, n = self.prepared.system, self.arriving.time.size
        graph, distinct = system.graph, int(self.prompts.block.max(initial=-1)) + 1
        room = np.array(
            [min((b.cache_tokens or 0) // system.block_size, distinct) for b in system.backends],
            np.int64,
        )
        held = lru(affordable(room))
        follows = knowledge.caches in ("own", "homes")
        # Of a fleet that changes a frontend has several numbers, and knows what it knew before.
        named = self.prepared.named
        frontend = graph.source if named is None else named[graph.source]
        # Of one frontend come all that caches hold.
        exact = knowledge.caches == "exact" or (follows and not frontend.any())
        if exact:
            known, index = held, graph.sink.astype(np.int32)
        else:
            pairs, inverse = np.unique(
                frontend.astype(np.int64) * graph.sinks + graph.sink, return_inverse=True
            )
            known = lru(affordable(room[pairs % graph.sinks] * follows))
            index = inverse.astype(np.int32)
        homes = system.capacities * (room > 0) * (knowledge.caches == "homes" and not exact)
        return Caches(
            held,
            known,
            index,
            follows and not exact,
            knowledge.outputs == "known",
            np.ones((graph.sources, 2)),
            homes[graph.sink],
            np.tile(_FIRST_AT_HOME, (graph.sources, 1)),
            np.zeros(n, np.int32),
            np.zeros(n, np.int32),
            np.zeros(n),
            np.zeros((n, 2)),
        )

    def _fail(self, failure: BackendFailure) -> None:
        """Empty a failed backend and its cache, which frontends know, too."""
        super()._fail(failure)
        caches, backend = self.caches, failure.backend
        self.view.tokens[backend] = 0.0
        clear(caches.held, backend)
        if caches.apart:
            for edge in np.flatnonzero(self.view.backend == backend).tolist():
                clear(caches.known, int(caches.of_edge[edge]))


def _with_tokens(view: View) -> View:
    """A view with room for the work and the tokens of jobs."""
    edges, backends = view.backend.size, view.workload.size
    return view._replace(work=np.zeros((edges, 2)), job=np.zeros(3), tokens=np.zeros((backends, 2)))


def affordable(room: IndexArray) -> IndexArray:
    """Capacities, if there is memory for them; raises UsageError else."""
    if room.sum() > _MOST_BLOCKS:
        raise UsageError(
            f"prefix caches: they or the indices of frontends hold {room.sum():,} blocks, more "
            f"than {_MOST_BLOCKS:,}; give fewer tokens, larger blocks or --cache-knowledge exact"
        )
    return room
