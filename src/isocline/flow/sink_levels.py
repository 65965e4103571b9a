"""Sinks made of parts: one curve, or the members of a pool, at one common marginal rate.

All parts of a sink share its level w. Two kinds of price are built on them, with N and l the sums
of the parts' workloads and rates at w:

    composed  the inflow at w is l + pace (N - start). With pace 0 that is the price 1/l' of a pool
              of backends. With pace 1/h it is one implicit step of the fluid, which leads from
              `start` to the N with N = start + h (inflow - l(N)) (GMSR paper, Eq. (3)).
    mean      the price is N / l(N), the latency of a job; the inflow is l. What routing by expected
              latency settles at (GMSR paper, Appendix A).
"""

import math

import numpy as np
import numpy.typing as npt

from isocline.compilation.interpretable import compiled, inner
from isocline.flow.curve_levels import CurveParts, part_at, part_level, part_rate
from isocline.flow.price_kinds import COMPOSED, EXPONENTIAL, HYPERBOLIC, KNEE

FloatArray = npt.NDArray[np.float64]

_STEPS = 200  # a bracket of doubles of one sign is closed by Newton in about 10
_FAR = 700.0  # its exponential is still a number, and beyond any bracket


@inner
def _within(at: float, step: float, low: float, high: float, before: float) -> float:
    """The next point of a Newton iteration in a bracket; `before`: how far the last step went.

    The middle where Newton leaves the bracket, or goes more than half as far as the step before: at
    a kink, where a part takes in its first jobs, it may jump from side to side for ever.
    """
    if low < step < high and abs(step - at) <= 0.5 * before:
        return step
    return 0.5 * (low + high)


@compiled
def sink_at(parts: CurveParts, b: int, w: float) -> tuple[float, float, float]:
    """`part_at`, summed over the parts of a sink.

    Reads `parts`; w is in s^(-1/2).
    """
    n, rate, fall = 0.0, 0.0, 0.0
    for i in range(parts.first[b], parts.first[b + 1]):
        one = part_at(parts, i, w)
        n, rate, fall = n + one[0], rate + one[1], fall + one[2]
    return n, rate, fall


@compiled
def sink_rate(parts: CurveParts, b: int, n: float) -> float:
    """The rate of a sink at a workload.

    Reads `parts`; n is in jobs, the rate in jobs/s.
    """
    first = parts.first[b]
    if parts.first[b + 1] - first == 1:  # the level of a straight curve would not tell
        return part_rate(parts, first, n)
    w = sink_level(parts, b, n)
    held, rate, _ = sink_at(parts, b, w)
    # The level of a member almost straight tells its workload to few digits: the jobs that are
    # missing for those are served at the marginal rate of the sink.
    return rate + w * w * (n - held)


@compiled
def sink_level(parts: CurveParts, b: int, n: float) -> float:
    """The level of a sink at a workload.

    Reads `parts`; n is in jobs, the level in s^(-1/2).
    """
    first, after = parts.first[b], parts.first[b + 1]
    if after - first == 1:
        return part_level(parts, first, n)
    low, high = 0.0, 0.0
    for i in range(first, after):
        if n <= 0.0:
            high = max(high, part_level(parts, i, 0.0))
        else:  # no part holds more than all jobs, and one at least as many as its equal share
            low = max(low, part_level(parts, i, n))
            high = max(high, part_level(parts, i, n / (after - first)))
    if n <= 0.0:
        return float(high)
    low, high = low * (1.0 - 1e-15), high * (1.0 + 1e-15)  # not at the end of the bracket itself
    w, before = math.sqrt(low) * math.sqrt(high), high
    for _ in range(_STEPS):
        if not low < w < high:
            break
        held, _, fall = sink_at(parts, b, w)
        low, high = (w, high) if held > n else (low, w)
        step = w * math.exp(min((held - n) / (fall * w), _FAR)) if fall > 0.0 else low
        if abs(step - w) <= 4e-16 * w:
            break
        step = _within(w, step, low, high, before)
        w, before = step, abs(step - w)
    return float(w)


@compiled
def composed_inflow(parts: CurveParts, b: int, w: float) -> tuple[float, float]:
    """Inflow of a composed sink at a level below its own, and its fall per level.

    Reads `parts`; w is in s^(-1/2), the inflow in jobs/s.
    """
    n, rate, fall = sink_at(parts, b, w)
    taken = rate + parts.pace * (n - parts.start[b])
    return max(taken, 0.0), (w * w + parts.pace) * fall


@compiled
def mean_inflow(parts: CurveParts, empty: float, b: int, w: float) -> tuple[float, float]:
    """Inflow of a sink whose price is N / l(N), and its fall per level.

    Reads `parts`; w and `empty`, the level of the sink at inflow 0, are in s^(-1/2), the inflow in
    jobs/s.
    """
    price = 1.0 / (w * w)
    low, high = 0.0, empty
    at = w  # N / l <= 1 / l', so the level of the parts is at most this one
    n, rate, before = 0.0, 0.0, high
    for _ in range(_STEPS):
        n, rate, fall = sink_at(parts, b, at)
        over = n - price * rate  # falls as the level rises; convex where it matters
        low, high = (at, high) if over > 0.0 else (low, at)
        slope = fall * (1.0 - price * at * at)
        step = at + over / slope if slope > 0.0 else 0.0
        if abs(step - at) <= 2e-16 * at:
            break
        step = _within(at, step, low, high, before)
        at, before = step, abs(step - at)
        if not low < at < high:
            break
    room = 1.0 / (at * at) - price
    if not room > 0.0:
        return rate, 0.0
    rate -= (n - price * rate) / room  # as in `sink_rate`: the jobs that the level cannot tell
    return rate, 2.0 * rate / room / (w * w * w)


@compiled
def sink_holding(parts: CurveParts, b: int, wanted: float) -> tuple[float, float, float]:
    """Workload, rate and level of a sink where l(N) + pace N = wanted.

    Reads `parts`; `wanted` is in jobs/s.
    """
    first = parts.first[b]
    if parts.first[b + 1] - first == 1 and parts.kind[first] == HYPERBOLIC and parts.pace > 0.0:
        # The positive root of pace n^2 + (pace x + peak - wanted) n = wanted x, without cancelling.
        peak, empty = parts.row[first, 0], parts.row[first, 1]
        x = peak / (empty * empty)
        half = 0.5 * (wanted - peak - parts.pace * x)
        root = math.sqrt(half * half + parts.pace * wanted * x)
        n = (half + root) / parts.pace if half > 0.0 else wanted * x / (root - half)
        return n, peak * n / (n + x), empty * x / (n + x)
    # The left side is concave and rises in N: Newton from the left stays left, and is soon there.
    n, rate = 0.0, 0.0
    w = sink_level(parts, b, n)
    for _ in range(_STEPS):
        step = (wanted - rate - parts.pace * n) / (parts.pace + w * w)
        if not step > 1e-16 * n:
            break
        n += step
        w = sink_level(parts, b, n)
        rate = sink_rate(parts, b, n)
    return n, rate, w


@compiled
def parts_level(parts: CurveParts, kind: int, b: int, inflow: float) -> float:
    """The level of a sink made of parts at an inflow.

    Reads `parts`; `kind` is COMPOSED or MEAN, the inflow is in jobs/s, the level in s^(-1/2).
    """
    n, rate, w = sink_holding(parts, b, inflow + parts.pace * parts.start[b])
    if kind == COMPOSED:
        return w
    return math.sqrt(rate / n) if n > 0.0 else w


@compiled
def step_empty(parts: CurveParts) -> FloatArray:
    """(T,) float64, the level of each sink after a step without inflow: N + h l(N) = start."""
    found = np.empty(parts.start.size)
    for b in range(found.size):
        found[b] = sink_holding(parts, b, parts.pace * parts.start[b])[2]
    return found


@compiled
def step_workloads(parts: CurveParts, inflow: FloatArray, level: FloatArray) -> FloatArray:
    """(T,) float64, jobs after a step, from inflows and levels that agree.

    Up to half load from the inflow, beyond from the level: far below a knee the level is that of an
    empty backend to all its digits, and near the peak the inflow tells few digits of N.

    Args:
        parts: Of T sinks; read-only.
        inflow: (T,) float64, jobs/s; read-only.
        level: (T,) float64, s^(-1/2); read-only.
    """
    found = np.empty(level.size)
    for b in range(level.size):
        peak = 0.0
        for i in range(parts.first[b], parts.first[b + 1]):
            peak += parts.row[i, 0]
        n, rate, _ = sink_at(parts, b, level[b])
        if not rate > 0.5 * peak:
            n = sink_holding(parts, b, inflow[b] + parts.pace * parts.start[b])[0]
        found[b] = n
    return found


@inner
def _empty_bend(parts: CurveParts, b: int) -> float:
    """-l'' of an empty sink: of those of its parts that take in the first job."""
    most, flat = 0.0, 0.0
    for i in range(parts.first[b], parts.first[b + 1]):
        most = max(most, parts.row[i, 1])
    for i in range(parts.first[b], parts.first[b + 1]):
        peak, empty = parts.row[i, 0], parts.row[i, 1]
        if empty < most:
            continue
        bend = empty**4 / peak
        if parts.kind[i] == HYPERBOLIC:
            bend *= 2.0
        elif parts.kind[i] == KNEE:  # straight at first, or bent without limit
            bend = 0.0 if parts.row[i, 2] > 1.0 else np.inf
        elif parts.kind[i] != EXPONENTIAL:
            left, right = parts.knots[parts.first_knot[i]], parts.knots[parts.first_knot[i] + 1]
            bend = (left[2] - right[2]) / (right[0] - left[0])
        if bend == 0.0:
            return 0.0
        flat += 1.0 / bend
    return float(1.0 / flat)


@compiled
def states_at(parts: CurveParts, workload: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(T,) float64 levels, s^(-1/2), rates, jobs/s, and -l'', 1/s per job, of all sinks.

    Args:
        parts: Of T sinks; read-only.
        workload: (T,) float64, jobs; read-only.
    """
    size = workload.size
    level, rate, bend = np.empty(size), np.empty(size), np.empty(size)
    for b in range(size):
        level[b] = sink_level(parts, b, workload[b])
        rate[b] = sink_rate(parts, b, workload[b])
        fall = sink_at(parts, b, level[b])[2]
        bend[b] = 2.0 * level[b] / fall if fall > 0.0 else _empty_bend(parts, b)
    return level, rate, bend


@compiled
def levels_at(parts: CurveParts, workload: FloatArray) -> FloatArray:
    """(T,) float64, the level of each sink at its workload, s^(-1/2).

    Args:
        parts: Of T sinks; read-only.
        workload: (T,) float64, jobs; read-only.
    """
    found = np.empty(workload.size)
    for b in range(workload.size):
        found[b] = sink_level(parts, b, workload[b])
    return found
