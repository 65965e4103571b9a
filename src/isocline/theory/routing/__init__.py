"""Theory of routing systems (GMSR paper): optimum, fluid model and convergence.

Read `equilibrium` (the optimum), `structure` (tiers), `inclusion` (the fluid model), then
`convergence`; `hindsight` for arrivals that are given, and `refined_mean_field` for power of d
choices among many backends.
"""
