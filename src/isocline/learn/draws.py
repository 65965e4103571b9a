"""Curves drawn from a posterior over the knee grid, for intervals of what depends on them.

A shape comes by its probability, its speed by a gamma distribution. Draws are stratified (Latin
hypercube: M. D. McKay, R. J. Beckman, W. J. Conover, Technometrics 21(2), 1979): of R draws one is
from each R-th part of the shapes, in the order of their knees, and of the speeds. The mean of what
depends on the curves is then sure by fewer of them.
"""

import numpy as np
import numpy.typing as npt

from isocline.learn.shapes import shapes
from isocline.model.curves import KneeCurve

FloatArray = npt.NDArray[np.float64]


def drawn_curves(
    log: FloatArray,
    completions: float,
    exposure: FloatArray,
    count: int,
    rng: np.random.Generator,
) -> list[KneeCurve]:
    """Draw `count` curves.

    Args:
        log: (G,) ln probability of each shape, up to a constant.
        completions: Shape of the gamma distribution of the speed.
        exposure: (G,) s, its rate for each shape.
        count: How many.
        rng: Randomness.
    """
    grid = shapes()
    order = np.lexsort((grid.sharpness, grid.knee))
    cumulated = np.cumsum(np.exp(log[order] - log.max()))
    shape = order[np.searchsorted(cumulated, cumulated[-1] * _stratified(count, rng))]
    speed = _gamma_quantile(completions, _stratified(count, rng)) / exposure[shape]
    return [
        KneeCurve(float(u * grid.knee[g]), float(grid.knee[g]), float(grid.sharpness[g]))
        for u, g in zip(speed, shape, strict=True)
    ]


def _stratified(count: int, rng: np.random.Generator) -> FloatArray:
    """(count,) uniform numbers in random order, one in each part of [0, 1)."""
    return np.asarray((rng.permutation(count) + rng.random(count)) / count)


def _gamma_quantile(shape: float, share: FloatArray) -> FloatArray:
    from scipy.special import gammaincinv  # noqa: PLC0415 - scipy is slow to import

    return np.asarray(gammaincinv(shape, share))
