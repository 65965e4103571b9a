"""One step of the fluid of `gmsr_secant`: fast workloads N, and slow rest points m.

    dN_b/dt = sum_f lambda_f x_fb - l_b(N_b),   x_fa > 0 for f's backends of the least price
    dl_b(m_b)/dt = (l_b(N_b) - l_b(m_b)) / price_b

with price_b = (N_b - m_b) / (l_b(N_b) - l_b(m_b)), which is also the time over which the mean is
taken: one mean in place of the ladder of the policy.

For a fixed m the price rises with N, as l is concave, so that a step of N is a level flow as in
`implicit_step`: two implicit stages of second order. Here m is first what follows from N at the
start, then from N at both ends; N moves with the m of the end, so that it ends where prices tie
there. (m in half steps before and after would leave it beside that surface: of first order.) No
step is longer than half the least price: near rest N - N* answers m - N* with the opposite sign
(docs/theory.md), and a longer step would exchange the two for ever.
"""

from collections.abc import Callable
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.compilation.interpretable import Callback
from isocline.flow import FlowStatus, LevelFlowProblem, Prices, solve
from isocline.flow.prices import CUSTOM_SIGNATURE
from isocline.model.curves import Curve
from isocline.model.graph import CompatibilityGraph
from isocline.theory.routing.direction import Direction, best_edges
from isocline.theory.routing.implicit_step import GAMMA

FloatArray = npt.NDArray[np.float64]
MaskArray = npt.NDArray[np.bool_]

_POINTS = 129  # inflows at which a price is tabulated for one level flow, with cubics between them
_LONGEST = 0.5  # of the least price
_GLANCE = 0.1  # of the least price: the step that shows the direction
_FLAT = 1e-8  # of l'(0): the least secant rate, past the peak of a table
# A knee curve is straight at N = 0: prices rise by so much, relative, with the inflow at least.
_STRAIGHT = 1e-9
_NEAR = 1e-6  # of N + 1/l'(0): there the secant is the tangent between


def tabulated(row: FloatArray, inflow: float) -> float:
    """Cubic through the four nearest of the prices in `row`; its first entry is their distance."""
    at = inflow / row[0]
    first = min(max(int(at) - 1, 0), row.size - 5)
    x = at - first
    a, b, c, d = row[first + 1], row[first + 2], row[first + 3], row[first + 4]
    return float(  # Newton's form
        a + x * ((b - a) + (x - 1.0) * ((c - 2.0 * b + a) / 2.0
        + (x - 2.0) * (d - 3.0 * c + 3.0 * b - a) / 6.0))
    )  # fmt: skip


_TABULATED = Callback(tabulated, CUSTOM_SIGNATURE, cached=True)


@final
class SecantStepper:
    """Steps of one system with constant parameters; a state is (2 B,): N, then m, jobs.

    Attributes:
        same: Prices within this factor (less 1) are tied.
        noise: Errors of this share of the jobs count as none: flat prices tie to no better.
        rest: Share of all arrivals that V, and the means' lag, are at most at rest.
    """

    same = 1e-5
    noise = 1e-5
    rest = 1e-4

    def __init__(
        self, graph: CompatibilityGraph, rates: FloatArray, curves: tuple[Curve, ...]
    ) -> None:
        self.graph = graph
        self.rates = rates
        self.curves = curves
        self.solves = 0
        self._alone = np.array([1.0 / float(curve.marginal(0.0)) for curve in curves])
        self._peak = np.array([curve.supremum for curve in curves])
        self._most = float(rates.sum())

    def begin(self, jobs: FloatArray, served: FloatArray | None) -> FloatArray:
        """State with these jobs, of frontends that have seen `served` jobs/s at each backend."""
        if served is None:
            return np.concatenate((jobs, np.zeros(jobs.size)))
        kept = np.minimum(served, (1.0 - 1e-9) * self._peak)
        return np.concatenate((jobs, self._each(lambda c, a: c.workload(a), kept)))

    def jobs(self, state: FloatArray) -> FloatArray:
        """(B,) N."""
        return state[: state.size // 2]

    def served(self, state: FloatArray) -> FloatArray:
        """(B,) means of what was served, jobs/s."""
        return self._rate(state[state.size // 2 :])

    def gain(self, state: FloatArray) -> FloatArray:
        """(B,) inverse prices, jobs/s for one more job."""
        jobs, rest = np.split(state, 2)
        return 1.0 / self._price(jobs, rest)

    def best(self, state: FloatArray) -> MaskArray:
        """(E,) edges of the least price."""
        return best_edges(self.graph, np.sqrt(self.gain(state)), self.same)

    def direction(self, state: FloatArray) -> Direction:
        """Flows at a state, as of a short step."""
        jobs, rest = np.split(state, 2)
        length = _GLANCE * float(self._price(jobs, rest).min())
        after, inflow, flow = self._euler(jobs, rest, length)
        return Direction(inflow, flow, (after - jobs) / length)

    def speed(self, state: FloatArray, here: Direction) -> float:
        """What is 0 at rest alone, jobs/s: V, or how far means are from what is served."""
        behind = np.abs(self._rate(self.jobs(state)) - self.served(state)).sum()
        return max(here.lyapunov, float(behind))

    def longest(self, state: FloatArray) -> float:
        """The longest step from a state, s."""
        jobs, rest = np.split(state, 2)
        return _LONGEST * float(self._price(jobs, rest).min())

    def step(self, state: FloatArray, length: float, stage: int = 0) -> FloatArray | None:  # noqa: ARG002
        """State after `length` s; None if the step is too long for a backend that drains."""
        jobs, rest = np.split(state, 2)
        predicted = self._moved(jobs, self._remembered(jobs, jobs, rest, rest, length), length)
        if predicted is None:
            return None
        later = self._remembered(jobs, predicted, rest, rest, length)
        later = self._remembered(jobs, predicted, rest, later, length)
        after = self._moved(jobs, later, length)
        return None if after is None else np.concatenate((after, later))

    def _moved(self, jobs: FloatArray, rest: FloatArray, length: float) -> FloatArray | None:
        """(B,) N after a step in which m is fixed; None as `step`."""
        first, _, _ = self._euler(jobs, rest, GAMMA * length)
        begun = jobs + (1.0 / GAMMA - 1.0) * (first - jobs)
        if -np.minimum(begun, 0.0).sum() > 1e-9 * jobs.sum():
            return None
        after, _, _ = self._euler(np.maximum(begun, 0.0), rest, GAMMA * length)
        return after

    def _remembered(
        self,
        jobs: FloatArray,
        after: FloatArray,
        rest: FloatArray,
        later: FloatArray,
        length: float,
    ) -> FloatArray:
        """(B,) m at the end of a step, from N and m at its ends as far as they are known."""
        price = 0.5 * (self._price(jobs, rest) + self._price(after, later))
        served = 0.5 * (self._rate(jobs) + self._rate(after))
        mean = served + np.exp(-length / price) * (self._rate(rest) - served)
        found = self._each(lambda c, a: c.workload(a), np.minimum(mean, self._peak))
        # At the peak of a table the mean says no more than that.
        return np.where(np.isfinite(found), found, after)

    def _euler(
        self, start: FloatArray, rest: FloatArray, length: float
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The N with N = start + length (inflow - l(N)) at least prices; inflows, and flows."""
        inflow = np.linspace(0.0, max(self._most, 1e-300), _POINTS)
        rows = np.empty((len(self.curves), _POINTS + 1))
        rows[:, 0] = inflow[1]
        for b, curve in enumerate(self.curves):
            reached = _after(curve, start[b] + length * inflow, length)
            rows[b, 1:] = self._price_at(b, reached, rest[b]) * (
                1.0 + _STRAIGHT * inflow / inflow[-1]
            )
        prices = Prices.custom(_TABULATED, np.full(len(self.curves), np.inf), rows)
        solved = solve(LevelFlowProblem(self.graph, self.rates, prices))
        assert solved.status is FlowStatus.OPTIMAL  # a step takes in any inflow
        self.solves += 1
        whole = start + length * solved.inflow
        after = np.array(
            [_after(c, np.array([n]), length)[0] for c, n in zip(self.curves, whole, strict=True)]
        )
        return after, solved.inflow, solved.flow

    def _price(self, jobs: FloatArray, rest: FloatArray) -> FloatArray:
        pairs = enumerate(zip(jobs, rest, strict=True))
        return np.array([self._price_at(b, np.array([n]), m)[0] for b, (n, m) in pairs])

    def _price_at(self, b: int, jobs: FloatArray, rest: float) -> FloatArray:
        """Prices of a backend at several workloads, s."""
        curve, alone = self.curves[b], self._alone[b]
        near = np.abs(jobs - rest) <= _NEAR * (rest + alone * self._peak[b])
        apart = np.where(near, 1.0, jobs - rest)
        secant = (curve.rate(jobs) - float(curve.rate(rest))) / apart
        gain = np.where(near, curve.marginal(0.5 * (jobs + rest)), secant)
        least = _FLAT / (alone + jobs / self._peak[b])
        return np.asarray(1.0 / np.maximum(gain, least))

    def _rate(self, jobs: FloatArray) -> FloatArray:
        return self._each(lambda c, n: c.rate(n), jobs)

    def _each(self, of: Callable[[Curve, float], FloatArray], values: FloatArray) -> FloatArray:
        return np.array([float(of(c, v)) for c, v in zip(self.curves, values, strict=True)])


def _after(curve: Curve, total: FloatArray, length: float) -> FloatArray:
    """The N with N + length l(N) = total, elementwise."""
    # The left side is concave, so that Newton's method comes from below, without overshooting.
    jobs = np.maximum(total - length * curve.supremum, 0.0)
    for _ in range(100):
        short = total - jobs - length * curve.rate(jobs)
        jobs = jobs + np.maximum(short, 0.0) / (1.0 + length * curve.marginal(jobs))
        if (short <= 4e-16 * total).all():
            break
    return jobs
