"""Drift of groups of like backends under power of d choices by a score, with its derivatives.

State: x_gj, the share of all n backends that are of group g and hold at least j jobs, j = 1 .. K.
Write y_gj = x_gj - x_g,j+1 for the share with exactly j, and u and v for the shares whose score is
at least, and above, that of a backend of group g with j jobs. A job goes to such a backend with
probability (a(u) - a(v)) y_gj / (u - v), where a(u) is the probability that all d sampled backends
are among a share u:

    a(u) = u^d                                       with replacement,
    a(u) = prod_{k < d} (n u - k) / (n - k)          without.

Both are a product of d factors p_k(u) = w_k u + 1 - w_k, with w_k = 1, or w_k = n / (n - k) =
1 + k/n + k^2/n^2 + ... So the quotient has no singularity where u = v:

    phi(u, v) = (a(u) - a(v)) / (u - v) = sum_k w_k prod_{m < k} p_m(u) prod_{m > k} p_m(v),

and all rates are polynomials in x: arrivals rate * y * phi(u, v), departures l_g(j) y_gj. Without
replacement they are power series in 1/n, too: each function here gives the terms from n^0 on.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

FORMS: Final = 3
"""Linear forms of the state that an arrival rate depends on: y, u and v."""


@final
@dataclass(frozen=True, eq=False)
class Drift:
    """Rates of arrivals and departures at S = groups x K numbers x_gj, per backend; time in s."""

    rate: float  # jobs/s that arrive, per backend of all
    weights: FloatArray  # (d, P) w_k of the factors of a, as power series in 1/n
    forms: FloatArray  # (S, 3, S) y, u and v of the backends that a job makes count in x_gj ...
    offset: FloatArray  # (S, 3) ... which are forms @ x + offset
    service: FloatArray  # (S, S) departures that lower x_gj are service @ x, jobs/s

    @property
    def is_linear(self) -> bool:
        """Whether a job takes the first backend that it samples."""
        return len(self.weights) == 1

    def arrivals(self, state: FloatArray, order: int, powers: int = 1) -> list[list[FloatArray]]:
        """Arrivals that raise each x_gj, jobs/s, and their derivatives by (y, u, v).

        Args:
            state: (S,)
            order: Of the highest derivative.
            powers: How many terms of the power series in 1/n.

        Returns:
            For each power: (S,), (3, S), (3, 3, S) ... up to derivatives of the given order.
        """
        y, u, v = (self.forms @ state + self.offset).T
        phi = self.rate * _quotient(self.weights[:, :powers], u, v, order)
        zero = np.zeros_like(y)
        found: list[list[FloatArray]] = [[] for _ in range(powers)]
        for derivatives, part in zip(found, phi, strict=True):
            for many in range(order + 1):
                tensor = np.empty((FORMS,) * many + y.shape)
                for by in itertools.product(range(FORMS), repeat=many):
                    inner = part[by.count(1), by.count(2)]
                    tensor[by] = (y * inner, inner, zero)[min(by.count(0), 2)]
                derivatives.append(tensor)
        return found

    def velocity(self, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(S,) dx/dt of infinitely many backends, 1/s, and (S, S) its derivative by x."""
        ((value, slope),) = self.arrivals(state, 1)
        jacobian = np.einsum("ai,iak->ik", slope, self.forms) - self.service
        return value - self.service @ state, jacobian


def _quotient(weights: FloatArray, u: FloatArray, v: FloatArray, order: int) -> FloatArray:
    """(P, r, s, S) derivatives of phi: r times by u, s times by v, up to `order` each."""
    before = _products(weights, u, order)
    after = _products(weights[::-1], v, order)[::-1]
    powers = weights.shape[1]
    found = np.zeros((powers, order + 1, order + 1, u.size))
    for p, q in itertools.product(range(powers), repeat=2):
        for r in range(powers - p - q):
            found[p + q + r] += np.einsum(
                "k,kri,ksi->rsi", weights[:, p], before[:, q], after[:, r]
            )
    return found


def _products(weights: FloatArray, u: FloatArray, order: int) -> FloatArray:
    """(d, P, order + 1, S) derivatives of prod_{m < k} (w_m u + 1 - w_m), for each k."""
    count, powers = weights.shape
    product = np.zeros((count, powers, order + 1, u.size))
    product[0, 0, 0] = 1.0
    times = np.arange(1, order + 1)[:, None]
    for k in range(count - 1):
        for p in range(powers):
            weight = weights[k, p]
            factor = weight * u + (p == 0) - weight
            rest = product[k, : powers - p]
            product[k + 1, p:] += factor * rest
            product[k + 1, p:, 1:] += weight * times * rest[:, :-1]
    return product


def drift(
    rate: float,
    weights: FloatArray,
    shares: FloatArray,
    service: FloatArray,
    scores: Sequence[FloatArray],
) -> Drift:
    """Drift of G groups whose backends hold up to K jobs; a job sent to one with K is lost.

    Args:
        rate: Jobs/s that arrive, per backend of all.
        weights: (d, P) w_k of the factors of a, as power series in 1/n.
        shares: (G,) > 0, of all backends; they sum to 1.
        service: (G, K) jobs/s at 1 .. K jobs.
        scores: Of each group (K + 1,), at 0 .. K jobs; the least is chosen, all equal ones alike.
    """
    groups, levels = service.shape
    size = groups * levels
    # at_least[g, j] @ x + base[g, j] is x_gj for j = 0 .. K + 1: the share of g, x_g1 .. x_gK, 0.
    at_least, base = np.zeros((groups, levels + 2, size)), np.zeros((groups, levels + 2))
    at_least[:, 1:-1] = np.eye(size).reshape(groups, levels, size)
    base[:, 0] = shares
    exactly, exactly_base = -np.diff(at_least, axis=1), -np.diff(base, axis=1)
    _, rank = np.unique(np.asarray(scores), return_inverse=True)
    rank = rank.reshape(groups * (levels + 1))
    # Sums over all that have this rank or a higher one; the last is empty.
    tail = np.zeros((int(rank.max()) + 2, size + 1))
    np.add.at(tail, rank, np.c_[exactly.reshape(rank.size, size), exactly_base.ravel()])
    tail = tail[::-1].cumsum(axis=0)[::-1]
    lower = rank.reshape(groups, levels + 1)[:, :-1].ravel()  # of a backend before the job comes
    mine = np.c_[exactly[:, :-1].reshape(size, size), exactly_base[:, :-1].ravel()]
    rows = np.stack([mine, tail[lower], tail[lower + 1]], axis=1)
    leaves = service[:, :, None] * exactly[:, 1:]
    return Drift(
        rate,
        weights,
        np.ascontiguousarray(rows[:, :, :-1]),
        np.ascontiguousarray(rows[:, :, -1]),
        leaves.reshape(size, size),
    )
