"""The price of anarchy of routing by expected latency has no bound (GMSR paper, Appendix A)."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from isocline.model.curves import HyperbolicCurve, TableCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals
from isocline.report.plots.end_labels import End, label_ends
from isocline.report.plots.style import (
    house,
    log_axis,
    new_figure,
)
from isocline.report.plots.theme import theme
from isocline.report.reproduce.fits import FloatArray
from isocline.report.reproduce.page import frame, panel_title
from isocline.report.reproduce.reproduction import Claim, Reproduction
from isocline.report.words import number
from isocline.theory.routing.equilibrium import fluid_optimum
from isocline.theory.routing.latency_routing import latency_equilibrium

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "the price of anarchy of routing by expected latency (Appendix A)"
DEGREES, QUICK_DEGREES = (1, 2, 4, 8, 16, 32, 64, 128), (1, 4, 16, 64)
SHOWN = (1, 4, 16)  # degrees whose total latency is drawn
# A constant latency of 1 would violate Assumption 1, so it is 1 + 1e-6 with one job.
ROAD = HyperbolicCurve(1e6, 1e6)
POINTS = 80  # of the lane's table
FEWEST, MOST = 1e-6, 1.2  # jobs at the first point, and jobs/s at the last
EXACT = 0.01  # relative tolerance: the table interpolates points of the lane's curve by a spline


class Point(NamedTuple):
    """Pigou's example with a lane whose latency is its share raised to the power `degree`."""

    degree: int
    anarchy: float  # price of anarchy
    known: float  # price of anarchy in closed form
    optimum: float  # share of the lane at the optimum
    equilibrium: float  # share of the lane under routing by latency


def reproduce(quick: bool, seed: int) -> Reproduction:  # noqa: ARG001 - nothing random
    """Solve Pigou's example and its family."""
    points = [point(degree) for degree in (QUICK_DEGREES if quick else DEGREES)]
    conditions = (
        "Pigou's example: one frontend with 1 job/s, a road that takes 1 s however many go there "
        "and a lane that takes x^d s at x jobs/s. Best is x = (d + 1)^(-1/d); routing by latency "
        "sends all to the lane. Solved as systems of backends: the road hyperbolic with latency "
        "1 + 1e-6 N, the lane a table of 80 points of N = x^(d+1). Line: 1 / (1 - d (d + 1)^"
        "(-(d+1)/d)), which grows like d / ln d. GMSR comes to rest at the optimum (Theorem 2)."
    )
    return Reproduction(
        title=TITLE,
        claims=_claims(points),
        tables={"": [one._asdict() for one in points]},
        conditions=conditions,
        draw=partial(_draw, points, conditions),
    )


def pigou(degree: int) -> RoutingSystem:
    """System in which the lane has N = x^(d+1) jobs at x jobs/s."""
    rates = np.linspace(FEWEST ** (1.0 / (degree + 1)), MOST, POINTS)
    lane = TableCurve(tuple((x ** (degree + 1), x) for x in rates.tolist()))
    return RoutingSystem(
        frontends=(Frontend("all", PoissonArrivals(1.0)),),
        backends=(Backend("road", ROAD), Backend("lane", lane)),
        graph=CompatibilityGraph.from_neighbours(2, [[0, 1]]),
        name=f"Pigou, degree {degree}",
    )


def point(degree: int) -> Point:
    """Solve both ways of routing."""
    system = pigou(degree)
    best, selfish = fluid_optimum(system), latency_equilibrium(system)
    known = 1.0 / (1.0 - degree * (degree + 1.0) ** (-(degree + 1.0) / degree))
    ratio = selfish.total_jobs / best.total_jobs
    return Point(degree, ratio, known, float(best.split[1]), float(selfish.inflow[1]))


def _claims(points: Sequence[Point]) -> tuple[Claim, ...]:
    first, last = points[0], points[-1]
    off = max(abs(one.anarchy / one.known - 1.0) for one in points)
    exponents = np.diff(np.log([one.anarchy for one in points])) / np.diff(
        np.log([one.degree for one in points])
    )
    return (
        Claim(
            "The optimum is x1 = x2 = 1/2 with latency 3/4; by latency x2 = 1, with latency 1",
            "Appendix A",
            f"{number(first.optimum, 4)} in the lane, {number(first.equilibrium, 4)} by latency: "
            f"{number(first.anarchy, 5)} times the latency, of 4/3",
            bool(
                abs(first.anarchy - 4.0 / 3.0) < EXACT
                and abs(first.optimum - 0.5) < EXACT
                and abs(first.equilibrium - 1.0) < EXACT
            ),
            {"optimum": first.optimum, "equilibrium": first.equilibrium, "anarchy": first.anarchy},
        ),
        Claim(
            "The price of anarchy can be unbounded",
            "Appendix A, after Altman et al. (2011)",
            f"{number(last.anarchy)} at degree {last.degree}, growing ever faster: from one degree "
            f"to the next as d^{number(exponents[0], 2)} at first, as d^{number(exponents[-1], 2)} "
            f"at last; within {100 * off:.2g} % of the closed form, which has no bound",
            bool((exponents > 0.0).all() and (np.diff(exponents) > 0.0).all() and off < EXACT),
            {"anarchy": [one.anarchy for one in points], "exponents": exponents.tolist()},
        ),
    )


@house()
def _draw(points: Sequence[Point], conditions: str) -> "Figure":
    figure = new_figure(height=4.0)
    left, right = figure.subplots(1, 2)
    _latencies(left)
    panel_title(left, "a", "mean latency")
    _growth(right, points)
    panel_title(right, "b", "price of anarchy")
    frame(figure, TITLE, conditions)
    return figure


def total_latency(share: FloatArray, degree: int) -> FloatArray:
    """Mean latency, s, with this share of the jobs in the lane."""
    return np.asarray((1.0 - share) + share ** (degree + 1))


def _latencies(axes: "Axes") -> None:
    share = np.linspace(0.0, 1.0, 400)
    ends = []
    for degree, color in zip(SHOWN, theme().palette, strict=False):
        axes.plot(share, total_latency(share, degree), color=color)
        best = (degree + 1.0) ** (-1.0 / degree)
        low = float(total_latency(np.array(best), degree))
        axes.plot(best, low, "o", color=color, ms=5)
        axes.annotate(f"d = {degree}", (best, low), xytext=(0, -6), textcoords="offset points",
                      ha="center", va="top", fontsize=8)  # fmt: skip
        ends.append(low)
    axes.plot(1.0, 1.0, "s", color=theme().ink, ms=6, zorder=4)
    axes.annotate("by latency", (1.0, 1.0), xytext=(-6, 5), textcoords="offset points", ha="right",
                  fontsize=8)  # fmt: skip
    axes.set_xlabel("share of the lane")
    axes.set_ylabel("mean latency, s")
    axes.set_ylim(min(ends) - 0.12, 1.12)


def _growth(axes: "Axes", points: Sequence[Point]) -> None:
    degrees = np.geomspace(points[0].degree, points[-1].degree, 200)
    known = 1.0 / (1.0 - degrees * (degrees + 1.0) ** (-(degrees + 1.0) / degrees))
    axes.plot(degrees, known, color=theme().ink, lw=1.0)
    axes.plot(
        [p.degree for p in points], [p.anarchy for p in points], "o", color=theme().palette[1], ms=5
    )
    axes.axhline(1.0, color=theme().palette[0], lw=1.2)
    log_axis(axes, "x", "degree d of the lane's latency")
    log_axis(axes, "y", "latency over the least")
    label_ends(axes, [
        End(points[-1].degree, 1.0, "GMSR", theme().palette[0]),
        End(points[-1].degree, points[-1].anarchy, "by latency", theme().palette[1]),
    ])  # fmt: skip
