"""A curve of one's own: a roofline, rounded where compute takes over from memory.

isocline plan examples/own_curve.yaml
"""

from dataclasses import dataclass

import numpy as np

from isocline import Curve


@dataclass(frozen=True)
class Roofline(Curve):
    """peak tanh(N / knee): linear at first, and flat as soon as the arithmetic units are busy."""

    peak: float
    knee: float

    @property
    def supremum(self):
        return self.peak

    def rate(self, workload):
        return self.peak * np.tanh(np.asarray(workload) / self.knee)

    def marginal(self, workload):
        return self.peak / self.knee * (1.0 - np.tanh(np.asarray(workload) / self.knee) ** 2)
