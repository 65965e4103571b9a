"""Coordinator: carries out the core's actions.

Read `event_loop` first (the one thread that owns core and engine), then `coordinator` (turns events
of each into calls of the other) and `task_ledger` (futures and the journal).
"""
