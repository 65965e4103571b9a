"""Workloads of backends at which a longer log would narrow the interval of a saving.

At the optimum all marginal rates are one price p. If a curve is a share e off at its workload
there, as many jobs more are held for the same flow as e l(N) / p (envelope theorem). So a backend
adds (e l(N))^2 to the variance, where e is the spread of the curves that the log leaves possible.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from isocline.audit.learned import LearnedFleet, usual_workloads
from isocline.errors import IsoclineError
from isocline.learn.fit import Fit
from isocline.model.fleet import RoutingSystem
from isocline.theory.routing.equilibrium import fluid_optimum

_LEAST = 0.2  # share of the variance that is worth a word
_NEAR = 2.0**0.5  # times: workloads that say much of each other


class Unknown(NamedTuple):
    """A workload of a backend at which more observations would narrow the intervals."""

    backend: str
    share: float  # of the variance that comes from it
    jobs: float  # N at the optimum
    usual: tuple[int, int]  # N between which the log has it nine tenths of the time with jobs
    seen: float  # share of that time near N


def unknowns(
    learned: RoutingSystem, fits: Sequence[Fit], drawn: Sequence[LearnedFleet]
) -> tuple[Unknown, ...]:
    """Find them, the largest share first; none where the load exceeds what can be served."""
    try:
        jobs = fluid_optimum(learned).workloads
    except IsoclineError:
        return ()
    part = np.zeros(len(fits))
    for b, (fit, n) in enumerate(zip(fits, jobs.tolist(), strict=True)):
        if n > 0.0:
            rates = np.array([float(fleet.curves[b].rate(n)) for fleet in drawn])
            part[b] = float(np.log(rates).std()) * float(fit.rate(n))
    total = float((part**2).sum())
    found = []
    for b, (fit, n) in enumerate(zip(fits, jobs.tolist(), strict=True)):
        if part[b] ** 2 < _LEAST * total or total == 0.0:
            continue
        level, spent = np.arange(fit.known.seconds.size), fit.known.seconds.copy()
        spent[0] = 0.0
        near = spent[(level >= n / _NEAR) & (level <= n * _NEAR)].sum() / max(spent.sum(), 1e-300)
        name = learned.backends[b].name
        usual = usual_workloads(fit.known)
        found.append(Unknown(name, float(part[b] ** 2 / total), n, usual, float(near)))
    return tuple(sorted(found, key=lambda it: -it.share))
