"""Parts of a simulation that do not depend on its model: replications, blocks, statistics.

Read `adaptive_runs` (how many replications, of what length), `executor` (on all cores),
`engine_choice` and `replication` (one run), then `steady_state`, `measured` and `statistics/`.
"""
