"""Drivers: processes that submit tasks to the scheduler of another process, at its address.

Read `protocol` (messages), then `client` (a driver's side) and `listener` (the scheduler's).
"""
