"""The columns of `ClusterView.desk`: what is known of each server and of the queue before it.

Row m < M is server m with its own queue, in one cache line; further rows are queues or lists that
belong to no server, or not as its first.
"""

WAITING = 0  # tasks that wait
LENGTH = 1  # by the policy's counting rule; of a list, as WAITING
SERVING = 2  # the queue whose task the server runs, or IDLE: f_m of the near-data paper
LEVEL = 3  # at which level it runs it
RUNNING = 4  # the number of that task, if tasks are kept
KEY = 5  # of the queue in `longest`
PLACE = 6  # where it stands there
IDLE_PLACE = 7  # where the server stands in `idle`
# With racks the same places among the queues and servers of its rack.
PLACE_IN_RACK = 8
IDLE_PLACE_IN_RACK = 9
COLUMNS, COLUMNS_WITH_RACKS = 8, 16  # half a cache line, or one

IDLE = -1
