"""Service curves from what was observed: no I/O, no clock, no simulation.

`Learner` is told when jobs arrive and finish, and gives curves; the simulator and the live router
use the same one.
"""

from isocline.learn.fit import Fit as Fit
from isocline.learn.fit import Prior as Prior
from isocline.learn.known import Interval as Interval
from isocline.learn.known import Known as Known
from isocline.learn.known import Seen as Seen
from isocline.learn.learner import Change as Change
from isocline.learn.learner import Learner as Learner
from isocline.learn.learner import Learning as Learning
