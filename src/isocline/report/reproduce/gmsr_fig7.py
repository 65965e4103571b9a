"""Figure 7 of the GMSR paper: scaled paths of the N-model about their fluid limit (Appendix F)."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

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
    equilibrium,
    erratum_claim,
    mark_levels,
    scale_colors,
)
from isocline.report.reproduce.page import frame
from isocline.report.reproduce.reproduction import Claim, Reproduction
from isocline.report.reproduce.systems import n_model
from isocline.report.words import estimate, number
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.statistics.intervals import interval
from isocline.simulate.routing.paths import paths
from isocline.theory.routing.fluid_path import FluidPath
from isocline.theory.routing.inclusion import fluid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "scaled paths and the fluid limit (Figure 7)"
STARTS = ((0.0, 0.0), (5.0, 0.0), (0.0, 5.0), (5.0, 5.0))
SCALES = np.array([1.0, 10.0, 100.0, 1000.0])
ASYMPTOTIC = SCALES >= 10.0  # at c = 1 the equilibrium holds less than two jobs per backend
HORIZON = 50.0  # s, as printed
SETTLED = 25.0  # s; l' = 0.17 per s at N*, so that a start's effect is down to e^-4
POINTS = 500  # times at which a path is sampled


class Cell(NamedTuple):
    """Statistics of the paths from one start at one scale."""

    times: FloatArray  # (T,)
    path: FloatArray  # (T, 2) first replication
    farthest: FloatArray  # (R,) largest distance of a backend's workload from the fluid's, jobs
    square: FloatArray  # (R,) mean over settled times of |Y - fluid|^2
    excess: FloatArray  # (R, 2) mean over settled times of Y - fluid


def reproduce(quick: bool, seed: int) -> Reproduction:
    """Simulate paths from four starts at four scales, and fit their distance from the fluid."""
    replications = 20 if quick else 500
    tolerance = 1e-3 if quick else 1e-4
    limits = [
        fluid(n_model(), start=start, horizon=HORIZON, step=HORIZON / 100.0, tolerance=tolerance)
        for start in STARTS
    ]
    cells = {
        (i, c): _cell(start, c, limits[i], replications, seed)
        for i, start in enumerate(STARTS)
        for c in SCALES
    }
    sup = np.array([[batched(cells[i, c].farthest) for c in SCALES] for i in range(len(STARTS))])
    rms = np.sqrt([[batched(cells[i, c].square) for c in SCALES] for i in range(len(STARTS))])
    spreads = {
        "fluctuation": rms.mean(axis=0).T,  # (BATCHES, S)
        "distance": sup.mean(axis=0).T,
    }
    conditions = (
        "N-model: l1 = N/(N+1), l2 = N/(N+2), rates 0.4 and 0.6; f1 may use b1, f2 both. Slots of "
        f"1/c s, Poisson arrivals, Bernoulli departures. {replications} replications of "
        f"{HORIZON:g} s for each start and c, seed {seed}; paths: replication 0. Distances at "
        f"{POINTS} times; ±: 95 % Student-t intervals over batches of replications. {ERRATUM}"
    )
    return Reproduction(
        title=TITLE,
        claims=_claims(cells, limits, spreads),
        tables={"": list(_path_rows(cells, limits)), "spread": list(_spread_rows(spreads))},
        conditions=conditions,
        draw=partial(_draw, cells, limits, spreads, conditions),
    )


def _cell(
    start: tuple[float, float], c: float, limit: FluidPath, replications: int, seed: int
) -> Cell:
    found = paths(
        n_model(), scale=c, clock="slotted", departures="bernoulli", start=start,
        horizon=HORIZON, points=POINTS, replications=replications, seed=seed,
    )  # fmt: skip
    y, times = found.workloads, found.times
    n = np.stack([np.interp(times, limit.times, limit.workloads[:, b]) for b in (0, 1)], axis=-1)
    apart = y - n
    settled = apart[:, times >= SETTLED]
    return Cell(
        times,
        y[0],
        np.abs(apart).max(axis=(1, 2)),
        np.sum(settled**2, axis=2).mean(axis=1),
        settled.mean(axis=1),
    )


def _claims(
    cells: Mapping[tuple[int, float], Cell],
    limits: list[FluidPath],
    spreads: Mapping[str, FloatArray],
) -> tuple[Claim, ...]:
    top = float(SCALES[-1])
    left = max(float(np.abs(limit.workloads[-1] - equilibrium()).max()) for limit in limits)
    excess = np.mean([cells[i, top].excess for i in range(len(STARTS))], axis=0)
    centre = [interval(excess[:, b]) for b in (0, 1)]
    # The bias of a slotted path is about one job, which is 1/c.
    near = all(e.low - 1.0 / top <= 0.0 <= e.high + 1.0 / top for e in centre)
    falls, closes = (
        exponent(SCALES[ASYMPTOTIC], spreads[key][:, ASYMPTOTIC])
        for key in ("fluctuation", "distance")
    )
    return (
        erratum_claim(),
        Claim(
            "Workloads approach the equilibrium",
            "Appendix F",
            f"fluid paths from all four starts are within {number(left, 2)} jobs of it at "
            f"{HORIZON:g} s",
            left < 0.01,
            {"distance_at_end": left},
        ),
        Claim(
            "... and oscillate around it",
            "Appendix F",
            f"paths at c = {top:g} less the fluid, mean from {SETTLED:g} s on: "
            f"{estimate(centre[0], signed=True)} and {estimate(centre[1], signed=True)}; one job "
            f"is {1 / top:g}",
            near,
            {"excess": [e.value for e in centre], "half_width": [e.half_width for e in centre]},
        ),
        _power(
            "Fluctuations decrease as c increases",
            f"RMS distance from the fluid after {SETTLED:g} s",
            falls,
        ),
        _power(
            "The fluid model approximates better as c increases",
            "largest distance from the fluid",
            closes,
        ),
    )


def _power(claim: str, what: str, found: Estimate) -> Claim:
    return Claim(
        claim,
        "Appendix F, Thm. 1",
        f"{what} ~ c^a, a = {estimate(found)} (c ≥ 10; central limit: -1/2)",
        found.high < 0.0,
        {"exponent": found.value, "low": found.low, "high": found.high},
    )


def _path_rows(
    cells: Mapping[tuple[int, float], Cell], limits: list[FluidPath]
) -> Iterable[Mapping[str, Any]]:
    for i, start in enumerate(STARTS):
        named = f"{start[0]:g} {start[1]:g}"
        for time, (n1, n2) in zip(limits[i].times, limits[i].workloads, strict=True):
            yield {"start": named, "c": "fluid", "time": time, "b1": n1, "b2": n2}
        for c in SCALES:
            cell = cells[i, c]
            for time, (y1, y2) in zip(cell.times, cell.path, strict=True):
                yield {"start": named, "c": f"{c:g}", "time": time, "b1": y1, "b2": y2}


def _spread_rows(spreads: Mapping[str, FloatArray]) -> Iterable[Mapping[str, Any]]:
    for what, values in spreads.items():
        for c, found in zip(SCALES, map(interval, values.T), strict=True):
            yield {"what": what, "c": c, "jobs": found.value, "low": found.low, "high": found.high}


@house()
def _draw(
    cells: Mapping[tuple[int, float], Cell],
    limits: list[FluidPath],
    spreads: Mapping[str, FloatArray],
    conditions: str,
) -> "Figure":
    figure = new_figure(height=9.0)
    frame(figure, TITLE, conditions)
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=[4.1, 1.25])
    upper, lower = parts[:, 0]
    grid = upper.subplots(len(STARTS), 2, sharex=True, sharey="row")
    colors = scale_colors(len(SCALES))
    for i, start in enumerate(STARTS):
        for b, axes in enumerate(grid[i]):
            for c, color in zip(SCALES, colors, strict=True):
                cell = cells[i, c]
                # The finest path is thicker, as the fluid would hide it otherwise.
                width = 2.2 if c == SCALES[-1] else 0.8
                axes.plot(cell.times, cell.path[:, b], color=color, lw=width, label=f"c = {c:g}")
            axes.plot(
                limits[i].times, limits[i].workloads[:, b], color=theme().ink, lw=1.0, label="fluid"
            )
            mark_levels(axes, HORIZON, b)
            axes.set_title(f"N{b + 1} from ({start[0]:g}, {start[1]:g})", fontsize=8.5)
            axes.set_xlim(0.0, HORIZON)
        grid[i][0].set_ylim(bottom=0.0)
        grid[i][0].set_ylabel("jobs / c")
    for axes in grid[-1]:
        axes.set_xlabel("time, s")
    handles, names = grid[0][0].get_legend_handles_labels()
    upper.legend(handles, names, loc="outside upper center", ncols=len(names))
    _draw_spreads(lower.subplots(1, 2), spreads)
    return figure


def _draw_spreads(panels: Iterable["Axes"], spreads: Mapping[str, FloatArray]) -> None:
    titles = (f"RMS distance from the fluid after {SETTLED:g} s", "largest distance from the fluid")
    for axes, title, values in zip(panels, titles, spreads.values(), strict=True):
        found = [interval(column) for column in values.T]
        middle = np.array([e.value for e in found])
        axes.errorbar(SCALES, middle, [e.half_width for e in found], fmt="o", capsize=2,
                      color=theme().palette[0], elinewidth=1)  # fmt: skip
        fitted = exponent(SCALES[ASYMPTOTIC], values[:, ASYMPTOTIC])
        last = SCALES[-1]
        axes.plot(
            SCALES, middle[-1] * (SCALES / last) ** -0.5, color=theme().ink, lw=0.8, ls=(0, (4, 2))
        )
        between = np.sqrt(SCALES[1] * SCALES[2])
        axes.annotate(r"$c^{-1/2}$", (between, middle[-1] * (between / last) ** -0.5), ha="right",
                      xytext=(-4, -9), textcoords="offset points", fontsize=8,
                      parse_math=True)  # fmt: skip
        axes.annotate(f"fitted exponent {estimate(fitted)}", (0.97, 0.92), ha="right", va="top",
                      xycoords="axes fraction", fontsize=8)  # fmt: skip
        log_axis(axes, "x", "scale c")
        log_axis(axes, "y", "jobs / c")
        axes.set_title(title, fontsize=8.5)
