"""Submission: a call and its arguments become a task.

`task` is what they become, `task_factory` makes it, in the caller's thread, and `submitter` has the
methods that users call. The rest is what a task is made of: its payload, identity and chunks.
"""
