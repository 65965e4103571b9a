"""Figure 3 of the near-data paper: local tasks first against JSQ-MaxWeight (Section 6).

This module has the simulation, and the picture with all readings of the paper.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, final

import numpy as np

from isocline.report.plots.style import (
    house,
    key,
    log_axis,
    looks_of,
    new_figure,
)
from isocline.report.plots.theme import theme
from isocline.report.reproduce.clusters import (
    HOT,
    LEVEL_IN_WORDS,
    SLOWDOWN,
    cluster_of,
    while_stable,
)
from isocline.report.reproduce.page import frame, panel_title
from isocline.report.reproduce.reproduction import Claim, Reproduction
from isocline.report.words import estimate, number
from isocline.simulate.common.estimate import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from isocline.simulate.scheduling.results import ClusterComparison

TICKS = (0.1, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
BORDER = 0.75  # load between the paper's two regions, which have different scales
LINES = {1.0: "-", 10.0: "--", 0.0: ":"}  # by slots per service
MARKS = {1.0: "s", 10.0: "^", 0.0: "o"}
POLICIES = {"local first": "local_first", "JSQ-MaxWeight": "jsq_maxweight"}
COUNTS = {"all": "lengths count all tasks", "waiting": "lengths count waiting tasks"}
TITLE = "local tasks first and JSQ-MaxWeight (Figure 3)"
TITLES = {"even": "even", "hot": "hot spot"}


@house()
def draw(curves: Sequence["Curve"], conditions: str) -> "Figure":
    """Draw completion times by traffic and rule of counting and, below, the ratios."""
    figure = new_figure(height=9.4)
    frame(figure, TITLE, conditions)
    grid = figure.subplots(3, 2, sharex=True, sharey="row", height_ratios=[1.0, 1.0, 1.3])
    for i, traffic in enumerate(TITLES):
        for j, (count, words) in enumerate(COUNTS.items()):
            axes = grid[i][j]
            chosen = [c for c in curves if c.traffic == traffic and c.reading.count == count]
            _times(axes, chosen)
            panel_title(axes, "abcd"[2 * i + j], f"{TITLES[traffic]}; {words}")
    for j, traffic in enumerate(TITLES):
        axes = grid[2][j]
        _ratios(axes, [c for c in curves if c.traffic == traffic])
        panel_title(axes, "ef"[j], f"{TITLES[traffic]}: ratio of the two")
        axes.set_xlabel("load (scale of 1 / (1 - load))")
    _regions(grid[0][0])
    for count, color in _count_colors().items():
        grid[2][0].plot([], [], color=color, label=COUNTS[count])
    for axes in grid[:2, 0]:
        log_axis(axes, "y", "mean completion\ntime × α")
    log_axis(grid[2][0], "y", "JSQ-MaxWeight\nover local first")
    low, high = grid[2][0].get_ylim()
    grid[2][0].set_ylim(low, 2.0 * high)  # leaves room for the legend
    grid[2][0].legend(loc="upper left")
    _legend(figure, grid[0][0])
    return figure


def _policy_colors() -> dict[str, str]:
    """Colours by the paper's names of policies, the same in all pictures."""
    looks = looks_of(list(POLICIES.values()))
    return {name: look["color"] for name, look in zip(POLICIES, looks, strict=True)}


def _count_colors() -> dict[str, str]:
    palette = theme().palette
    return {"all": palette[3], "waiting": palette[2]}


def _loads(axes: "Axes") -> None:
    """Use a scale that spreads loads near 1, as completion times do."""
    axes.set_xscale(
        "function",
        functions=(lambda x: -np.log1p(-np.minimum(x, 0.9999)), lambda y: -np.expm1(-y)),
    )
    axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.minorticks_off()
    axes.axvline(BORDER, color=theme().faint, lw=0.8)


def _regions(axes: "Axes") -> None:
    for side, words in (("right", "low to\nmedium"), ("left", "medium\nto high")):
        gap = -4 if side == "right" else 4
        axes.annotate(words, (BORDER, 1.0), xycoords=("data", "axes fraction"), xytext=(gap, 0),
                      textcoords="offset points", ha=side, va="top", fontsize=8,
                      color=theme().note)  # fmt: skip


def _times(axes: "Axes", curves: Iterable["Curve"]) -> None:
    for curve in curves:
        for policy, color in enumerate(_policy_colors().values()):
            found = curve.completion(policy)
            axes.errorbar(
                curve.loads, [e.value for e in found], [e.half_width for e in found],
                capsize=1.5, elinewidth=0.8, **_look(curve.reading, color),
            )  # fmt: skip
    _loads(axes)


def _ratios(axes: "Axes", curves: Sequence["Curve"]) -> None:
    axes.axhline(1.0, color=theme().ink, lw=0.8)
    axes.axhline(4.0, color=theme().ink, lw=1.0, ls=(0, (4, 2)))
    axes.annotate("the paper: up to 4", (0.02, 4.0), xycoords=("axes fraction", "data"),
                  xytext=(0, 3), textcoords="offset points", fontsize=8)  # fmt: skip
    for curve in curves:
        ratios, color = curve.ratios, _count_colors()[curve.reading.count]
        axes.errorbar(
            curve.loads, [r.value for r in ratios], [r.half_width for r in ratios],
            capsize=1.5, elinewidth=0.8, **_look(curve.reading, color),
        )  # fmt: skip
    _loads(axes)


def _look(reading: "Reading", color: str) -> Mapping[str, Any]:
    return {"color": color, "ls": LINES[reading.slots], "marker": MARKS[reading.slots],
            "ms": 3, "lw": 1.1}  # fmt: skip


def _legend(figure: "Figure", axes: "Axes") -> None:
    handles = [axes.plot([], [], color=c, label=name)[0] for name, c in _policy_colors().items()]
    for slots, words in ((1.0, "slots, α = 1"), (10.0, "slots, α = 0.1"), (0.0, "continuous")):
        handles += axes.plot([], [], color=theme().ink, ls=LINES[slots], marker=MARKS[slots], ms=3,
                             lw=1.1, label=words)  # fmt: skip
    key(figure, handles)


SERVERS, QUICK_SERVERS = 1000, 100
LOW = 0.5  # greatest load that counts as "low" in the claim
CLAIMED = 4.0
NEAR = 1.25  # a largest ratio within this factor of 4 counts as "up to 4-fold"
ALIKE = 1.1  # ratios up to this count as "similar"
OWN, RIVAL = "local_first", "jsq_maxweight"
TRAFFIC = {"even": "evenly loaded", "hot": "hot spot"}


@final
@dataclass(frozen=True)
class Reading:
    """One reading of the paper's model."""

    slots: float  # slots per mean local service time; 0: continuous time
    count: str  # tasks that count in a queue's length

    @property
    def name(self) -> str:
        """In words."""
        clock = {0.0: "continuous", 1.0: "slots α = 1"}.get(self.slots, f"slots α = {self.alpha:g}")
        return f"{clock}, {self.count}"

    @property
    def clock(self) -> str:
        """Clock of the simulation."""
        return "slotted" if self.slots else "continuous"

    @property
    def alpha(self) -> float:
        """Local rate, per slot or per s."""
        return 1.0 / self.slots if self.slots else 1.0


READINGS = tuple(
    Reading(slots, count) for count in ("all", "waiting") for slots in (1.0, 10.0, 0.0)
)


class Region(NamedTuple):
    """Region of loads, with lengths of runs."""

    loads: tuple[float, ...]
    length: float  # of a replication, mean local service times
    warmup: float  # part of `length`, mean local service times


# If tasks in service count, JSQ-MaxWeight fills its queues slowly: with 1000 servers it is off by
# 13 % after 2000 service times, and by 2 % after 4000.
REGIONS = (
    Region((0.1, 0.3, 0.5, 0.6, 0.7), 1500.0, 500.0),
    Region((0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99), 7000.0, 4000.0),
)
QUICK_REGIONS = (Region((0.3, 0.5), 200.0, 50.0), Region((0.8, 0.95), 500.0, 250.0))


class Curve(NamedTuple):
    """Results of both policies under one traffic and reading."""

    traffic: str
    reading: Reading
    comparisons: list["ClusterComparison"]

    @property
    def loads(self) -> list[float]:
        """Loads at which both policies are stable."""
        return [one.load for one in self.comparisons]

    def completion(self, policy: int) -> list[Estimate]:
        """Mean completion times, in mean local service times."""
        means = (one.policies[policy].mean_latency for one in self.comparisons)
        return [mean.over(1.0 / self.reading.alpha) for mean in means if mean]

    @property
    def ratios(self) -> list[Estimate]:
        """Ratios of JSQ-MaxWeight to local tasks first."""
        return [r for one in self.comparisons if (r := one.policies[1].ratio)]

    @property
    def largest(self) -> Estimate:
        """Largest ratio over all loads."""
        return max(self.ratios, key=lambda ratio: ratio.value)


def reproduce(quick: bool, seed: int) -> Reproduction:
    """Simulate both panels, load regions, clocks and rules of counting."""
    servers, replications = (QUICK_SERVERS, 3) if quick else (SERVERS, 5)
    curves = [
        _curve(traffic, reading, servers, replications, quick, seed)
        for traffic in TRAFFIC
        for reading in READINGS
    ]
    conditions = (
        f"{servers} servers, three uniform replicas, γ = α/{SLOWDOWN:g}, T_s = {SLOWDOWN:g}; hot "
        f"spot: {HOT.share:g} of the tasks on {HOT.servers:g} of the servers. Poisson arrivals; "
        "load is over what all servers together can serve (hot spot: 0.8333 α per server). Slots: "
        "geometric service, α per slot; continuous: exponential service. Queue lengths of both "
        'policies, the common queue\'s included, count all tasks not yet completed ("all") or '
        f'those that wait ("waiting"). {replications} replications, seed {seed}; ±: 95 % Student-t '
        f"intervals. {LEVEL_IN_WORDS}"
    )
    return Reproduction(
        title=TITLE,
        claims=_claims(curves),
        tables={"": list(_rows(curves))},
        conditions=conditions,
        draw=partial(draw, curves, conditions),
    )


def _curve(
    traffic: str, reading: Reading, servers: int, replications: int, quick: bool, seed: int
) -> Curve:
    cluster = cluster_of(servers, hot=traffic == "hot", local=reading.alpha)
    found: list[ClusterComparison] = []
    for region in QUICK_REGIONS if quick else REGIONS:
        found += while_stable(
            cluster, [f"{name}:count={reading.count}" for name in (OWN, RIVAL)], region.loads,
            horizon=region.length / reading.alpha, warmup=region.warmup / reading.alpha,
            replications=replications, seed=seed, clock=reading.clock,
        )  # fmt: skip
    return Curve(traffic, reading, found)


def _nearest(curves: Iterable[Curve]) -> Reading:
    """Reading whose largest ratios, under both traffics, are nearest to the claimed one."""
    apart = dict.fromkeys(READINGS, 0.0)
    for curve in curves:
        apart[curve.reading] += abs(np.log(curve.largest.value / CLAIMED))
    return min(apart, key=lambda reading: apart[reading])


def _claims(curves: Sequence[Curve]) -> tuple[Claim, ...]:
    nearest = _nearest(curves)
    low = {reading: _low(curves, reading) for reading in READINGS}
    return (
        Claim(
            "The two perform alike at low load",
            "Section 6",
            f"at loads up to {LOW:g} JSQ-MaxWeight takes at most {number(low[nearest], 3)} times "
            f"as long in the reading that comes nearest, {nearest.name}; at most "
            f"{number(max(low.values()), 3)} in any",
            low[nearest] <= ALIKE,
            {reading.name: ratio for reading, ratio in low.items()},
        ),
        *(_fold(curves, traffic, nearest) for traffic in TRAFFIC),
        _everywhere(curves, nearest),
    )


def _fold(curves: Iterable[Curve], traffic: str, nearest: Reading) -> Claim:
    own = {curve.reading: curve for curve in curves if curve.traffic == traffic}
    best = own[nearest]
    at = best.loads[best.ratios.index(best.largest)]
    others = [f"{r.name} {number(own[r].largest.value, 3)}" for r in READINGS if r != nearest]
    return Claim(
        f"Up to 4-fold improvement over medium to high load, {TRAFFIC[traffic]}",
        "Section 6, Figure 3",
        f"up to {estimate(best.largest)}, at load {at:.3g} ({nearest.name}). Largest ratios in the "
        f"other readings: {'; '.join(others)}",
        CLAIMED / NEAR <= best.largest.value <= CLAIMED * NEAR,
        {curve.reading.name: curve.largest.value for curve in own.values()},
    )


def _everywhere(curves: Sequence[Curve], nearest: Reading) -> Claim:
    """Claim that local tasks first is never the slower of the two."""
    least = {
        reading: min(
            (ratio.value, curve.traffic, load)
            for curve in curves
            if curve.reading == reading
            for load, ratio in zip(curve.loads, curve.ratios, strict=True)
        )
        for reading in READINGS
    }
    ratio, traffic, load = least[nearest]
    worst = min(READINGS, key=lambda reading: least[reading])
    return Claim(
        "It outperforms JSQ-MaxWeight away from the boundary of the capacity region",
        "Abstract, Section 1.3",
        f"JSQ-MaxWeight takes at least {number(ratio, 3)} times as long ({TRAFFIC[traffic]}, load "
        f"{load:.3g}; {nearest.name}); the least in any reading is {number(least[worst][0], 3)} "
        f"({TRAFFIC[least[worst][1]]}, load {least[worst][2]:.3g}; {worst.name})",
        ratio >= 1.0 / ALIKE,
        {reading.name: found[0] for reading, found in least.items()},
    )


def _low(curves: Iterable[Curve], reading: Reading) -> float:
    """Largest ratio at low load, under even or hot traffic."""
    return max(
        ratio.value
        for curve in curves
        for load, ratio in zip(curve.loads, curve.ratios, strict=True)
        if curve.reading == reading and load <= LOW + 1e-9
    )


def _rows(curves: Iterable[Curve]) -> Iterable[Mapping[str, Any]]:
    for curve in curves:
        own, rival = curve.completion(0), curve.completion(1)
        for i, ratio in enumerate(curve.ratios):
            yield {
                "traffic": curve.traffic,
                "clock": curve.reading.clock,
                "alpha": curve.reading.alpha,
                "count": curve.reading.count,
                "load": curve.loads[i],
                OWN: own[i].value,
                f"{OWN}_half_width": own[i].half_width,
                RIVAL: rival[i].value,
                f"{RIVAL}_half_width": rival[i].half_width,
                "ratio": ratio.value,
                "ratio_low": ratio.low,
                "ratio_high": ratio.high,
            }
