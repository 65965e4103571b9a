"""Parts of a simulation that do not depend on its model: replications, blocks, statistics.

Read `adaptive_runs` (how many replications, of what length), `executor` (on all cores),
`block_loop` (one run), then `steady_state` and `statistics/`.
"""
