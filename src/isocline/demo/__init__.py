"""Policies compared live, on one machine: emulated backends, routers and load as real processes.

`run` is the whole; `stage` starts and ends the processes; `backend`, `router` and the load
generator's `workers` run in them, each importing no more than it needs: this file imports nothing.
"""
