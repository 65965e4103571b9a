"""Helpers with three levels of distance: in the rack first, then anywhere."""

import numpy as np
import numpy.typing as npt

from isocline.model.cluster import Rates
from isocline.theory.scheduling.decomposition import Decomposition, Helps, share_out

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


def rack_helps(ideal: Decomposition, rack: IntArray, speed: Rates) -> tuple[Helps, Helps]:
    """Remote service within racks and between them, on top of the ideal loads.

    Helpers work at beta for beneficiaries of their own rack as far as both last, and spend the time
    that is left at gamma on the excess that is left. It is how an algorithm that serves near tasks
    first would share the ideal loads; where the load is nearly too much, other local loads than
    the ideal ones may make more of the racks (`rack_capacity`).

    Args:
        ideal: The decomposition, which does not depend on the rates of help.
        rack: (M,) the rack of each server.
        speed: alpha, beta and gamma, tasks/s.
    """
    beta = speed.levels[1]
    time, excess = ideal.spare / speed.remote, ideal.excess.copy()
    within = []
    for number in np.unique(rack):
        here = rack == number
        helps = share_out(np.where(here, beta * time, 0.0), np.where(here, excess, 0.0))
        np.subtract.at(time, helps.helper, helps.rate / beta)
        np.subtract.at(excess, helps.beneficiary, helps.rate)
        within.append(helps)
    near = Helps(*(np.concatenate(parts) for parts in zip(*within, strict=True)))
    # What rounding leaves of time or excess that was used up is none.
    time[time < _USED_UP] = 0.0
    excess[excess < _USED_UP * speed.local] = 0.0
    return near, share_out(speed.remote * time, excess)


_USED_UP = 1e-12
