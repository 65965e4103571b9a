"""Simulation of near-data clusters, laid out as `simulate/routing`.

Read `compare` (several policies), `replicate` (one run), `engines` and `kernels/` (its events),
then `analysis` and `estimates` (from runs to results).
"""
