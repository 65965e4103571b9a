"""Local load of each server, measured as it serves: the share of its time in local tasks.

A server brings its load up to date whenever it looks for work; all the time since it last looked
was of one kind. At first it is the mean over all its time, later what is older is forgotten.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import int64, uint32

from isocline.compilation.compiled import inlined
from isocline.policies.scheduling.state.columns import LEVEL
from isocline.policies.scheduling.state.idle_servers import member_count, random_member
from isocline.policies.scheduling.state.view import LOCAL, NOBODY, ClusterView

# Facts of each server, with which `ClusterView.memory` begins, server by server.
#
#     LOAD    local load when it last looked for work
#     SINCE   when that was, s or slots
#     FOUND   1 if it found a task then, of whatever level, else 0
#     WINDOW  time that the load stands for, s or slots
LOAD, SINCE, FOUND, WINDOW, FACTS = range(5)
# So little that with any rates measured every help is worth it, and with a remote rate of next to
# nothing, by which a live scheduler says that there is to be none, none is.
LEAST_SPARE = 1e-6


def all_busy(servers: int, window: float) -> npt.NDArray[np.float64]:
    """(FACTS * servers,) facts at first: until it has had time to spare, a server has none.

    `window` is how long each is taken to have been busy, s or slots, above 0.
    """
    facts = np.zeros(FACTS * servers)
    facts[LOAD::FACTS] = 1.0
    facts[WINDOW::FACTS] = window
    return facts


@inlined
def load_of(view: ClusterView, server: int) -> float:
    """Return the local load of a server when it last looked for work.

    Reads `view.memory`.
    """
    return float(view.memory[uint32(FACTS * server + LOAD)])


@inlined
def note_load(view: ClusterView, server: int, now: float, longest: float) -> float:
    """Bring a server's local load up to date, and return it.

    Writes LOAD, SINCE and WINDOW of the server; FOUND is the caller's. What is older than
    `longest`, s or slots, is forgotten.
    """
    at = FACTS * server
    passed = now - view.memory[uint32(at + SINCE)]
    local = view.memory[uint32(at + FOUND)] * (view.columns[uint32(server), LEVEL] == LOCAL)
    window = view.memory[uint32(at + WINDOW)]
    weight = passed / (passed + window)
    load: float = load_of(view, server) + weight * (local - load_of(view, server))
    view.memory[uint32(at + LOAD)] = load
    view.memory[uint32(at + SINCE)] = now
    view.memory[uint32(at + WINDOW)] = min(window + passed, longest)
    return load


@inlined
def less_loaded(view: ClusterView, group: int, rng: Any) -> int:
    """Return the less loaded of two random idle servers of a group that has one.

    `rng`, (2,) uint64, is advanced by two draws.
    """
    one = random_member(view.idle, group, rng)
    two = random_member(view.idle, group, rng)
    return one if load_of(view, one) <= load_of(view, two) else two


@inlined
def idle_helper(local: Any, view: ClusterView, rng: Any) -> int:
    """Return an idle server to offer a task of these servers for help, near ones first.

    NOBODY if none is idle. `rng`, (2,) uint64, is advanced by two draws if one is.
    """
    if member_count(view.idle, 0) == 0:
        return NOBODY
    if view.racks > 1:
        for i in range(local.size):
            group = 1 + int64(view.rack[uint32(local[i])])
            if member_count(view.idle, group) > 0:
                return less_loaded(view, group, rng)
    return less_loaded(view, 0, rng)
