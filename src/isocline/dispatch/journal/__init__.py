"""Journal: finished tasks on disk, so that an interrupted run can be resumed.

`journal` keeps rows in SQLite, and large results in files beside it; `identity` determines whether
a stored result belongs to a task.
"""
