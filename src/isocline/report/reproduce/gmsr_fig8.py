"""Figure 8 of the GMSR paper: workloads of the N-model about the equal-gradient curve."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from isocline.report.plots.style import (
    house,
    log_axis,
    new_figure,
)
from isocline.report.plots.theme import theme
from isocline.report.reproduce.fits import FloatArray, batched, exponent
from isocline.report.reproduce.n_model import (
    ERRATUM,
    PRINTED,
    equilibrium,
    erratum_claim,
    scale_colors,
    wrong,
)
from isocline.report.reproduce.page import frame, panel_title
from isocline.report.reproduce.reproduction import Claim, Reproduction
from isocline.report.reproduce.systems import n_model
from isocline.report.words import estimate
from isocline.simulate.common.statistics.intervals import interval
from isocline.simulate.routing.paths import paths

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "workloads about the equal-gradient curve (Figure 8)"
DRAWN = (10.0, 100.0, 1000.0)
SCALES = np.array([10.0, 30.0, 100.0, 300.0, 1000.0])
HORIZON = 50.0  # s
SETTLED = 25.0  # s, after which the common start is forgotten (l' = 0.17 per s)
POINTS = 500
DOTS = 4  # replications in the scatter


def reproduce(quick: bool, seed: int) -> Reproduction:
    """Simulate workloads at several scales; fit their spread along and across the curve."""
    replications = 20 if quick else 500
    states = {
        float(c): paths(
            n_model(), scale=float(c), clock="slotted", departures="bernoulli",
            start=equilibrium(), horizon=HORIZON, points=POINTS, replications=replications,
            seed=seed,
        )
        for c in SCALES
    }  # fmt: skip
    spreads = _spreads({c: found.workloads[:, found.times >= SETTLED]
                        for c, found in states.items()})  # fmt: skip
    dots = {c: states[c].workloads[:DOTS].reshape(-1, 2) for c in DRAWN}
    conditions = (
        "N-model as in Figure 7: slots of 1/c s, Poisson arrivals, Bernoulli departures; from the "
        f"true equilibrium, {HORIZON:g} s. Dots: {POINTS} times in each of {DOTS} replications. "
        f"Spread: root mean square of the distance from it after {SETTLED:g} s along and across "
        f"the equal-gradient curve, {replications} replications, seed {seed}; ±: 95 % Student-t "
        f"intervals over batches of them. {ERRATUM}"
    )
    return Reproduction(
        title=TITLE,
        claims=claims(spreads),
        tables={"": list(_dot_rows(dots)), "spread": list(_spread_rows(spreads))},
        conditions=conditions,
        draw=partial(_draw, dots, spreads, conditions),
    )


def _equal_gradient(levels: FloatArray) -> FloatArray:
    """(n, 2) workloads at which both marginal rates are `levels` (n,)."""
    return np.stack([curve.workload_at(levels) for curve in n_model().curves], axis=-1)


def _spreads(settled: Mapping[float, FloatArray]) -> dict[str, FloatArray]:
    """Root mean square of both components: "along" and "across" to (BATCHES, S)."""
    # For these curves, the equal-gradient curve is a straight line.
    first, last = _equal_gradient(np.array([0.4, 0.1]))
    along = (last - first) / np.hypot(*(last - first))
    across = np.array([-along[1], along[0]])
    return {
        name: np.sqrt(
            [
                batched((((y - equilibrium()) @ direction) ** 2).mean(axis=1))
                for y in settled.values()
            ]
        ).T
        for name, direction in (("along", along), ("across", across))
    }


def claims(spreads: Mapping[str, FloatArray]) -> tuple[Claim, ...]:
    """Compare the spreads along and across, each (batches, scales), with the paper's claims."""
    along, across = (exponent(SCALES, spreads[name]) for name in ("along", "across"))
    ratio = interval(spreads["along"][:, -1] / spreads["across"][:, -1])
    return (
        erratum_claim(),
        Claim(
            "States oscillate around the equal-gradient curve",
            "Figure 8",
            f"at c = {SCALES[-1]:g} the spread along the curve is {estimate(ratio)} times the "
            "spread across it",
            ratio.low > 1.0,
            {"ratio": ratio.value, "low": ratio.low, "high": ratio.high},
        ),
        Claim(
            "The range of oscillation falls as c increases",
            "Figure 8",
            f"along the curve ~ c^a, a = {estimate(along)} (central limit: -1/2); across it "
            f"a = {estimate(across)} (a few jobs of size 1/c: -1)",
            along.high < 0.0 and across.high < 0.0,
            {"along": along.value, "across": across.value},
        ),
    )


def _dot_rows(dots: Mapping[float, FloatArray]) -> Iterable[Mapping[str, Any]]:
    for c, points in dots.items():
        for y1, y2 in points:
            yield {"c": c, "b1": y1, "b2": y2}


def _spread_rows(spreads: Mapping[str, FloatArray]) -> Iterable[Mapping[str, Any]]:
    for direction, values in spreads.items():
        for c, found in zip(SCALES, map(interval, values.T), strict=True):
            yield {"direction": direction, "c": c, "jobs": found.value, "low": found.low,
                   "high": found.high}  # fmt: skip


@house()
def _draw(
    dots: Mapping[float, FloatArray], spreads: Mapping[str, FloatArray], conditions: str
) -> "Figure":
    figure = new_figure(height=5.6)
    grid = figure.add_gridspec(2, 2, width_ratios=[1.75, 1.0])
    colors = scale_colors(len(DRAWN))
    whole, near, spread = (figure.add_subplot(at) for at in (grid[:, 0], grid[0, 1], grid[1, 1]))
    _scatter(whole, dots, colors)
    most = 0.5 * np.ceil(2.0 * max(points.max() for points in dots.values()))
    whole.set_xlim(0.0, most)
    whole.set_ylim(0.0, most)
    panel_title(whole, "a", "states from the equilibrium")
    whole.legend(loc="upper left", markerscale=4, handletextpad=0.2)
    _note(whole, "equilibrium (√2, √2)", equilibrium(), (-52, 12))
    _note(whole, "equal gradients", _equal_gradient(np.array([0.45]))[0], (40, -2))
    whole.plot(*PRINTED, "X", color=wrong(), ms=8, mec=theme().paper, zorder=5)
    _note(whole, "printed (2, 1)", PRINTED, (0, -12))
    finest = {DRAWN[-1]: dots[DRAWN[-1]]}
    _scatter(near, finest, colors[-1:])
    near.set_xlim(equilibrium()[0] - 0.3, equilibrium()[0] + 0.3)
    near.set_ylim(equilibrium()[1] - 0.3, equilibrium()[1] + 0.3)
    panel_title(near, "b", f"c = {DRAWN[-1]:g}, nearer")
    _spread_panel(spread, spreads)
    frame(figure, TITLE, conditions)
    return figure


def _note(axes: "Axes", text: str, at: FloatArray, offset: tuple[float, float]) -> None:
    """Write a note centred at an offset (points) from a state (2,)."""
    axes.annotate(text, (float(at[0]), float(at[1])), xytext=offset, textcoords="offset points",
                  ha="center", va="center", fontsize=8, zorder=4,
                  bbox={"fc": theme().paper, "ec": "none", "alpha": 0.75, "pad": 0.6})  # fmt: skip


def _scatter(axes: "Axes", dots: Mapping[float, FloatArray], colors: Sequence[str]) -> None:
    for (c, points), color in zip(dots.items(), colors, strict=True):
        axes.plot(points[:, 0], points[:, 1], "o", ms=1.9, mew=0, color=color, label=f"c = {c:g}",
                  rasterized=True)  # fmt: skip
    axes.plot(*_equal_gradient(np.geomspace(0.5, 0.01, 200)).T, color=theme().ink, lw=1.1,
              ls=(0, (1, 1.5)), zorder=4)  # fmt: skip
    axes.plot(*equilibrium(), "*", color=theme().paper, mec=theme().ink, mew=1.0, ms=11, zorder=5)
    axes.set_aspect("equal", anchor="N")
    axes.set_xlabel("N1 / c, jobs")
    axes.set_ylabel("N2 / c, jobs")


def _spread_panel(axes: "Axes", spreads: Mapping[str, FloatArray]) -> None:
    panel_title(axes, "c", "RMS distance")
    for (name, values), color in zip(spreads.items(), theme().palette, strict=False):
        found = [interval(column) for column in values.T]
        axes.errorbar(SCALES, [e.value for e in found], [e.half_width for e in found], fmt="o",
                      color=color, capsize=2, elinewidth=1)  # fmt: skip
        power = round(2.0 * exponent(SCALES, values).value) / 2.0
        guide = found[-1].value * (SCALES / SCALES[-1]) ** power
        axes.plot(SCALES, guide, color=color, lw=0.9, ls=(0, (4, 2)))
        axes.annotate(f"{name} ~ $c^{{{power:g}}}$", (SCALES[2], guide[2]), xytext=(5, 5),
                      textcoords="offset points", fontsize=8, parse_math=True)  # fmt: skip
    log_axis(axes, "x", "scale c")
    log_axis(axes, "y", "jobs / c")
    axes.set_xticks(SCALES, [f"{c:g}" for c in SCALES])
