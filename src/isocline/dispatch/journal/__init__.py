"""The journal: finished tasks on disk, so that an interrupted run can be resumed.

`journal` is all of it: rows in SQLite, and large results in files beside it.
"""
