"""Simulation of near-data clusters, laid out as `simulate/routing`.

Read `compare` (what a user calls), `experiment` (several policies, from runs to a result),
`replicate` (one run), `engines` and `kernels/` (its events), then `estimates`.
"""
