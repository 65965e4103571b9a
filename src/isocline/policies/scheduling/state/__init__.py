"""State that scheduling policies read and keep: queues, tasks, idle servers and fair shares.

Read `columns` and `tasks` (the arrays), `view` (what a policy reads of them), then `transitions`
(what an event changes); the other modules find a queue, a task or a server.
"""
