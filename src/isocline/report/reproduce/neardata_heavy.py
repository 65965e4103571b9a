"""Queues near the boundary of the capacity region (near-data paper, Theorems 2 to 8)."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from isocline.model.cluster import Cluster, ExplicitTasks, Rates
from isocline.model.graph import CompatibilityGraph
from isocline.report.plots.end_labels import End, label_ends
from isocline.report.plots.style import (
    BOUND,
    house,
    log_axis,
    looks_of,
    new_figure,
)
from isocline.report.plots.theme import theme
from isocline.report.reproduce.clusters import LEVEL, LEVEL_IN_WORDS
from isocline.report.reproduce.page import frame, panel_title
from isocline.report.reproduce.reproduction import Claim, Reproduction
from isocline.report.words import estimate, number
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.scheduling.compare import simulate_cluster
from isocline.theory.scheduling.near_data_plan import near_data_plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from isocline.simulate.scheduling.results import SchedulingResult
    from isocline.theory.scheduling.plan_records import QueueBound

TITLE = "queues near the boundary of the capacity region (Theorems 2 to 8)"
ALPHA, GAMMA = 0.5, 0.25  # per slot
HALF = 4  # number of hot servers, and of others
# Tasks per slot. From 0.5 on no help would be needed: helpers can give GAMMA (HALF - Phi) = 0.5.
EPSILONS = (0.4, 0.2, 0.1, 0.05, 0.025)
QUICK_EPSILONS = (0.4, 0.2, 0.1)
HELPER_LOAD = 0.5 * ALPHA * HALF  # Phi alpha of Eq. (9): tasks per slot local to a helper
SHARED = 0.2 * HELPER_LOAD  # part of these that is also local to beneficiaries
# A queue with drift epsilon and variance v forgets its past in about v / epsilon^2 slots; v is
# about 4.
FORGETS, QUICK_FORGETS = 1000.0, 200.0
SHORTEST = 20_000.0  # slots
POLICIES = ("local_first", "jsq_maxweight", "late_binding")
BOUNDED = 1.2  # growth in the last halving of epsilon up to which a quantity counts as bounded


class Point(NamedTuple):
    """Results for one epsilon in one case."""

    case: str
    epsilon: float
    bound: "QueueBound"
    policies: tuple["SchedulingResult", ...]
    rate: float  # tasks per slot

    def queue(self, policy: int) -> Estimate:
        """E[sum Q] over all queues before a slot's arrivals, whose known mean is subtracted."""
        tasks = self.policies[policy].mean_tasks
        assert tasks is not None
        return Estimate(*(value - self.rate for value in (tasks.value, tasks.low, tasks.high)))

    def scaled(self, policy: int) -> Estimate:
        """Number of tasks in units of 1/epsilon."""
        return self.queue(policy).over(1.0 / self.epsilon)

    @property
    def limit(self) -> float:
        """Limit of Theorems 3 and 6, (sigma^2 + nu^2)/2."""
        return 0.5 * (self.bound.arrival_variance + self.bound.service_variance)


def reproduce(quick: bool, seed: int) -> Reproduction:
    """Simulate both traffic cases on 2 x 4 servers, slotted as in the paper."""
    epsilons = QUICK_EPSILONS if quick else EPSILONS
    points = {case: [_point(case, epsilon, quick, seed) for epsilon in epsilons] for case in CASES}
    conditions = (
        f"{2 * HALF} servers, α = {ALPHA:g} and γ = {GAMMA:g} per slot, geometric service, Poisson "
        "arrivals. Even: all sets of three servers, epsilon = Mα - λ. Overloaded: all sets of "
        f"three of the first {HALF} servers, which become beneficiaries; helpers have "
        f"{HELPER_LOAD:g} of their own per slot, {SHARED:g} of them also local to a "
        "beneficiary; epsilon as in Eq. (10). Q is taken before the arrivals of a slot, tasks in "
        f"service included. {LEVEL_IN_WORDS} "
        f"{_replications(quick)} replications of {_forgets(quick):g}/epsilon² slots or more, a "
        f"fifth discarded; seed {seed}; ±: 95 % Student-t intervals."
    )
    return Reproduction(
        title=TITLE,
        claims=_claims(points),
        tables={"": [row for case in points.values() for row in _rows(case)]},
        conditions=conditions,
        draw=partial(_draw, points, conditions),
    )


def even(epsilon: float) -> Cluster:
    """Cluster in which all sets of three servers are equally frequent, Eq. (20)."""
    types = list(combinations(range(2 * HALF), 3))
    return _cluster(types, np.full(len(types), (2 * HALF * ALPHA - epsilon) / len(types)))


def overloaded(epsilon: float) -> Cluster:
    """Cluster of beneficiaries 0 ... HALF - 1, and helpers with a load independent of epsilon.

    See Eq. (10).
    """
    hot = list(combinations(range(HALF), 3))
    cold = list(combinations(range(HALF, 2 * HALF), 3))
    shared = [(m, HALF + m, HALF + (m + 1) % HALF) for m in range(HALF)]
    spare = GAMMA * (HALF - HELPER_LOAD / ALPHA)
    rates = np.concatenate(
        (
            np.full(len(hot), (HALF * ALPHA + spare - epsilon) / len(hot)),
            np.full(len(cold), (HELPER_LOAD - SHARED) / len(cold)),
            np.full(len(shared), SHARED / len(shared)),
        )
    )
    return _cluster([*hot, *cold, *shared], rates)


CASES = {"even": even, "overloaded": overloaded}
TITLES = {"even": "evenly loaded", "overloaded": "locally overloaded"}
THEOREMS = {"even": ("6 and 8", "7"), "overloaded": ("3 and 5", "4")}


def _cluster(types: Sequence[tuple[int, ...]], rates: Any) -> Cluster:
    graph = CompatibilityGraph.from_neighbours(2 * HALF, types)
    return Cluster.numbered(2 * HALF, Rates(local=ALPHA, remote=GAMMA), ExplicitTasks(graph, rates))


def _replications(quick: bool) -> int:
    return 4 if quick else 10


def _forgets(quick: bool) -> float:
    return QUICK_FORGETS if quick else FORGETS


def _point(case: str, epsilon: float, quick: bool, seed: int) -> Point:
    cluster = CASES[case](epsilon)
    bound = near_data_plan(cluster, clock="slotted", replicas_to_try=0).bounds
    assert bound is not None
    horizon = max(_forgets(quick) / epsilon**2, SHORTEST)
    found = simulate_cluster(
        cluster, POLICIES, clock="slotted", horizon=horizon, warmup=horizon / 5.0,
        replications=_replications(quick), percentiles=False, seed=seed, level=LEVEL,
    )  # fmt: skip
    return Point(case, epsilon, bound, found.policies, cluster.arrival_rate)


def _claims(points: Mapping[str, list[Point]]) -> tuple[Claim, ...]:
    each = (claim for case in points.values() for claim in (_limit(case), _collapse(case)))
    return (*each, _helpers(points["overloaded"]))


def _limit(points: Sequence[Point]) -> Claim:
    """Claim: above the lower bound everywhere, and closer to the limit as epsilon falls."""
    case, first, last = points[0].case, points[0], points[-1]
    above = all(point.queue(0).high >= point.bound.lower for point in points)
    off = [point.scaled(0).value / point.limit - 1.0 for point in points]
    return Claim(
        "Local tasks first is heavy-traffic optimal: epsilon E[sum Q] tends to (σ² + ν²)/2, "
        f"{TITLES[case]}",
        f"Theorems {THEOREMS[case][0]}",
        f"{estimate(last.scaled(0))} at epsilon = {last.epsilon:g}; limit {number(last.limit)}. "
        f"From {100 * off[0]:+.0f} % at {first.epsilon:g} to {100 * off[-1]:+.1f} %; "
        f"{'nowhere' if above else 'somewhere'} below the lower bound",
        above and abs(off[-1]) < abs(off[0]),
        {"scaled": [point.scaled(0).value for point in points], "limit": last.limit},
    )


def _collapse(points: Sequence[Point]) -> Claim:
    """Claim: |Q_perp| stays bounded while the queues grow like 1/epsilon."""
    case = points[0].case
    widths = [w.value for point in points if (w := point.policies[0].perpendicular)]
    grown, rise = points[-1].queue(0).value / points[0].queue(0).value, widths[-1] / widths[0]
    return Claim(
        f"The queues collapse to a line: |Q⊥| is bounded, {TITLES[case]}",
        f"Theorem {THEOREMS[case][1]}",
        f"E|Q⊥| = {', '.join(number(w, 3) for w in widths)} tasks as epsilon falls: × "
        f"{number(widths[-1] / widths[-2], 3)} in the last step, × {number(rise, 3)} in all, while "
        f"the queues grow × {number(grown, 3)}",
        widths[-1] / widths[-2] < BOUNDED,
        {"perpendicular": widths},
    )


def _helpers(points: Sequence[Point]) -> Claim:
    """Claim: queues of helpers do not grow."""
    tasks = [e.value for point in points if (e := point.policies[0].helper_tasks)]
    rival = [e.value for point in points if (e := point.policies[1].helper_tasks)]
    return Claim(
        "Helpers' queues stay bounded, where those of JSQ-MaxWeight grow with the beneficiaries'",
        "Theorem 2, Section 1.3",
        f"{', '.join(number(x, 3) for x in tasks)} tasks as epsilon falls; JSQ-MaxWeight "
        f"{', '.join(number(x, 3) for x in rival)}",
        tasks[-1] / tasks[-2] < BOUNDED and rival[-1] / rival[-2] > tasks[-1] / tasks[-2],
        {"helper_tasks": tasks, "helper_tasks_jsq_maxweight": rival},
    )


def _rows(points: Iterable[Point]) -> Iterable[Mapping[str, Any]]:
    for point in points:
        for i, found in enumerate(point.policies):
            scaled, width = point.scaled(i), found.perpendicular
            yield {
                "case": point.case,
                "epsilon": point.epsilon,
                "policy": found.policy,
                "scaled": scaled.value,
                "scaled_low": scaled.low,
                "scaled_high": scaled.high,
                "lower_bound": point.epsilon * point.bound.lower,
                "limit": point.limit,
                "perpendicular": width and width.value,
                "perpendicular_half_width": width and width.half_width,
                "helper_tasks": found.helper_tasks and found.helper_tasks.value,
            }


@house()
def _draw(points: Mapping[str, list[Point]], conditions: str) -> "Figure":
    figure = new_figure(height=6.8)
    grid = figure.subplots(2, 2, sharex=True, sharey="row")
    ends = []
    for column, (case, found) in enumerate(points.items()):
        upper, lower = grid[0][column], grid[1][column]
        ends += [(upper, _queues(upper, found)), (lower, _widths(lower, found))]
        panel_title(upper, "ab"[column], f"{TITLES[case]}: Theorems {THEOREMS[case][0]}")
        panel_title(lower, "cd"[column], f"{TITLES[case]}: Theorem {THEOREMS[case][1]}")
        lower.set_xlabel("epsilon, tasks per slot (log scale)")
    log_axis(grid[0][0], "x")
    grid[0][0].invert_xaxis()
    grid[0][0].set_ylabel("epsilon E[sum Q]")
    grid[0][0].set_ylim(bottom=0.0)
    log_axis(grid[1][0], "y", "E|Q⊥|, tasks")
    frame(figure, TITLE, conditions)
    for axes, named in ends:
        label_ends(axes, named)
    return figure


def _queues(axes: "Axes", points: Sequence[Point]) -> list[End]:
    """Draw scaled numbers of tasks under each policy, between the theorems' lines."""
    x = [point.epsilon for point in points]
    limit, lower = points[-1].limit, [point.epsilon * point.bound.lower for point in points]
    axes.axhline(limit, color=theme().ink, **BOUND)
    axes.plot(x, lower, color=theme().ink, lw=1.0, ls=":")
    axes.annotate("(σ² + ν²)/2", (x[0], limit), xytext=(0, 3), textcoords="offset points",
                  fontsize=8)  # fmt: skip
    ends = [End(x[-1], lower[-1], "lower bound", theme().ink)]
    for i, (name, look) in enumerate(zip(POLICIES, looks_of(POLICIES), strict=True)):
        found = [point.scaled(i) for point in points]
        axes.errorbar(x, [e.value for e in found], [e.half_width for e in found], **look,
                      ms=3.5, lw=1.2, capsize=2, elinewidth=1)  # fmt: skip
        ends.append(End(x[-1], found[-1].value, name, look["color"]))
    return ends


def _widths(axes: "Axes", points: Sequence[Point]) -> list[End]:
    """Draw E|Q_perp| beside the queues themselves."""
    x = [point.epsilon for point in points]
    ends: list[End] = []
    for i, (name, look) in enumerate(zip(POLICIES[:2], looks_of(POLICIES[:2]), strict=True)):
        found = [w for point in points if (w := point.policies[i].perpendicular)]
        axes.errorbar(x, [w.value for w in found], [w.half_width for w in found], **look,
                      ms=3.5, lw=1.2, capsize=2, elinewidth=1)  # fmt: skip
        ends.append(End(x[-1], found[-1].value, name, look["color"]))
    queues = [point.queue(0).value for point in points]
    axes.plot(x, queues, color=theme().ink, lw=1.0, ls=":")
    return [*ends, End(x[-1], queues[-1], "E[sum Q]", theme().ink)]
