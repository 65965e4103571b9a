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
# Of the rates: how near 0 the drift must come. A step grows by this much at most at a time.
_NOTHING, _GROWTH = 1e-14, 10.0


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
    step = 1.0 / float(np.abs(jacobian).max())
    enough = _NOTHING * float(np.abs(drift.service).max())
    for _ in range(_MOST_STEPS):
        moved = np.linalg.solve(identity / step - jacobian, velocity)
        state = state + moved
        before = float(np.abs(velocity).max())
        velocity, jacobian = drift.velocity(state)
        now = float(np.abs(velocity).max())
        if now <= enough:
            return state
        step *= min(before / now, _GROWTH)
    raise NumericalError(f"refined mean field: no fixed point after {_MOST_STEPS} steps")
