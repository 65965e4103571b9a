"""Stochastic simulation: engines over compiled kernels, replications, statistics."""

from isocline.simulate.results import Comparison as Comparison
from isocline.simulate.results import Estimate as Estimate
from isocline.simulate.results import PolicyResult as PolicyResult
from isocline.simulate.results import Sweep as Sweep
