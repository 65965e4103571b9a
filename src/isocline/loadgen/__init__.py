"""Open-loop load: requests at their own times, each timed from when it was due.

A closed loop waits for answers before it asks again, and so measures least when a server is worst
(coordinated omission; Schroeder, Wierman and Harchol-Balter, NSDI 2006; Tene, wrk2).
"""

from isocline.loadgen.results import Distribution as Distribution
from isocline.loadgen.results import LoadResult as LoadResult
from isocline.loadgen.run import run_load as run_load
from isocline.loadgen.schedule import Schedule as Schedule
from isocline.loadgen.settings import LoadSettings as LoadSettings
