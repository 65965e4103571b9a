"""Fetch what the next events will read, all at once, before they happen.

With a million backends nearly every read misses the cache, and an event is a chain of four such
reads (which frontend, its edges, their backends, their workloads): a microsecond of waiting. But
the events of a uniformised chain do not depend on its state. So a copy of the generator runs ahead,
and each link of the chain is read for many events together, when the processor can wait for all of
them at the same time.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import int64, uint64

from isocline.compilation.compiled import kernel
from isocline.policies.routing.contract import View
from isocline.randomness.draws import step
from isocline.simulate.common.kernels.alias_tables import BITS, column_of
from isocline.simulate.common.kernels.counters import REST, System

AHEAD = 64
# Smaller systems fit into the cache, where looking ahead would only cost.
LEAST_BACKENDS = 1 << 15


def scratch(backends: int) -> npt.NDArray[np.int64]:
    """Scratch of `fetch`, (AHEAD,) int64; (0,) for systems that do not need it."""
    return np.zeros(AHEAD if backends >= LEAST_BACKENDS else 0, np.int64)


@kernel
def fetch(view: View, system: System, s0: Any, s1: Any, upcoming: Any) -> int:
    """Read what the next AHEAD events need; the sum keeps the compiler from leaving it out.

    Args:
        view: Read-only.
        system: Read-only, but for `upcoming`.
        s0: With `s1` the state of the stream of events, uint64 each; the caller's own stays as it
            is.
        s1: See `s0`.
        upcoming: (AHEAD,) int64, written: a frontend, or -1 less a backend.
    """
    for i in range(AHEAD):
        s0, s1, event = step(s0, s1)
        if event >> uint64(BITS) < system.arriving:
            upcoming[i] = column_of(system.sources, event & REST)
        else:
            s0, s1, _ = step(s0, s1)  # thins the departure
            upcoming[i] = -1 - column_of(system.sinks, event & REST)
    total = int64(0)
    for i in range(AHEAD):
        who = upcoming[i]
        if who < 0:
            total += view.workload[-1 - who] + view.row[-1 - who]
        else:
            total += view.backend[system.first[who]]
            total += view.backend[system.first[who + 1] - 1]
    for i in range(AHEAD):
        who = upcoming[i]
        if who >= 0:
            for edge in range(system.first[who], system.first[who + 1]):
                backend = view.backend[edge]
                total += view.workload[backend] + view.row[backend]
    return total  # type: ignore[no-any-return]  # numba holds no other integers
