"""Allocation of the core's arrays: initial state, growth and compaction."""

import numpy as np
import numpy.typing as npt

from isocline.dispatch.core.kernels import state
from isocline.dispatch.core.kernels.queues import copy_entries, drop_stale, list_by_job
from isocline.dispatch.core.kernels.state import (
    FETCH_FACTS,
    MOST_HOLDERS,
    START_FACTS,
    KernelState,
)
from isocline.policies.scheduling.by_address import rules_at, rules_by_address
from isocline.policies.scheduling.contract import ClusterSetting, ClusterView, SchedulingPolicy
from isocline.policies.scheduling.own_rules import (
    memory_of,
    option_of,
    queue_levels_of,
    queues_of,
    rules_of,
    winner_of,
)
from isocline.policies.scheduling.state.columns import COLUMNS, COLUMNS_WITH_RACKS, IDLE, SERVING
from isocline.policies.scheduling.state.fair_share import FairShare, least_served_first
from isocline.policies.scheduling.state.idle_servers import all_idle
from isocline.policies.scheduling.state.longest_queue import NO_ORDER, zero_keys
from isocline.policies.scheduling.state.tasks import (
    CAPACITY,
    FIRST_TASKS,
    FREE,
    HIGH,
    LEFT,
    LOW,
    NONE,
    START,
    USED,
    Lists,
    Tasks,
    empty_lists,
    empty_tasks,
    with_more_tasks,
)
from isocline.policies.scheduling.state.transitions import SchedulerState

IndexArray = npt.NDArray[np.int64]

FIRST_WIDTH = 3  # initial space for holders of each task
LEAST_ENTRIES = 1 << 12
LEAST_RING = 4


def empty_view(setting: ClusterSetting, policy: SchedulingPolicy) -> ClusterView:
    """View of idle servers without tasks."""
    rack, racks = setting.rack, setting.racks
    queues = queues_of(policy, setting)
    columns = np.zeros((queues, COLUMNS if racks == 1 else COLUMNS_WITH_RACKS), np.int32)
    columns[:, SERVING] = IDLE
    tasks: Tasks = empty_tasks(FIRST_TASKS, np.zeros(0, np.int32), FIRST_WIDTH)
    return ClusterView(
        columns=columns,
        rack=rack,
        racks=racks,
        rate=setting.rate.copy(),
        option=option_of(policy, setting),
        idle=all_idle(columns, rack, racks),
        longest=zero_keys(rack, racks) if policy.keeps_longest(setting) else NO_ORDER,
        tasks=tasks,
        lists=empty_lists(queues, FIRST_TASKS),
        memory=memory_of(policy, setting),
        winner=winner_of(policy, setting),
    )


def empty_state(setting: ClusterSetting, policy: SchedulingPolicy, view: int) -> SchedulerState:
    """Policy state with one job that has not been served; `view` is the kept view's address."""
    return SchedulerState(
        rules=rules_at(rules_by_address(rules_of(policy, setting)), view),
        queue_levels=queue_levels_of(policy, setting),
        binds=policy.binds,
        counts_service=policy.counts_service,
        keeps_tasks=True,
        by_data=True,
        bring_next=least_served_first,
        fair_share=FairShare(np.zeros(1), np.ones(1), np.zeros(1, np.int64)),
    )


def empty_kernel_state(setting: ClusterSetting) -> KernelState:
    """Kernel state without pipelined tasks or fetches, with one function."""
    return KernelState(
        pipelined=np.full(setting.size, NONE, np.int32),
        described=np.zeros(4 + MOST_HOLDERS, np.int64),
        cost=1.0 / setting.rate[:1],
        started=np.zeros(1 + state.MOST_STARTS, np.int64),
        starts=np.zeros(1 + START_FACTS * state.MOST_STARTS, np.int64),
        fetching=np.zeros(setting.size, np.int32),
        fetch_limits=np.zeros(3),
        fetches=np.zeros(1 + FETCH_FACTS * state.MOST_FETCHES, np.int64),
        longest=np.tile(
            np.array([NONE, 0], np.int32), (1 + setting.racks * (setting.racks > 1), 1)
        ),
        unqueued=np.zeros(1, np.int64),
        up=np.zeros(0, np.int64),
    )


def doubled(tasks: Tasks, lists: Lists, width: int) -> Tasks:
    """Return arrays with space for twice as many tasks; free rows stay free."""
    capacity, left = tasks.fact.shape[0], int(lists.mark[LEFT])
    more = with_more_tasks(tasks, lists, width)
    more.fact[:capacity, FREE + 1 :] = tasks.fact[:, FREE + 1 :]
    more.fact[capacity : capacity + left, FREE] = tasks.fact[:left, FREE]
    lists.mark[LEFT] = capacity + left
    return more


def widened(tasks: Tasks, width: int) -> Tasks:
    """Return arrays with space for more holders of each task."""
    capacity = tasks.fact.shape[0]
    wider = empty_tasks(capacity, tasks.holders, width)
    wider.fact[:, HIGH] = wider.fact[:, LOW] + tasks.fact[:, HIGH] - tasks.fact[:, LOW]
    wider.fact[:, HIGH + 1 :] = tasks.fact[:, HIGH + 1 :]
    wider.time[:] = tasks.time
    rows = tasks.holders.reshape(capacity, -1)
    wider.holders.reshape(capacity, width)[:, : rows.shape[1]] = rows
    return wider


def relisted(view: ClusterView, jobs: int, binds: bool) -> ClusterView:
    """Drop list entries of tasks that no longer wait, and leave as much free space in every list.

    With `jobs` > 0 each job has lists as well; missing ones are filled.
    """
    tasks, old = view.tasks, view.lists
    live = np.zeros(old.ring.shape[0], np.int64)
    drop_stale(tasks, old, live)
    queues = view.columns.shape[0]
    rows = queues * (1 + jobs)
    sorts = rows > queues == old.ring.shape[0]
    live = np.append(live, np.zeros(rows - live.size, np.int64))
    if sorts:
        live[queues:] = np.tile(live[:queues], jobs)
    new = _lists_for(live, int(old.mark[LEFT]))
    copy_entries(tasks, old, new)
    view = view._replace(lists=new)
    if sorts:
        list_by_job(view, binds)
    return view


def lists_with_space(view: ClusterView, old: ClusterView, live: IndexArray) -> Lists:
    """Empty lists for a view, with space for those of an old view of no more servers.

    `live` has the number of tasks in each of the old lists, first of all queues, then of each
    job's. Queues that correspond to none there get little space: they are widened as needed.
    """
    rows, queues, servers = view.lists.ring.shape[0], view.columns.shape[0], view.rack.size
    old_queues, before = old.columns.shape[0], old.rack.size
    known = live.reshape(-1, old_queues)
    count = np.zeros((rows // queues, queues), np.int64)
    same = count[: len(known)]
    same[:, :before] = known[:, :before]
    if old_queues % before == 0 and queues * before == old_queues * servers:  # as many for each
        each = old_queues // before
        by_server = same.reshape(-1, each, servers)
        by_server[:, :, :before] = known.reshape(-1, each, before)
    elif queues - servers == old_queues - before:  # and some of no server
        same[:, servers:] = known[:, before:]
    return _lists_for(count.ravel(), int(view.lists.mark[LEFT]))


def _lists_for(live: IndexArray, left: int) -> Lists:
    """Empty lists with space for twice `live`, and an arena with as much free space again."""
    capacity = np.maximum(LEAST_RING, 1 << np.ceil(np.log2(2 * live + 2)).astype(np.int64))
    ring = np.zeros((live.size, 4), np.int32)
    ring[:, CAPACITY] = capacity
    ring[:, START] = np.cumsum(capacity) - capacity
    used = int(capacity.sum())
    mark = np.zeros(3, np.int64)
    mark[LEFT], mark[USED] = left, used
    return Lists(ring, np.zeros(max(2 * used, LEAST_ENTRIES), np.int32), mark)
