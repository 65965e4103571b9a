"""Late news: what the GMSR paper asks in Section 7, measured over a range of delays."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from isocline.errors import RunTooShortError
from isocline.model.fleet import Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals
from isocline.report.plots.end_labels import End, label_ends
from isocline.report.plots.style import (
    house,
    log_axis,
    looks_of,
    new_figure,
)
from isocline.report.reproduce.page import frame, panel_title
from isocline.report.reproduce.reproduction import Claim, Reproduction
from isocline.report.reproduce.systems import mixed_fleet
from isocline.report.words import estimate, number
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.routing.compare import simulate
from isocline.simulate.routing.delay import Delay
from isocline.theory.routing.equilibrium import fluid_optimum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "late news: GMSR herds, and a policy that looks ahead"
DELAYS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # in mean latencies of the optimum
QUICK_DELAYS = (0.1, 1.0, 10.0)
COPIES = 8  # of each frontend in the second fleet
NEAR = 1.25  # ratio to the bound that is called near to it
# Of a run that starts at the optimum: so many times latency and lag are discarded, which is what
# gmsr_ahead remembers; and it has so many jobs at least.
DISCARDED, JOBS, QUICK_JOBS = 20.0, 200_000.0, 50_000.0


class Way(NamedTuple):
    """A policy, and what its frontends know."""

    name: str
    policy: str
    own: bool


HERDING, COUNTING = "gmsr", "gmsr, own jobs counted"
ROBUST, STATIC = "gmsr_ahead", "static_optimal"
WAYS = (
    Way(HERDING, "gmsr", False),
    Way(COUNTING, "gmsr", True),
    Way("power_of_d", "power_of_d", False),
    Way("weighted_least_connections", "weighted_least_connections", False),
    Way(STATIC, "static_optimal", False),
    Way(ROBUST, "gmsr_ahead", False),
)


class Point(NamedTuple):
    """One way on one fleet at one delay."""

    frontends: int
    way: str
    delay: float  # of jobs, and of news, in mean latencies
    ratio: Estimate  # time at the backends over its bound


def reproduce(quick: bool, seed: int) -> Reproduction:
    """Jobs and news as late as each other, from a tenth of the mean latency to ten of them."""
    delays = QUICK_DELAYS if quick else DELAYS
    options: dict[str, Any] = {"replications": 3 if quick else 8, "seed": seed}
    jobs = QUICK_JOBS if quick else JOBS
    fleets = [mixed_fleet(), _many(mixed_fleet(), COPIES)]
    points = [
        point
        for fleet in fleets
        for way in WAYS
        for point in _along(fleet, way, delays, jobs, options)
    ]
    missing = [way.name for way in WAYS if not any(p.way == way.name for p in points)]
    none = f" No steady state was seen of {', '.join(missing)}." if missing else ""
    conditions = (
        "Mixed fleet (examples/mixed_fleet.yaml), load 0.70; on the right each of its 3 frontends "
        f"is {COPIES} of an eighth of its rate. A job travels to its backend as long as news "
        "of the backend's workload travels to the frontends; the delay is each one's. "
        "Bound: the fluid optimum of the time at the backends, travel not counted. "
        f"{options['replications']} replications, seed {seed}; ±: 95 % Student-t intervals.{none}"
    )
    return Reproduction(
        title=TITLE,
        claims=_claims(points),
        tables={"": [_row(point) for point in points]},
        conditions=conditions,
        draw=partial(_draw, points, [len(fleet.frontends) for fleet in fleets], conditions),
    )


def _many(system: RoutingSystem, copies: int) -> RoutingSystem:
    """Every frontend in so many parts, alike."""
    parts = [(f, k) for f in range(len(system.frontends)) for k in range(copies)]
    frontends = tuple(
        Frontend(f"{system.frontends[f].name}-{k}", PoissonArrivals(system.rates[f] / copies))
        for f, k in parts
    )
    rows = [system.graph.neighbours(f) for f, _ in parts]
    graph = CompatibilityGraph.from_neighbours(len(system.backends), rows)
    return replace(system, frontends=frontends, graph=graph)


def _along(
    system: RoutingSystem,
    way: Way,
    delays: Sequence[float],
    jobs: float,
    options: Mapping[str, Any],
) -> list[Point]:
    """A way at growing delays, up to the first at which it has no steady state."""
    rate = float(system.rates.sum())
    latency = fluid_optimum(system).total_jobs / rate
    found: list[Point] = []
    for times in delays:
        delay = Delay(times * latency, times * latency, own=way.own)
        warmup = DISCARDED * (latency + delay.lag)
        horizon = warmup + max(warmup, jobs / rate)
        try:
            result = simulate(
                system, [way.policy], delay=delay, start="fluid", percentiles=False,
                horizon=horizon, warmup=warmup, **options,
            ).policies[0]  # fmt: skip
        except RunTooShortError:  # it still grows
            break
        if result.mean_latency is None:
            break
        at_backends = _less(result.mean_latency, delay.travel)
        found.append(Point(len(system.frontends), way.name, times, at_backends.over(latency)))
    return found


def _less(value: Estimate, constant: float) -> Estimate:
    return Estimate(value.value - constant, value.low - constant, value.high - constant)


def _row(point: Point) -> dict[str, Any]:
    return {
        "frontends": point.frontends,
        "policy": point.way,
        "delay_over_latency": point.delay,
        "ratio_to_bound": point.ratio.value,
        "ratio_to_bound_low": point.ratio.low,
        "ratio_to_bound_high": point.ratio.high,
    }


def _claims(points: Sequence[Point]) -> tuple[Claim, ...]:
    plain = [p for p in points if p.way == HERDING]
    ahead = [p for p in points if p.way == ROBUST]
    static = max((p for p in points if p.way == STATIC), key=lambda p: p.ratio.value)
    counting = max((p for p in points if p.way == COUNTING), key=lambda p: p.ratio.value)
    worst, first, last = max(ahead, key=lambda p: p.ratio.value), plain[0], plain[-1]
    grows = all(
        b.ratio.low > a.ratio.high for a, b in pairwise(plain) if a.frontends == b.frontends
    )
    return (
        Claim(
            "Communication delays can impact performance",
            "Sections 1, 7",
            f"the time at the backends is {estimate(first.ratio)} times the bound under GMSR at a "
            f"delay of {first.delay:g} mean latencies and {estimate(last.ratio)} times at "
            f"{last.delay:g}: it herds",
            grows and last.ratio.low > NEAR,
            {"least_delay": first.ratio.value, "greatest_delay": last.ratio.value},
        ),
        Claim(
            "Policies robust to delay are an open question",
            "ours, on Section 7",
            f"gmsr_ahead is at most {estimate(worst.ratio)} times the bound (at {worst.delay:g}, "
            f"{worst.frontends} frontends) and knows no arrival rates; the best split, which does, "
            f"is at most {estimate(static.ratio)}; own jobs alone do not do, "
            f"{number(counting.ratio.value)}",
            worst.ratio.high < NEAR < counting.ratio.low,
            {"ahead": worst.ratio.value, "static": static.ratio.value},
        ),
    )


@house()
def _draw(points: Sequence[Point], frontends: Sequence[int], conditions: str) -> "Figure":
    figure = new_figure(height=4.4)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, letter, count in zip(panels, "ab", frontends, strict=True):
        ends = _panel(axes, [p for p in points if p.frontends == count])
        panel_title(axes, letter, f"{count} frontends")
    log_axis(panels[0], "y", "time at the backends,\n% above the bound")
    frame(figure, TITLE, conditions)
    label_ends(panels[1], ends)
    return figure


def _panel(axes: "Axes", points: Sequence[Point]) -> list[End]:
    ends: list[End] = []
    for way, look in zip(WAYS, looks_of([way.name for way in WAYS]), strict=True):
        mine = [p for p in points if p.way == way.name]
        if not mine:
            continue
        delay, above = [p.delay for p in mine], [_above(p.ratio) for p in mine]
        axes.errorbar(
            delay, [e.value for e in above], [e.half_width for e in above], **look,
            ms=3.5, capsize=2, elinewidth=1, lw=2.0 if way.name == ROBUST else 1.3,
            zorder=4 if way.name == ROBUST else 2,
        )  # fmt: skip
        ends.append(End(delay[-1], above[-1].value, way.name, look["color"]))
    log_axis(axes, "x", "delay, in mean\nlatencies")
    return ends


def _above(ratio: Estimate) -> Estimate:
    """A ratio to the bound, as percent above it."""
    return Estimate(*(100.0 * (x - 1.0) for x in (ratio.value, ratio.low, ratio.high)))
