"""Peak of a measured curve: the level at which it is cut.

Real backends fall at high load (preemption, memory pressure); 8 of 19 published LLM serving curves
do. A router never needs to send more than the peak holds, so what was seen beyond it is left out,
or a concave increasing fit would spread the fall over the levels before it.
"""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# A fall counts if the rate beyond is below this share of the peak's ...
FALL = 0.95
# ... and by this many standard deviations: 6e-5 in each of the few places it is looked for.
SURE = 4.0
LEAST_COMPLETIONS = 25.0
BRIEF = 1e-12  # s; less time at a workload is none, and no rate can be told from it


def cut_level(completions: FloatArray, seconds: FloatArray, sure: float = SURE) -> int | None:
    """The workload at the peak, if rates beyond are lower by `sure` deviations; None if not.

    The levels seen are put into groups of at least LEAST_COMPLETIONS completions and an eighth of
    an octave; the peak is the group with the highest rate, and everything beyond it is one more.
    Levels held for less than BRIEF count as never seen.
    """
    held = seconds > BRIEF
    completions, seconds = completions * held, seconds * held
    groups = _groups(completions, seconds)
    if len(groups) < 2:
        return None
    done = np.array([completions[a:b].sum() for a, b in groups])
    spent = np.array([seconds[a:b].sum() for a, b in groups])
    top = int(np.argmax(done / spent))
    beyond, time = done[top + 1 :].sum(), spent[top + 1 :].sum()
    if beyond == 0:
        return None
    peak, rest = done[top] / spent[top], beyond / time
    deviation = np.sqrt(done[top] / spent[top] ** 2 + beyond / time**2)
    if rest >= FALL * peak or peak - rest < sure * deviation:
        return None
    first, last = groups[top]
    levels = np.arange(first, last)
    return round(float(levels @ seconds[first:last] / spent[top]))


def _groups(completions: FloatArray, seconds: FloatArray) -> list[tuple[int, int]]:
    """[first, last) of consecutive levels; what is too few for a last one joins the one before."""
    groups: list[tuple[int, int]] = []
    first, done = 1, 0.0
    for level in range(1, seconds.size):
        done += completions[level]
        if done >= LEAST_COMPLETIONS and level >= first * 2**0.125:
            groups.append((first, level + 1))
            first, done = level + 1, 0.0
    if groups and seconds[first:].sum() > 0:
        groups[-1] = (groups[-1][0], seconds.size)
    return groups
