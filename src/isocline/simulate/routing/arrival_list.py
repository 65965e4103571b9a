"""List of the jobs of one replication: the same for every policy."""

import numpy as np

from isocline.model.fleet import RoutingSystem
from isocline.model.replay import frontends_of, sizes_of
from isocline.model.traffic import Trace
from isocline.model.traffic.own import sizes_of as drawn_sizes
from isocline.model.traffic.own import times_of
from isocline.simulate.common.random_streams import ARRIVALS, FRONTENDS, SIZES, random_stream
from isocline.simulate.routing.kernels.processor_sharing import Arriving


def sampled(system: RoutingSystem, seed: int, replication: int, until: float) -> Arriving:
    """Draw jobs from the system's own arrival processes and sizes, in order of time."""
    times = [
        times_of(
            f"frontend {frontend.name!r}",
            frontend.arrivals,
            random_stream(seed, replication, ARRIVALS, f),
            until,
        )
        for f, frontend in enumerate(system.frontends)
    ]
    source = np.repeat(np.arange(len(times), dtype=np.int32), [t.size for t in times])
    time = np.concatenate(times)
    if len(times) > 1:
        order = np.argsort(time, kind="stable")
        time, source = time[order], source[order]
    sizes = drawn_sizes(system.sizes, random_stream(seed, replication, SIZES), time.size)
    return Arriving(time, source, sizes)


def replayed(
    system: RoutingSystem, trace: Trace, seed: int, replication: int, until: float
) -> Arriving:
    """Take the jobs of a trace before `until`, each at the frontend of its label.

    Without labels frontends are drawn in proportion to their rates, and without sizes the system's
    own are.
    """
    kept = int(np.searchsorted(trace.times, until))
    source = frontends_of(system, trace)
    if source is None:
        share = np.cumsum(system.rates / system.rates.sum())
        mark = random_stream(seed, replication, FRONTENDS).random(kept)
        drawn = np.minimum(np.searchsorted(share, mark, side="right"), share.size - 1)
        source = drawn.astype(np.int32)
    sizes = sizes_of(system, trace)
    if sizes is None:
        sizes = drawn_sizes(system.sizes, random_stream(seed, replication, SIZES), kept)
    return Arriving(
        np.ascontiguousarray(trace.times[:kept]), source[:kept].copy(), sizes[:kept].copy()
    )
