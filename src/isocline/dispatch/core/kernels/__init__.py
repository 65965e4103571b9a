"""Compiled steps of the core, over arrays.

Read `step` (one event) and `state` (the arrays); `admission`, `starts`, `pipelining` and `prefetch`
are parts of a step, and `queues` rebuilds the lists.
"""
