"""Server for which most tasks wait, in the cluster and in each rack, in O(1) amortised.

Kept is a server with its number of tasks: no other had more, nor one before it as many. Tasks that
leave change nothing about the others; one that joins is compared. Only if the server itself has
lost tasks since are others looked at: those behind it for as many, then all for fewer, up to the
first that has as many as is possible.
"""

from numba import int64, uint32

from isocline.compilation.compiled import inlined
from isocline.dispatch.core.kernels.state import KernelState
from isocline.policies.scheduling.contract import ClusterView
from isocline.policies.scheduling.state.columns import WAITING
from isocline.policies.scheduling.state.tasks import NONE

SERVER, TASKS = 0, 1  # columns of `KernelState.longest`


@inlined
def longest_list(view: ClusterView, core: KernelState, group: int) -> int:
    """Server of a group for which most tasks wait, the first one of several, or NONE.

    Group 0 is the cluster, 1 + r is rack r. Writes the group's row of `core.longest`.
    """
    known = core.longest[uint32(group)]
    if known[SERVER] != NONE and view.columns[uint32(known[SERVER]), WAITING] != known[TASKS]:
        _find_next(view, core, group)
    return int64(known[SERVER])  # type: ignore[no-any-return]


@inlined
def _find_next(view: ClusterView, core: KernelState, group: int) -> None:
    """Find the longest list of a group anew, as the known one has become shorter.

    Writes the group's row of `core.longest`.
    """
    known = core.longest[uint32(group)]
    most, servers = int64(known[TASKS]), view.rack.size
    for server in range(known[SERVER] + 1, servers):
        if view.columns[uint32(server), WAITING] == most and _is_in(view, server, group):
            known[SERVER] = server
            return
    longest, found = NONE, 0
    for server in range(servers):
        if found == most - 1:
            break
        waiting = int64(view.columns[uint32(server), WAITING])
        if waiting > found and _is_in(view, server, group):
            longest, found = server, waiting
    known[SERVER], known[TASKS] = longest, found


@inlined
def _is_in(view: ClusterView, server: int, group: int) -> bool:
    return group == 0 or view.rack[uint32(server)] == group - 1


@inlined
def note_longer(view: ClusterView, core: KernelState, queue: int) -> None:
    """Compare a queue that a task has joined; only the servers' own count.

    Writes `core.longest`.
    """
    if queue < view.rack.size:
        _compare(view, core, queue, 0)
        if view.racks > 1:
            _compare(view, core, queue, 1 + int64(view.rack[uint32(queue)]))


@inlined
def _compare(view: ClusterView, core: KernelState, server: int, group: int) -> None:
    known, waiting = core.longest[uint32(group)], view.columns[uint32(server), WAITING]
    if waiting > known[TASKS] or (waiting == known[TASKS] and server < known[SERVER]):
        known[SERVER], known[TASKS] = server, waiting
