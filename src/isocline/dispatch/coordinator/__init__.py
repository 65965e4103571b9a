"""The coordinator: carries out what the core decides.

`event_loop` is the one thread that owns core and engine, `coordinator` translates between them, and
`task_ledger` sets futures and writes the journal.
"""
