"""Lists of waiting tasks: access to their heads, and rebuilding with more space."""

from typing import Any

from isocline.compilation.compiled import kernel
from isocline.policies.scheduling.contract import ClusterView
from isocline.policies.scheduling.state.tasks import ENTRIES, JOB, WAITS, oldest, unref


@kernel
def first_waiting(tasks: Any, lists: Any, queue: int) -> int:
    """Return the row of the oldest waiting task of a queue or list, or NONE.

    Args:
        tasks: A `Tasks`; ENTRIES and FREE are written, as by `oldest`.
        lists: A `Lists`; `ring` and mark[LEFT] are written likewise.
        queue: Its number.
    """
    return oldest(tasks, lists, queue)


@kernel
def drop_stale(tasks: Any, lists: Any, live: Any) -> None:
    """Drop all stale entries, of tasks that no longer wait.

    Args:
        tasks: A `Tasks`; ENTRIES and FREE are written.
        lists: A `Lists` of Q rows; mark[LEFT] is written. Entries are not moved, as the lists are
            copied next.
        live: (Q,) int64, written: number of remaining entries of each list.
    """
    for queue in range(lists.ring.shape[0]):
        start, capacity, head, size = lists.ring[queue]
        live[queue] = 0
        for i in range(size):
            task = lists.entry[start + ((head + i) & (capacity - 1))]
            if tasks.fact[task, WAITS] != 0:
                live[queue] += 1
            else:
                unref(tasks, lists, task)


@kernel
def copy_entries(tasks: Any, old: Any, new: Any) -> None:
    """Copy all entries of waiting tasks into lists with space for them.

    Args:
        tasks: A `Tasks`; read-only.
        old: A `Lists`; read-only.
        new: An empty `Lists` with as many rows, or more; `entry` and SIZE of `ring` are written.
    """
    for queue in range(old.ring.shape[0]):
        start, capacity, head, size = old.ring[queue]
        count = 0
        for i in range(size):
            task = old.entry[start + ((head + i) & (capacity - 1))]
            if tasks.fact[task, WAITS] != 0:
                new.entry[new.ring[queue, 0] + count] = task
                count += 1
        new.ring[queue, 3] = count


@kernel
def list_by_job(view: ClusterView, binds: bool) -> None:
    """Also enter all waiting tasks into the lists of their jobs, which must have space.

    Writes `entry` and SIZE of the jobs' rows of `view.lists.ring`, and ENTRIES of the tasks.
    """
    tasks, lists = view.tasks, view.lists
    queues = view.columns.shape[0]
    for queue in range(queues if binds else view.rack.size):
        start, capacity, head, size = lists.ring[queue]
        for i in range(size):
            task = lists.entry[start + ((head + i) & (capacity - 1))]
            if tasks.fact[task, WAITS] != 0:
                row = lists.ring[queues * (1 + tasks.fact[task, JOB]) + queue]
                lists.entry[row[0] + row[3]] = task
                row[3] += 1
                tasks.fact[task, ENTRIES] += 1
