"""Columns of `ClusterView.columns`: the state of each server and of the queue before it.

Row m < M is server m with its own queue, in one cache line; further rows are queues or lists that
belong to no server, or not as its first.
"""

# All columns are int32. The caller's kernel writes the first five, mostly through `transitions`.
# Of servers only (rows m < M) are SERVING, LEVEL, RUNNING and the idle positions.
WAITING = 0  # tasks that wait
LENGTH = 1  # tasks, by the policy's counting rule; of a list, as WAITING
SERVING = 2  # the queue whose task the server runs, or IDLE: f_m of the near-data paper
LEVEL = 3  # LOCAL, RACK or REMOTE, of that task; means nothing while the server is IDLE
RUNNING = 4  # row of that task, if tasks are kept; means nothing while the server is IDLE
# Written by `set_key` of `longest_queue`, which the policy's `changed` calls.
KEY = 5  # of the queue in `longest`, tasks
POSITION = 6  # of the queue in `longest.order`; means nothing while its key is 0
# Written by `add`, `remove` and `all_idle` of `idle_servers`.
IDLE_POSITION = 7  # of the server in `idle.order`; means nothing while it is not idle
# With racks, the same positions among the queues and servers of its rack.
POSITION_IN_RACK = 8
IDLE_POSITION_IN_RACK = 9
COLUMNS, COLUMNS_WITH_RACKS = 8, 16  # half a cache line, or one

IDLE = -1
