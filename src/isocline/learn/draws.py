"""Curves drawn at random from what counts leave open, for intervals of whatever depends on them.

The posterior of `fit` over the knee grid is exact: a shape by its probability, and its speed by a
gamma distribution. As in `known`, real curves are no knees, and a group of workloads counts for at
most 1 / MISFIT^2 completions. MISFIT is smaller here: a figure such as a mean latency depends on
many groups, whose errors cancel in part. In `benchmarks.audit_virtual` intervals of it hold the
truth so, and with 0.04 they are twice as wide as they need to be.
"""

import numpy as np
import numpy.typing as npt

from isocline.learn.fit import Prior
from isocline.learn.known import Known, by_group
from isocline.learn.shapes import binned, shapes
from isocline.model.curves import KneeCurve

FloatArray = npt.NDArray[np.float64]

MISFIT = 0.015


def drawn_curves(
    known: Known, prior: Prior, unit: float, count: int, rng: np.random.Generator
) -> list[KneeCurve]:
    """Draw `count` curves that what is known, and the prior, make as likely as each is.

    Args:
        known: Completions and times at each workload.
        prior: Belief before anything was observed.
        unit: What the prior expects of l'(0), jobs/s per job.
        count: How many.
        rng: Randomness.
    """
    grid, cut = shapes(), known.cut
    kept = slice(0, None if cut is None else cut + 1)
    done, spent = binned(known.completions[kept]), binned(known.seconds[kept])
    seen = np.flatnonzero(spent)
    weight = by_group(done[seen], seen, MISFIT)
    done, spent = done[seen] * weight, spent[seen] * weight
    total = float(done.sum()) + prior.completions
    exposure = grid.value[:, seen] @ spent + prior.completions / unit
    log = prior.log_density + grid.log_value[:, seen] @ done - total * np.log(exposure)
    share = np.exp(log - log.max())
    shape = rng.choice(share.size, count, p=share / share.sum())
    speed = rng.gamma(total, 1.0 / exposure[shape])
    return [
        KneeCurve(float(u * grid.knee[g]), float(grid.knee[g]), float(grid.sharpness[g]))
        for u, g in zip(speed, shape, strict=True)
    ]
