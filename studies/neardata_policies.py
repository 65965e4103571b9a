"""All scheduling policies against load: two slowdowns, with and without racks."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from isocline.policies.scheduling import ALL
from isocline.report.plots.style import (
    BOUND,
    house,
    key,
    log_axis,
    looks_of,
    new_figure,
)
from isocline.report.plots.theme import theme
from isocline.report.reproduce.clusters import HOT, LEVEL_IN_WORDS, cluster_of, while_stable
from isocline.report.reproduce.page import frame, panel_title
from isocline.report.reproduce.reproduction import Claim, Reproduction
from isocline.report.words import estimate, listed, number
from isocline.simulate.common.estimate import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from isocline.simulate.scheduling.results import ClusterComparison

TITLE = "all scheduling policies against load"
SERVERS, QUICK_SERVERS, RACKS = 200, 40, 10
LOADS, QUICK_LOADS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95), (0.5, 0.9)
SLOWDOWNS = (2.0, 4.0)
# Length and warm-up of a replication in mean local service times.
SERVICES, WARMUP = 4000.0, 1500.0
QUICK_SERVICES, QUICK_WARMUP = 600.0, 200.0
LINE: dict[str, Any] = {"lw": 1.2, "ms": 3}
OWN, RIVAL, LATE = "local_first", "jsq_maxweight", "late_binding"
WITHIN = 0.01  # a policy this close (relative) is as good


class Panel(NamedTuple):
    """One slowdown, with or without racks."""

    slowdown: float
    racks: int
    alone: list["ClusterComparison"]  # local tasks first
    pairs: dict[str, list["ClusterComparison"]]  # the same beside each rival, while it is stable

    @property
    def title(self) -> str:
        """In words."""
        racks = f"{self.racks} racks" if self.racks > 1 else "no racks"
        return f"slowdown {self.slowdown:g}, {racks}"

    def ratios(self, policy: str) -> dict[float, Estimate]:
        """By load: mean completion time over that of local tasks first."""
        found = self.pairs.get(policy, [])
        return {one.load: r for one in found if (r := one.policies[1].ratio)}


def reproduce(quick: bool, seed: int) -> Reproduction:
    """Every built-in policy with its default options beside local tasks first; hot traffic."""
    panels = [
        _panel(slowdown, racks, quick, seed) for racks in (1, RACKS) for slowdown in SLOWDOWNS
    ]
    servers, first = QUICK_SERVERS if quick else SERVERS, panels[0].alone[0]
    never = sorted({name for panel in panels for name, found in panel.pairs.items() if not found})
    conditions = (
        f"{servers} servers, three replicas, {HOT.share:g} of the tasks on {HOT.servers:g} of the "
        f"servers. With racks: {RACKS} of them, placement as HDFS does, data of the rack comes at "
        "the geometric mean of the local and the remote rate. Policies with their default options; "
        "each beside local_first on the same arrivals, up to the first load at which no steady "
        f"state was seen (x){f'; of {listed(never, 12)} never' if never else ''}. "
        f"{LEVEL_IN_WORDS} Continuous clock, Poisson arrivals, exponential service. "
        f"{first.replications} replications of {first.horizon:g} s with 1/α = 1 s, of each the "
        f"first {first.warmup:g} s discarded; seed {seed}; ±: 95 % Student-t intervals. Bound: the "
        "largest that is known for the load, see docs/clusters.md."
    )
    return Reproduction(
        title=TITLE,
        claims=_claims(panels),
        tables={"": [row for panel in panels for row in _rows(panel)]},
        conditions=conditions,
        draw=partial(_draw, panels, conditions),
    )


def _panel(slowdown: float, racks: int, quick: bool, seed: int) -> Panel:
    cluster = cluster_of(
        QUICK_SERVERS if quick else SERVERS, hot=True, slowdown=slowdown, racks=racks
    )
    options: dict[str, Any] = {
        "horizon": QUICK_SERVICES if quick else SERVICES,
        "warmup": QUICK_WARMUP if quick else WARMUP,
        "replications": 3 if quick else 5,
        "seed": seed,
    }
    loads = QUICK_LOADS if quick else LOADS
    rivals = [name for name in ALL if name != OWN]
    return Panel(
        slowdown,
        racks,
        while_stable(cluster, (OWN,), loads, **options),
        {name: while_stable(cluster, (OWN, name), loads, **options) for name in rivals},
    )


def _claims(panels: Sequence[Panel]) -> tuple[Claim, ...]:
    rival = [r for panel in panels for r in panel.ratios(RIVAL).values()]
    late = [r for panel in panels for r in panel.ratios(LATE).values()]
    worst = max(late, key=lambda r: r.low)
    best = min(late, key=lambda r: r.value)
    return (
        Claim(
            "Local tasks first significantly outperforms JSQ-MaxWeight",
            "Section 1.3",
            f"JSQ-MaxWeight takes {number(min(r.value for r in rival), 3)} to "
            f"{number(max(r.value for r in rival), 3)} times as long over all panels and loads",
            min(r.high for r in rival) >= 1.0 - WITHIN and max(r.low for r in rival) > 1.0,
            {"ratios": [r.value for r in rival]},
        ),
        Claim(
            "(ours) Late binding is never slower than local tasks first",
            "docs/clusters.md",
            f"it takes from {estimate(best)} to {estimate(worst)} times as long",
            worst.low <= 1.0 + WITHIN,
            {"ratios": [r.value for r in late]},
        ),
    )


def _rows(panel: Panel) -> Iterable[Mapping[str, Any]]:
    common = {"slowdown": panel.slowdown, "racks": panel.racks}
    for found in (panel.alone, *panel.pairs.values()):
        for one in found:
            yield common | one.rows()[-1]


@house()
def _draw(panels: Sequence[Panel], conditions: str) -> "Figure":
    figure = new_figure(height=8.0)
    frame(figure, TITLE, conditions)
    grid = figure.subplots(2, 2, sharex=True, sharey="row").ravel()
    names = [OWN, *panels[0].pairs]
    own = dict(zip(names, looks_of(names), strict=True))
    own[OWN] |= {"lw": 2.0, "zorder": 4}
    for axes, panel, letter in zip(grid, panels, "abcd", strict=True):
        _lines(axes, panel, own)
        panel_title(axes, letter, panel.title)
        log_axis(axes, "y", "" if axes in grid[1::2] else "mean completion time × α")
    for axes in grid[2:]:
        axes.set_xlabel("load")
    handles = [grid[0].plot([], [], label=name, **(LINE | own[name]))[0] for name in names]
    handles += grid[0].plot([], [], color=theme().ink, label="bound", **BOUND)
    key(figure, handles)
    return figure


def _lines(axes: "Axes", panel: Panel, own: Mapping[str, Mapping[str, Any]]) -> None:
    """Completion times of all policies, each up to where it is no longer stable, and the bound."""
    loads = np.array([one.load for one in panel.alone])
    bound = np.array([one.lower_bound_latency for one in panel.alone])
    axes.plot(loads, bound, color=theme().ink, **BOUND)
    for name, found in ((OWN, panel.alone), *panel.pairs.items()):
        if not found:
            continue
        means = [e for one in found if (e := one.policies[-1].mean_latency)]
        x = [one.load for one in found]
        look = LINE | dict(own[name])
        axes.errorbar(x, [e.value for e in means], [e.half_width for e in means], capsize=1.5,
                      elinewidth=0.8, **look)  # fmt: skip
        if x[-1] < loads[-1]:
            axes.plot(x[-1], means[-1].value, "x", color=look["color"], ms=8, mew=1.5)
