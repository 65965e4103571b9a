"""`isocline serve`: a router made from a system file, in one process or several.

Read `from_file` and `config` (the settings), `main` (start and reload), `drain` (stop), then
`worker`, and `worker_pool` for several of them.
"""
