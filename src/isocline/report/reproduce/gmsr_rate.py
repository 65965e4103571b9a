"""Theorem 3 of the GMSR paper: from delta too many jobs to epsilon in O(delta + log 1/epsilon)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, final

import numpy as np

from isocline.report.plots.end_labels import End, label_ends
from isocline.report.plots.style import (
    house,
    log_axis,
    new_figure,
)
from isocline.report.plots.theme import theme
from isocline.report.reproduce.fits import FloatArray, Line, line
from isocline.report.reproduce.page import frame, panel_title
from isocline.report.reproduce.reproduction import Claim, Reproduction
from isocline.report.reproduce.systems import mixed_fleet
from isocline.report.words import number
from isocline.theory.routing.convergence import Convergence, convergence
from isocline.theory.routing.convergence_phases import time_to
from isocline.theory.routing.equilibrium import fluid_optimum
from isocline.theory.routing.fluid_path import FluidPath
from isocline.theory.routing.inclusion import fluid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "time to the optimum, in two phases (Theorem 3)"
DELTAS = np.array([500.0, 2000.0, 5000.0, 10_000.0, 15_000.0, 20_000.0])  # jobs
QUICK_DELTAS = DELTAS[[0, 2, 3, 5]]
SHOWN = 5000.0  # the delta whose phases are drawn
EPSILONS = np.array([10.0, 1.0, 0.1, 0.01, 0.001])  # jobs
STRAIGHT = 0.99  # R^2 from which on measurements count as a line
SLACK = 1.001  # tolerance of inequalities, for the steps of the fluid


@final
@dataclass(frozen=True, eq=False)
class Study:
    """Trajectories of the fluid from each delta, and their times to each epsilon."""

    deltas: FloatArray  # (D,) jobs
    constants: Convergence
    drain: float  # jobs/s by which the capacity exceeds the arrivals
    paths: tuple[FluidPath, ...]  # one for each delta
    times: FloatArray  # (D, E) s

    @property
    def by_delta(self) -> list[Line]:
        """Time over delta, for each epsilon."""
        return [line(self.deltas, column) for column in self.times.T]

    @property
    def by_epsilon(self) -> list[Line]:
        """Time over log 1/epsilon, for each delta."""
        return [line(-np.log(EPSILONS), row) for row in self.times]


def reproduce(quick: bool, seed: int) -> Reproduction:  # noqa: ARG001 - nothing random
    """Follow the fluid from bursts of several sizes."""
    study = _study(QUICK_DELTAS, points=120) if quick else _study(DELTAS, points=500)
    k = study.constants
    conditions = (
        "Mixed fleet (examples/mixed_fleet.yaml: 10 machines of 3 kinds, 3 frontends, load 0.70). "
        "Fluid paths from the optimum plus δ jobs, spread in proportion to capacity. Drawn "
        f"is κ = {number(k.kappa)} /s of Lemma 13's proof; the largest that works is "
        f"{number(k.kappa_largest)} /s. All backends at capacity would drain "
        f"{number(study.drain)} jobs/s; after the kink in a the H100s are at the optimum, and only "
        "the others, with less to spare, drain."
    )
    return Reproduction(
        title=TITLE,
        claims=_claims(study),
        tables={"": list(_time_rows(study)), "paths": list(_path_rows(study))},
        conditions=conditions,
        draw=partial(_draw, study, conditions),
    )


def _study(deltas: FloatArray, points: int) -> Study:
    system = mixed_fleet()
    optimum, constants = fluid_optimum(system), convergence(system)
    drain = float(system.capacities.sum() - system.rates.sum())
    # Long enough for a drain at half that rate, followed by 20 e-folds.
    horizons = deltas / (0.5 * drain) + 20.0 / constants.kappa_largest
    shares = system.capacities / system.capacities.sum()
    found = tuple(
        fluid(system, start=optimum.workloads + delta * shares, horizon=t, step=t / points)
        for delta, t in zip(deltas, horizons.tolist(), strict=True)
    )
    times = [time_to(path, EPSILONS) for path in found]
    return Study(deltas, constants, drain, found, np.array(times))


def _claims(study: Study) -> tuple[Claim, ...]:
    k = study.constants
    deltas, epsilons = study.by_delta, study.by_epsilon
    worst_d, worst_e = (min(fit.r_squared for fit in fits) for fits in (deltas, epsilons))
    return (
        Claim(
            "The time to ε grows linearly with δ",
            "Theorem 3",
            f"R² ≥ {number(worst_d, 5)} at every ε; a second for each "
            f"{number(1 / deltas[-1].slope)} jobs of δ",
            worst_d >= STRAIGHT,
            {"r_squared": worst_d, "jobs_per_second": 1 / deltas[-1].slope},
        ),
        Claim(
            "... and linearly with log 1/ε",
            "Theorem 3",
            f"R² ≥ {number(worst_e, 5)} at every δ; the gap falls at rate "
            f"{number(1 / epsilons[-1].slope)} /s in the end (κ: {number(k.kappa_largest)})",
            worst_e >= STRAIGHT,
            {"r_squared": worst_e, "rate": 1 / epsilons[-1].slope},
        ),
        _in_k(study),
        _bounded(study),
    )


def _in_k(study: Study) -> Claim:
    entries, stays = zip(*(_entry(study.constants, path) for path in study.paths), strict=True)
    return Claim(
        "Every path comes into the set K in finite time and stays in it",
        "Props. 1 and 4",
        f"entered after {number(min(entries), 3)} to {number(max(entries), 3)} s, "
        f"{'never left' if all(stays) else 'left again'}",
        all(stays) and bool(np.isfinite(entries).all()),
        {"entered": list(entries)},
    )


def _entry(constants: Convergence, path: FluidPath) -> tuple[float, bool]:
    """Time at which a path enters K, s, and whether it then stays there."""
    inside = constants.contains(path.workloads)
    first = int(np.argmax(inside))
    return float(path.times[first]) if inside.any() else np.inf, bool(inside[first:].all())


def _bounded(study: Study) -> Claim:
    """Check Propositions 2 and 3 along all paths, from their entry into K."""
    k = study.constants
    of_gap, of_decay = 0.0, 0.0
    for path in study.paths:
        inside = k.contains(path.workloads) & (path.lyapunov > 1e-9)
        t, v, gap = path.times[inside], path.lyapunov[inside], k.gap(path.workloads)[inside]
        of_gap = max(of_gap, float(np.max(gap * k.kappa / v)))
        of_decay = max(of_decay, float(np.max(v / (v[0] * np.exp(-k.kappa * (t - t[0]))))))
    return Claim(
        "In K, |ΣN - ΣN*| ≤ V/κ, and V falls exponentially",
        "Props. 2 and 3",
        f"the gap is at most {number(of_gap, 3)} times V/κ along all paths, and from entry on V "
        f"{'keeps below' if of_decay <= SLACK else 'exceeds'} its value there times e^-κt",
        of_gap <= SLACK and of_decay <= SLACK,
        {"gap_over_bound": of_gap, "v_over_exponential": of_decay},
    )


def _time_rows(study: Study) -> Iterable[Mapping[str, Any]]:
    for delta, row in zip(study.deltas, study.times, strict=True):
        for epsilon, time in zip(EPSILONS, row, strict=True):
            yield {"delta": delta, "epsilon": epsilon, "time": time}


def _path_rows(study: Study) -> Iterable[Mapping[str, Any]]:
    for delta, path in zip(study.deltas, study.paths, strict=True):
        gap, inside = study.constants.gap(path.workloads), study.constants.contains(path.workloads)
        for row in zip(path.times, gap, path.lyapunov, inside, strict=True):
            yield {"delta": delta} | dict(
                zip(("time", "gap", "lyapunov", "in_K"), row, strict=True)
            )


@house()
def _draw(study: Study, conditions: str) -> "Figure":
    figure = new_figure(height=6.4)
    (gaps, phases), (over_delta, over_epsilon) = figure.subplots(2, 2)
    _draw_gaps(gaps, study)
    phase_ends = _draw_phases(phases, study)
    _draw_times(over_delta, study.deltas, study.times.T, study.by_delta)
    over_delta.set_xlabel("δ, jobs")
    over_delta.locator_params(axis="x", nbins=3)
    over_delta.xaxis.set_major_formatter("{x:,.0f}")
    panel_title(over_delta, "c", "time to ε is linear in δ")
    logs = -np.log(EPSILONS)
    _draw_times(over_epsilon, logs, study.times, study.by_epsilon)
    over_epsilon.set_xlabel("ε, jobs")
    over_epsilon.set_xticks(logs, [f"{e:g}" for e in EPSILONS])
    panel_title(over_epsilon, "d", "... and in log 1/ε")
    frame(figure, TITLE, conditions)
    label_ends(phases, phase_ends)
    _name(over_delta, float(study.deltas[-1]), study.times[-1], [f"ε = {e:g}" for e in EPSILONS])
    names = [f"δ = {delta:,.0f}" for delta in study.deltas]
    _name(over_epsilon, float(logs[-1]), study.times[:, -1], names)
    return figure


def _name(axes: "Axes", x: float, heights: FloatArray, names: Sequence[str]) -> None:
    ends = zip(heights.tolist(), names, theme().palette, strict=False)
    label_ends(axes, [End(x, y, name, color) for y, name, color in ends])


def _draw_gaps(axes: "Axes", study: Study) -> None:
    for delta, path, color in zip(study.deltas, study.paths, theme().palette, strict=False):
        gap = study.constants.gap(path.workloads)
        axes.plot(path.times, gap, color=color, lw=1.3, label=f"δ = {delta:,.0f}")
    axes.set_ylim(0.0, 1.05 * study.deltas[-1])
    axes.set_xlim(0.0, float(study.times[:, 0].max()))
    axes.legend(loc="upper right", reverse=True)
    axes.set_xlabel("time, s")
    axes.set_ylabel("ΣN - ΣN*, jobs")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    panel_title(axes, "a", "first it falls linearly")


def _draw_phases(axes: "Axes", study: Study) -> list[End]:
    """Draw V, the gap, and the bound V/kappa within K, of one path; returns the lines' ends."""
    k, i = study.constants, study.deltas.tolist().index(SHOWN)
    path = study.paths[i]
    entered, _ = _entry(k, path)
    end = float(study.times[i].max())
    shown = path.times <= end
    inside = shown & k.contains(path.workloads)
    ink = theme().ink
    drawn = (
        ("V/κ, jobs", path.lyapunov / k.kappa, inside, ink, (0, (4, 2))),
        ("ΣN - ΣN*", k.gap(path.workloads), shown, theme().palette[i], "-"),
        ("V, jobs/s", path.lyapunov, shown, ink, "-"),
    )
    for _, values, at, color, dashes in drawn:
        axes.plot(path.times[at], values[at], color=color, lw=1.2, ls=dashes)
    axes.axvspan(0.0, entered, color=theme().shade, lw=0, zorder=0)
    for x, text in ((0.5 * entered, "outside K"), (0.5 * (entered + end), "in K")):
        axes.annotate(text, (x, 0.97), xycoords=("data", "axes fraction"), ha="center", va="top",
                      fontsize=8)  # fmt: skip
    axes.set_ylim(EPSILONS[-1] / 10.0, 10.0 * SHOWN)
    log_axis(axes, "y", "jobs; jobs/s")
    axes.set_xlim(0.0, end)
    axes.set_xlabel("time, s")
    panel_title(axes, "b", f"then exponentially (δ = {SHOWN:,.0f})")
    return [End(end, float(values[at][-1]), name, color) for name, values, at, color, _ in drawn]


def _draw_times(axes: "Axes", x: FloatArray, rows: FloatArray, fits: Sequence[Line]) -> None:
    for times, fit, color in zip(rows, fits, theme().palette, strict=False):
        axes.plot(x, fit.intercept + fit.slope * x, color=color, lw=1.0)
        axes.plot(x, times, "o", color=color, ms=4)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("time to ε, s")
