"""Size expansion of a stationary mean about the fixed point of its drift.

N. Gast, B. Van Houdt, A Refined Mean Field Approximation, SIGMETRICS 2018 (order 1), and N. Gast,
L. Bortolussi, M. Tribastone, Size Expansions of Mean Field Approximation, Performance Evaluation
129, 2019 (order 2). A chain on multiples of 1/n has jumps l/n at rates n beta_l(x). With F = sum
beta_l l, Q = sum beta_l l l', R = sum beta_l l l l, every polynomial h has in the steady state

    E[Dh . F + D2h : Q / (2 n) + D3h : R / (6 n^2) + ...] = 0.

About the fixed point p of F, with z = X - p, A = DF(p) and primes for higher derivatives of F and Q
at p, the powers h = z, zz, zzz, zzzz give, by order in 1/n,

    E z    = V/n + a/n^2:   A V + F'':W/2 + G = 0,
                            A a + F'':b/2 + F''':c/6 + F'''':d/24 + G'V + G'':W/2 + H = 0
    E zz   = W/n + b/n^2:   A W + W A' + Q = 0,
                            A b + b A' + S + S' + Q'V + Q'':W/2 + diag(G) = 0,
                            S = F'':c/2 + F''':d/6 + G V' + G'W
    E zzz  = c/n^2:         (A on each index of c)
                            + sum over indices [F'':d/2 + G W + Q V + Q'W] + R = 0
    E zzzz = d/n^2:         d = WW summed over the three pairings,

where G/n and H/n^2 are the parts of the drift that depend on n (0 with replacement). Here each jump
moves one x_i by 1/n, up (an arrival) or down: Q and R are diagonal, and R, which is F there, is 0
at p. An arrival's rate depends on three linear forms of x, so that no tensor of derivatives has
more than 3 values an index.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack, schur, solve_continuous_lyapunov

from isocline.errors import NumericalError
from isocline.theory.routing.refined_mean_field.drift import Drift

FloatArray = npt.NDArray[np.float64]


def expansion(drift: Drift, point: FloatArray, order: int) -> tuple[FloatArray, ...]:
    """Terms of the stationary mean, E x = sum over k of terms[k] / n^k, each (S,).

    Args:
        drift: The drift, with its power series in 1/n up to that order.
        point: (S,) where it is 0, and attracts exponentially.
        order: Of the last term: 0, 1 or 2.

    Raises:
        NumericalError: The point does not attract.
    """
    if order == 0:
        return (point,)
    if drift.is_linear:  # the mean of the drift is the drift at the mean
        return (point, *[np.zeros_like(point)] * order)
    forms = drift.forms
    arrivals = drift.arrivals(point, 2 * order, order + 1)
    rates, by_size = arrivals[0], arrivals[1]
    up = np.einsum("ai,iak->ik", rates[1], forms)
    jacobian, both = up - drift.service, up + drift.service
    if np.linalg.eigvals(jacobian).real.max() >= 0.0:
        raise NumericalError("refined mean field: the fixed point found does not attract")
    noise = rates[0] + drift.service @ point
    covariance = solve_continuous_lyapunov(jacobian, -np.diag(noise))
    covariance = (covariance + covariance.T) / 2.0
    seen = forms @ covariance  # (S, 3, S)
    spread = np.einsum("iak,ibk->iab", seen, forms)
    bend = 0.5 * np.einsum("abi,iab->i", rates[2], spread)  # F'':W/2
    push = bend + by_size[0]
    first = -np.linalg.solve(jacobian, push)
    if order == 1:
        return point, first

    third = np.einsum("iaj,abi,ibk->ijk", seen, rates[2], seen, optimize=True)
    third += push[:, None, None] * covariance
    index = np.arange(point.size)
    third[:, index, index] += first[:, None] * noise + (both @ covariance).T
    third += third.transpose(1, 0, 2) + third.transpose(1, 2, 0)
    cubes = _solved_on_each_index(jacobian, -third)

    once = np.tensordot(forms, cubes, axes=1)  # (S, 3, S, S)
    twice = np.einsum("iakj,ibk->iabj", once, forms, optimize=True)
    source = 0.5 * np.einsum("abi,iabj->ij", rates[2], twice)
    source += 0.5 * np.einsum("abci,iab,icj->ij", rates[3], spread, seen, optimize=True)
    source += np.outer(by_size[0], first) + np.einsum("ai,iaj->ij", by_size[1], seen)
    source += source.T.copy()
    source[index, index] += both @ first + push
    square = solve_continuous_lyapunov(jacobian, -source)

    width = np.einsum("iak,kl,ibl->iab", forms, square, forms, optimize=True)
    skew = np.einsum("iabj,icj->iabc", twice, forms, optimize=True)
    rest = np.einsum("abi,iab->i", rates[2], width) / 2.0
    rest += np.einsum("abci,iabc->i", rates[3], skew) / 6.0
    rest += np.einsum("abcdi,iab,icd->i", rates[4], spread, spread, optimize=True) / 8.0
    rest += np.einsum("ai,ia->i", by_size[1], forms @ first)
    rest += np.einsum("abi,iab->i", by_size[2], spread) / 2.0 + arrivals[2][0]
    return point, first, -np.linalg.solve(jacobian, rest)


def _solved_on_each_index(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """The (S, S, S) x with `matrix` applied to each of its indices in turn, and summed, = `right`.

    In a Schur basis the matrix is triangular, and one slice after the other, from the last on, is a
    Sylvester equation. It needs no eigenvectors, which hardly differ where queues are long.
    """
    triangle, basis = schur(matrix, output="complex")
    slices = _in_basis(right, basis.conj())
    conjugate = triangle.conj()
    for k in range(matrix.shape[0] - 1, -1, -1):
        here = slices[:, :, k] - slices[:, :, k + 1 :] @ triangle[k, k + 1 :]
        shifted = triangle + triangle[k, k] * np.eye(matrix.shape[0])
        found, scale, _ = lapack.ztrsyl(shifted, conjugate, here, tranb="C")
        slices[:, :, k] = found / scale
    return np.ascontiguousarray(_in_basis(slices, basis.T).real)


def _in_basis(tensor: npt.NDArray[Any], basis: npt.NDArray[Any]) -> npt.NDArray[np.complex128]:
    """Sum over i, j, k of tensor_ijk basis_ia basis_jb basis_kc."""
    for _ in range(3):
        tensor = np.tensordot(tensor, basis, axes=(0, 0))
    return tensor
