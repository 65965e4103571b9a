"""The core of the router: events in, actions out, without I/O or clock.

Read `core` first, then `candidates` and `availability` (which backends may take a request),
`policy_runtime` (which one does), `backend_load` (the jobs that each one has) and `attempt_ends`
(the effects of what becomes of a request there).
"""
