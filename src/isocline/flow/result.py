"""Result of a level flow."""

from dataclasses import dataclass
from enum import Enum
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.flow.certificate import Certificate

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


class FlowStatus(Enum):
    """End of a solve; the value is its sentence."""

    OPTIMAL = "Every source sees one price on the sinks it uses, and none lower."
    INFEASIBLE = "The violated sources bring at least what all their sinks together can take."


@final
@dataclass(frozen=True, eq=False)
class LevelFlow:
    """A solved level flow, or the proof that there is none; arrays of the latter are empty."""

    status: FlowStatus
    flow: FloatArray  # (E,) jobs/s
    inflow: FloatArray  # (T,) jobs/s
    price: FloatArray  # (T,)
    level: FloatArray  # (S,) the lowest price among the source's sinks
    certificate: Certificate | None  # None where infeasible
    violated_sources: IndexArray  # empty where optimal
    violated_sinks: IndexArray  # all neighbours of the violated sources
    max_flows: int  # solved by the exact method
