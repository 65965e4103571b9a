"""Parts shared by engines: attempts, calls, chunk stores, deadlines and settings.

Read `attempt` and `calls` (which run a task at a node) first; each other module stands alone.
"""
