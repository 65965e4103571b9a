"""The list of jobs that one replication is given: the same for every policy."""

import numpy as np

from isocline.model.fleet import RoutingSystem
from isocline.model.traffic import Trace
from isocline.simulate.kernels.sharing import Arriving
from isocline.simulate.streams import ARRIVALS, FRONTENDS, SIZES, generator


def sampled(system: RoutingSystem, seed: int, replication: int, until: float) -> Arriving:
    """Jobs from the system's own arrival processes and sizes, in order of time."""
    times = [
        frontend.arrivals.sample(generator(seed, replication, ARRIVALS, f), until)
        for f, frontend in enumerate(system.frontends)
    ]
    source = np.repeat(np.arange(len(times), dtype=np.int32), [t.size for t in times])
    time = np.concatenate(times)
    if len(times) > 1:
        order = np.argsort(time, kind="stable")
        time, source = time[order], source[order]
    return Arriving(
        time, source, system.sizes.sample(generator(seed, replication, SIZES), time.size)
    )


def replayed(
    system: RoutingSystem, trace: Trace, seed: int, replication: int, until: float
) -> Arriving:
    """The jobs of a trace before `until`, each at a frontend drawn in proportion to its rate."""
    kept = int(np.searchsorted(trace.times, until))
    share = np.cumsum(system.rates / system.rates.sum())
    mark = generator(seed, replication, FRONTENDS).random(kept)
    source = np.minimum(np.searchsorted(share, mark, side="right"), share.size - 1)
    work = system.work.of(trace)[:kept]
    return Arriving(
        np.ascontiguousarray(trace.times[:kept]), source.astype(np.int32), work / system.work.mean
    )
