"""The coordinator: carries out what the core decides.

Read `event_loop` first (the one thread that owns core and engine), then `coordinator` (events of
either become calls of the other) and `task_ledger` (futures and the journal).
"""
