"""Fixed point of a drift: where the share of backends with j jobs stays as it is, for all j.

Implicit Euler steps that grow as the drift falls follow the path of the fluid at first, and are
Newton steps at the end (pseudo-transient continuation: C. T. Kelley, D. E. Keyes, SIAM J. Numer.
Anal. 35(2), 1998).
"""

import numpy as np
import numpy.typing as npt

from isocline.errors import NumericalError
from isocline.theory.routing.refined_mean_field.drift import Drift

FloatArray = npt.NDArray[np.float64]

_MOST_STEPS = 1000
# Share of the rates at which the drift counts as 0. A step grows by this factor at least, for on a
# long way the drift falls too little to say how far it is; and falls by it where the drift grew.
_NOTHING, _GROWTH = 1e-14, 2.0


def fixed_point(drift: Drift, start: FloatArray) -> FloatArray:
    """(S,) the state at which the drift is 0.

    Args:
        drift: The drift.
        start: (S,) a state from which its path goes there, such as empty backends.

    Raises:
        NumericalError: Steps do not converge.
    """
    state = start.copy()
    velocity, jacobian = drift.velocity(state)
    identity = np.eye(state.size)
    fastest = float(np.abs(jacobian).max())
    step, enough = 1.0 / fastest, _NOTHING * fastest
    for _ in range(_MOST_STEPS):
        moved = np.linalg.solve(identity / step - jacobian, velocity)
        state = state + moved
        before = float(np.abs(velocity).max())
        velocity, jacobian = drift.velocity(state)
        now = float(np.abs(velocity).max())
        if now <= enough:
            return state
        fall = before / now
        step *= max(fall, _GROWTH) if fall > 1.0 / _GROWTH else 1.0 / _GROWTH
    raise NumericalError(f"refined mean field: no fixed point after {_MOST_STEPS} steps")
