"""Columns of `ClusterView.columns`: the state of each server and of the queue before it.

Row m < M is server m with its own queue, in one cache line; further rows are queues or lists that
belong to no server, or not as its first.
"""

# All columns are int32. The caller's kernel writes the first five, mostly through `transitions`.
# Of servers only (rows m < M) are SERVING, LEVEL, RUNNING and the idle places.
WAITING = 0  # tasks that wait
LENGTH = 1  # tasks, by the policy's counting rule; of a list, as WAITING
SERVING = 2  # the queue whose task the server runs, or IDLE: f_m of the near-data paper
LEVEL = 3  # LOCAL, RACK or REMOTE: at which it runs it; means nothing while it is IDLE
RUNNING = 4  # the number of that task, if tasks are kept; means nothing while it is IDLE
# Written by `set_key` of `longest_queue`, which the policy's `changed` calls.
KEY = 5  # of the queue in `longest`, tasks
PLACE = 6  # where it stands in `longest.order`; means nothing while its key is 0
# Written by `add`, `remove` and `everyone` of `idle_servers`.
IDLE_PLACE = 7  # where the server stands in `idle.order`; means nothing while it is no member
# With racks the same places among the queues and servers of its rack.
PLACE_IN_RACK = 8
IDLE_PLACE_IN_RACK = 9
COLUMNS, COLUMNS_WITH_RACKS = 8, 16  # half a cache line, or one

IDLE = -1
