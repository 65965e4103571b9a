"""`isocline serve`: from a system file to a router that runs, in one process or several.

Read `from_file` and `config` (the settings), `main` (start, reload, stop), then `worker`, and
`worker_pool` for several of them.
"""
