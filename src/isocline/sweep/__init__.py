"""Sweep of a live server: its service curve, measured in a closed loop at chosen concurrencies.

Read `decide` (which level next, and when to stop), `rate` (what a level says, and how surely), then
`run` (the sweep on an event loop).
"""

from isocline.sweep.result import SweepResult as SweepResult
from isocline.sweep.result import Visited as Visited
from isocline.sweep.run import run_sweep as run_sweep
from isocline.sweep.settings import SweepSettings as SweepSettings
