"""Engines, which run tasks, under one contract (`base`).

Read `base` (the contract) and `fake` (an engine in virtual time) first. `processes` runs worker
processes on this machine, `ray` and `dask` use an existing cluster; none imports another, and
`common` has what they share. Each is imported from its own module, as each needs its own library.
"""
