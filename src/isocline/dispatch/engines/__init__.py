"""Engines run tasks, under one contract (`contract`) for all.

`fake` is in virtual time, `processes` the worker processes of this machine, `ray` and `dask` what
there is already. Each is imported from its own module, as each brings its own library.
"""
