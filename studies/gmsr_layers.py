"""Routers behind routers: what the GMSR paper asks in Section 7, measured against load."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from isocline.errors import RunTooShortError
from isocline.model import systemfile
from isocline.model.fleet import RoutingSystem
from isocline.report.plots.end_labels import End, label_ends
from isocline.report.plots.style import (
    BOUND,
    house,
    looks_of,
    new_figure,
    value_axis,
)
from isocline.report.plots.theme import theme
from isocline.report.reproduce.page import frame, panel_title
from isocline.report.reproduce.reproduction import Claim, Reproduction
from isocline.report.words import estimate
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.routing.compare import simulate
from isocline.simulate.routing.scenario import scenario

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SITES = Path(__file__).parents[1] / "examples" / "layers.yaml"
TITLE = "routers behind routers: GMSR at two layers, against flat"
LOADS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
QUICK_LOADS = (0.4, 0.7, 0.9)
JOBS, QUICK_JOBS = 500_000.0, 150_000.0  # in a replication
CLOSE = 0.02  # relative difference to flat GMSR, on the same arrivals, up to which both are alike


def sites() -> RoutingSystem:
    """Three sites, each with a router over its own machines."""
    return systemfile.load(SITES, kind="routing")


class Way(NamedTuple):
    """A policy for pools, and what is done inside them."""

    name: str
    policy: str
    layers: str


FLAT, BOTH = "flat gmsr", "gmsr over gmsr"
WAYS = (
    Way(FLAT, "gmsr", "flat"),
    Way(BOTH, "gmsr", "gmsr"),
    Way("weighted over gmsr", "weighted_least_connections", "gmsr"),
    Way("jsq over gmsr", "jsq", "gmsr"),
    Way("gmsr over jsq", "gmsr", "jsq"),
)


class Point(NamedTuple):
    """One way at one load."""

    way: str
    load: float
    bound: float  # s
    latency: Estimate  # s
    ratio: Estimate  # mean jobs over the bound


def reproduce(quick: bool, seed: int) -> Reproduction:
    """Two layers against one, and against outer policies that only count."""
    options: dict[str, Any] = {"replications": 4 if quick else 10, "seed": seed}
    jobs = QUICK_JOBS if quick else JOBS
    points = [
        point
        for way in WAYS
        for point in _along(way, QUICK_LOADS if quick else LOADS, jobs, options)
    ]
    conditions = (
        "Three sites (examples/layers.yaml): north has 2 large and 2 tiny machines, south 9 small "
        "ones, edge 2 small and 3 tiny ones. Names read: the frontends' policy over sites, over "
        "the sites' policy over machines; flat: the frontends see all machines. Weighted: "
        "weighted_least_connections, jobs per capacity. Bound: the fluid optimum over all "
        "machines. "
        f"{options['replications']} replications of {jobs:,.0f} jobs, a fifth of them discarded, "
        f"seed {seed}; ±: 95 % Student-t intervals."
    )
    return Reproduction(
        title=TITLE,
        claims=_claims(points),
        tables={"": [_row(point) for point in points]},
        conditions=conditions,
        draw=partial(_draw, points, conditions),
    )


def _along(way: Way, loads: Sequence[float], jobs: float, options: dict[str, Any]) -> list[Point]:
    """A way at growing loads, up to the first at which it has no steady state."""
    found: list[Point] = []
    for load in loads:
        system = scenario(sites(), load=load).system
        horizon = jobs / float(system.rates.sum())
        try:
            made = simulate(
                system, [way.policy], layers=way.layers, start="fluid", percentiles=False,
                horizon=horizon, warmup=0.2 * horizon, **options,
            )  # fmt: skip
        except RunTooShortError:  # it still grows
            break
        result = made.policies[0]
        if result.mean_latency is None or result.ratio_to_bound is None:
            break
        bound = made.lower_bound_latency
        found.append(Point(way.name, load, bound, result.mean_latency, result.ratio_to_bound))
    return found


def _row(point: Point) -> dict[str, Any]:
    latency, ratio = point.latency, point.ratio
    return {
        "policy": point.way,
        "load": point.load,
        "lower_bound_latency": point.bound,
        "mean_latency": latency.value,
        "mean_latency_low": latency.low,
        "mean_latency_high": latency.high,
        "ratio_to_bound": ratio.value,
        "ratio_to_bound_low": ratio.low,
        "ratio_to_bound_high": ratio.high,
    }


def _claims(points: Sequence[Point]) -> tuple[Claim, ...]:
    flat, both = ([p for p in points if p.way == name] for name in (FLAT, BOTH))
    behind = [
        (b.latency.value - a.latency.value) / a.latency.value
        for a, b in zip(flat, both, strict=True)
    ]
    counting = [p for p in points if p.way.endswith(" over gmsr") and p.way != BOTH]
    most = max(counting, key=lambda p: p.ratio.value)
    least = min(p.ratio.high for p in points)
    own = max((p.ratio for p in both), key=lambda r: r.value)
    return (
        Claim(
            "How to route where backends are routers is an open question",
            "ours, on Section 7",
            f"the mean latency of GMSR at both layers, each on its own, is "
            f"{100 * min(behind):+.2f} to {100 * max(behind):+.2f} % from that of GMSR that sees "
            f"every machine, on the same arrivals; at most {estimate(own)} times the bound",
            max(map(abs, behind)) < CLOSE,
            {"difference": behind, "ratio": own.value},
        ),
        Claim(
            "A pool needs its marginal rate, not only its jobs or its capacity",
            "Lemma 3",
            f"outer policies that only count, over GMSR, are up to {estimate(most.ratio)} times "
            f"the bound ({most.way}, load {most.load:g}); none is below it",
            most.ratio.low > own.high and least >= 1.0,
            {"counting": most.ratio.value, "least": least},
        ),
    )


@house()
def _draw(points: Sequence[Point], conditions: str) -> "Figure":
    figure = new_figure(height=6.6)
    latency, near = figure.subplots(2, 1, sharex=True)
    bound = {p.load: p.bound for p in points}
    ink = theme().ink
    latency.plot(list(bound), list(bound.values()), color=ink, **BOUND)
    ends = [End(*list(bound.items())[-1], "bound", ink)]
    near_ends: list[End] = []
    # The flat one has the looks of gmsr; the others are no policies of a fleet.
    looks = looks_of(["gmsr", *(way.name for way in WAYS[1:])])
    for way, look in zip(WAYS, looks, strict=True):
        mine = [p for p in points if p.way == way.name]
        above = [Estimate(*(100.0 * (x - 1.0) for x in (p.ratio.value, p.ratio.low, p.ratio.high)))
                 for p in mine]  # fmt: skip
        ends.append(_line(latency, way, look, mine, [p.latency for p in mine]))
        near_ends.append(_line(near, way, look, mine, above))
    value_axis(
        latency, "y", "mean latency, s", [p.latency.value for p in points] + [*bound.values()]
    )
    value_axis(near, "y", "above the bound, %", [100.0 * (p.ratio.value - 1.0) for p in points])
    near.set_xlabel("load (offered work over capacity)")
    panel_title(latency, "a", "mean latency")
    panel_title(near, "b", "jobs in the system, above the bound")
    frame(figure, TITLE, conditions)
    label_ends(latency, ends)
    label_ends(near, near_ends)
    return figure


def _line(
    axes: "Axes",
    way: Way,
    look: dict[str, Any],
    points: Sequence[Point],
    estimates: Sequence[Estimate],
) -> End:
    """Draw one way; the end of its line, with its name."""
    loads = [p.load for p in points]
    # Where it lies on the flat one both are seen.
    dashed = {"linestyle": (0, (2, 1.5)) if way.name == BOTH else "-"}
    axes.errorbar(
        loads, [e.value for e in estimates], [e.half_width for e in estimates], ms=3.5, capsize=2,
        elinewidth=1, lw=1.8 if way.name in (FLAT, BOTH) else 1.3,
        zorder=4 if way.name == BOTH else 2, **look | dashed,
    )  # fmt: skip
    return End(loads[-1], estimates[-1].value, way.name, look["color"])
