"""Submission: from a call with its arguments to a task.

Read `submitter` (the methods that users call), then `task_factory`, which makes a `task` in the
caller's thread. The other modules make its parts: payload, fingerprints, versions of data and chunk
locations.
"""
