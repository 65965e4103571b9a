"""One backend that lives at some arrival rate, and tells a learner everything."""

from typing import Any

import numpy as np
import numpy.typing as npt

from isocline.compilation.compiled import compiled
from isocline.learn import change
from isocline.learn.observed import Observed, leave
from isocline.model.curves import Curve
from isocline.randomness.draws import uniform

FloatArray = npt.NDArray[np.float64]


@compiled
def live(
    observed: Observed,
    rate: Any,
    arrival_rate: float,
    n: int,
    completions: int,
    stop: bool,
    rng: Any,
) -> tuple[int, int, int, float]:
    """Run backend 0, which holds n jobs, for so many completions.

    At an alarm it stops, or both scores start anew. Returns alarms, completions, n and the time.
    """
    done, alarms = 0, 0
    now = observed.occupied.since[0]
    while done < completions:
        total = arrival_rate + rate[n]
        now -= np.log(1.0 - uniform(rng)) / total
        completed = uniform(rng) * total < rate[n]
        leave(observed, 0, n, now, completed)
        n += -1 if completed else 1
        done += completed
        if change.alarmed(observed.watched, 0):
            alarms += 1
            if stop:
                break
            change.forget(observed.watched, 0, 0)
            change.forget(observed.watched, 0, 1)
    return alarms, done, n, now


def spread(curve: Curve, levels: int, completions: float) -> tuple[FloatArray, FloatArray]:
    """(K,) true mean completions and times, s, if levels 1 .. levels are held equally long."""
    n = np.arange(levels + 1.0)
    seconds = np.where(n > 0, completions / curve.rate(n).sum(), 0.0)
    return curve.rate(n) * seconds, seconds
