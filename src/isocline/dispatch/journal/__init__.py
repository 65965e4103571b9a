"""The journal: finished tasks on disk, so that an interrupted run can be resumed.

`journal` keeps rows in SQLite, and large results in files beside it; `identity` tells whether a
result is that of a task.
"""
