"""Table of a curve's rates at whole workloads."""

from typing import final

import numpy as np

from isocline.model.curves import Curve


@final
class Rates:
    """l(0), l(1), ... of a curve; computed ahead in blocks that double."""

    def __init__(self, curve: Curve) -> None:
        self._curve = curve
        self._rates: list[float] = []

    def at(self, jobs: int) -> float:
        """l(jobs), in work per second."""
        while jobs >= len(self._rates):
            known = len(self._rates)
            ahead = np.arange(known, max(2 * known, 64))
            self._rates += self._curve.rate(ahead).tolist()
        return self._rates[jobs]
