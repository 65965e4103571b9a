"""The list of jobs that one replication is given: the same for every policy."""

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.fleet import Frontend, RoutingSystem
from isocline.model.replay import frontends_of, sizes_of
from isocline.model.traffic import Trace
from isocline.simulate.kernels.sharing import Arriving
from isocline.simulate.streams import ARRIVALS, FRONTENDS, SIZES, generator
from isocline.user_code import failures_of

FloatArray = npt.NDArray[np.float64]


def sampled(system: RoutingSystem, seed: int, replication: int, until: float) -> Arriving:
    """Jobs from the system's own arrival processes and sizes, in order of time."""
    times = [
        _sound(frontend, generator(seed, replication, ARRIVALS, f), until)
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


def _sound(frontend: Frontend, rng: np.random.Generator, until: float) -> FloatArray:
    """The times of a frontend's own process; a user's may give anything."""
    name = f"frontend {frontend.name!r}: {type(frontend.arrivals).__name__}.sample"
    with failures_of(name, UsageError):
        times = np.asarray(frontend.arrivals.sample(rng, until), dtype=np.float64)
    in_order = times.ndim == 1 and bool((np.diff(times) >= 0.0).all())
    if not in_order or (times.size and not 0.0 <= times[0] <= times[-1] < until):
        raise UsageError(f"{name}(rng, {until:g}) must give increasing times in [0, until), in s")
    return times


def replayed(
    system: RoutingSystem, trace: Trace, seed: int, replication: int, until: float
) -> Arriving:
    """The jobs of a trace before `until`, each at the frontend of its label.

    Without labels frontends are drawn in proportion to their rates, and without sizes the system's
    own are.
    """
    kept = int(np.searchsorted(trace.times, until))
    source = frontends_of(system, trace)
    if source is None:
        share = np.cumsum(system.rates / system.rates.sum())
        mark = generator(seed, replication, FRONTENDS).random(kept)
        drawn = np.minimum(np.searchsorted(share, mark, side="right"), share.size - 1)
        source = drawn.astype(np.int32)
    sizes = sizes_of(system, trace)
    if sizes is None:
        sizes = system.sizes.sample(generator(seed, replication, SIZES), kept)
    return Arriving(
        np.ascontiguousarray(trace.times[:kept]), source[:kept].copy(), sizes[:kept].copy()
    )
