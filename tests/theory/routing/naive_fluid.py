"""The differential inclusion the obvious way: explicit Euler, in steps too short to matter.

Every frontend sends all it has to its backend of greatest marginal rate, the first where several
tie. On an equal-gradient surface that chatters from side to side, by one step at most.
"""

import numpy as np

from isocline.model.fleet import RoutingSystem


def euler_path(system: RoutingSystem, start: np.ndarray, horizon: float, steps: int) -> np.ndarray:
    """(steps + 1, B) jobs; wrong by about horizon/steps times the arrivals."""
    graph, length = system.graph, horizon / steps
    jobs = np.array(start, dtype=float)
    path = [jobs.copy()]
    for _ in range(steps):
        marginal = [float(c.marginal(n)) for c, n in zip(system.curves, jobs, strict=True)]
        change = [-float(c.rate(n)) for c, n in zip(system.curves, jobs, strict=True)]
        for f, rate in enumerate(system.rates):
            best = max(graph.neighbours(f), key=lambda b: marginal[b])
            change[best] += rate
        jobs = jobs + length * np.array(change)
        path.append(jobs.copy())
    return np.array(path)
