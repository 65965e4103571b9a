"""Jobs held at their frontends: G_f of the GMSR paper, one first-come-first-served queue each.

The queues are segments of an arena (see `arena`) without a place for service.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import uint32

from isocline.compilation.compiled import kernel
from isocline.policies.routing.contract import HOLD, View
from isocline.simulate.common.kernels.counters import System
from isocline.simulate.routing.kernels import candidates
from isocline.simulate.routing.kernels.job_arena import Jobs, add, arena, enlarged, place, reserve


class Held(NamedTuple):
    """Queues of F frontends.

    Made by `held`, and written by `hold` and `release`; the engine adds room.
    """

    waiting: npt.NDArray[np.int64]  # (F,) int64, jobs: G_f
    total: npt.NDArray[np.int64]  # (1,) int64, their sum
    jobs: Jobs  # one segment for each frontend; `key` is the job's size, `edge` means nothing


def held(frontends: int) -> Held:
    """All queues empty."""
    return Held(np.zeros(frontends, np.int64), np.zeros(1, np.int64), arena(frontends))


def with_room(queues: Held) -> Held:
    """The same queues, with room for one more job in each."""
    for frontend in np.flatnonzero(queues.waiting >= queues.jobs.room).tolist():
        while not reserve(queues.jobs, frontend, int(queues.waiting[frontend]), 0):
            queues = queues._replace(jobs=enlarged(queues.jobs))
    return queues


@kernel
def hold(queues: Held, frontend: int, born: float, size: float) -> bool:
    """A job joins its frontend's queue; False if there is no room for the next one.

    Writes all of `queues`; `born` is in s, `size` in mean jobs.
    """
    waiting = queues.waiting[frontend]
    at = add(queues.jobs, frontend, waiting, 0, born, 0)
    queues.jobs.key[at] = size
    queues.waiting[frontend] = waiting + 1
    queues.total[0] += 1
    return reserve(queues.jobs, frontend, waiting + 1, 0)


@kernel
def longest_held(queues: Held, frontend: int) -> int:
    """Where the first job of a queue that is not empty is in the arena.

    Reads `queues` only.
    """
    return place(queues.jobs, frontend, 0, 0)


@kernel
def release(queues: Held, frontend: int) -> float:
    """Take out the first job; the time at which it arrived, s.

    Writes `waiting`, `total` and `jobs.head` of `queues`.
    """
    born = queues.jobs.born[longest_held(queues, frontend)]
    head = queues.jobs.head[frontend] + 1
    queues.jobs.head[frontend] = 0 if head == queues.jobs.room[frontend] else head
    queues.waiting[frontend] -= 1
    queues.total[0] -= 1
    return born  # type: ignore[no-any-return]


@kernel
def choose_or_hold(
    choose: Any, view: View, system: System, source: Any, now: float, rng: Any
) -> int:
    """Return the policy's edge for a job of frontend `source`, HOLD, or -2 for neither.

    Args:
        choose: The policy's function, of type `CHOOSE`.
        view: The policy writes `memory`.
        system: `numbers` is scratch; the rest is read-only.
        source: The frontend's number, a uint32.
        now: s.
        rng: (2,) uint64, the policy's stream; advanced by its draws.
    """
    low, high = system.first[source], system.first[source + uint32(1)]
    start = candidates.at(system, low, high)
    edge = choose(system.numbers[start : start + high - low], view, now, rng)
    return edge if edge == HOLD or low <= edge < high else -2
