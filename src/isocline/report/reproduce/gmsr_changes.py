"""GMSR follows an optimum that moves (GMSR paper, Section 1.1: robust to perturbations)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, final

import numpy as np

from isocline.model.fleet import RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals
from isocline.report.plots.style import (
    house,
    log_axis,
    new_figure,
)
from isocline.report.plots.theme import theme
from isocline.report.reproduce.fits import FloatArray, line
from isocline.report.reproduce.page import frame, panel_title
from isocline.report.reproduce.reproduction import Claim, Reproduction
from isocline.report.reproduce.systems import mixed_fleet
from isocline.report.words import number
from isocline.theory.routing.equilibrium import fluid_optimum
from isocline.theory.routing.fluid_path import FluidPath
from isocline.theory.routing.inclusion import fluid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "GMSR follows an optimum that moves (Section 1.1)"
TAMPERED = 60.0  # s for which the adversary acts
PERIOD = 240.0  # s, length of each other period
OVERLOAD = 1.6  # factor on the arrivals, at load 0.70: more than can be served
SLOWER = 1.5  # times as slow
CHASED = 0.01  # share of the displaced jobs below which a change counts as followed


class Period(NamedTuple):
    """Period of constant parameters."""

    start: float  # s
    end: float
    name: str
    system: RoutingSystem
    optimum: FloatArray | None  # (B,) jobs; None if there is none


@final
@dataclass(frozen=True, eq=False)
class Study:
    """Trajectory of the fluid through all periods."""

    periods: tuple[Period, ...]
    path: FluidPath

    def distance(self, period: Period) -> tuple[FloatArray, FloatArray]:
        """Times in a period, and the distance from its optimum then: sum |N - N*|."""
        assert period.optimum is not None
        inside = (self.path.times >= period.start) & (self.path.times <= period.end)
        # Each time of change is contained twice, with equal workloads.
        gaps = np.abs(self.path.workloads[inside] - period.optimum).sum(axis=1)
        return self.path.times[inside], gaps


def reproduce(quick: bool, seed: int) -> Reproduction:  # noqa: ARG001 - nothing random
    """Run an overload, followed by changed arrivals, graph and speed."""
    study = _study(step=8.0 if quick else 2.0)
    conditions = (
        "Mixed fleet (examples/mixed_fleet.yaml, load 0.70), the fluid of Eq. (3), from the "
        f"optimum. Tampered with: {OVERLOAD:g} times the arrivals for {TAMPERED:g} s, more "
        "than can be served. Arrivals: chat 60 to 70 jobs/s, code 57 to 52. Graph: office may also "
        "use h100-1, code no longer rtx4090-1 and rtx4090-2. Speed: h100-1 takes "
        f"{SLOWER:g} times as long. Each stays until the end. Distance: sum over backends of "
        "|N_b - N*_b|, N* the optimum of Eq. (1) with the parameters of the moment."
    )
    return Reproduction(
        title=TITLE,
        claims=_claims(study),
        tables={"": list(_rows(study))},
        conditions=conditions,
        draw=partial(_draw, study, conditions),
    )


def _study(step: float) -> Study:
    usual = mixed_fleet()
    arrivals = _with_rates(usual, {"chat": 70.0, "code": 52.0})
    graph = _with_graph(arrivals)
    speed = _slower(graph, "h100-1", SLOWER)
    systems = {
        "tampered with": _with_rates(
            usual, {f.name: OVERLOAD * f.arrivals.rate for f in usual.frontends}
        ),
        "left alone": usual,
        "arrivals": arrivals,
        "graph": graph,
        "speed": speed,
    }
    ends = TAMPERED + PERIOD * np.arange(len(systems))
    starts = np.concatenate(([0.0], ends[:-1]))
    periods = tuple(
        Period(float(start), float(end), name, system, None if i == 0 else _optimum(system))
        for i, (start, end, (name, system)) in enumerate(
            zip(starts, ends, systems.items(), strict=True)
        )
    )
    path = fluid(
        periods[0].system,
        start=_optimum(usual),
        horizon=float(ends[-1]),
        step=step,
        changes=[(period.start, period.system) for period in periods[1:]],
    )
    return Study(periods, path)


def _optimum(system: RoutingSystem) -> FloatArray:
    return fluid_optimum(system).workloads


def _with_rates(system: RoutingSystem, rates: Mapping[str, float]) -> RoutingSystem:
    frontends = tuple(
        replace(f, arrivals=PoissonArrivals(rates.get(f.name, f.arrivals.rate)))
        for f in system.frontends
    )
    return replace(system, frontends=frontends)


def _with_graph(system: RoutingSystem) -> RoutingSystem:
    """Office gains h100-1; code loses two of the RTX 4090."""
    number_of = {backend.name: b for b, backend in enumerate(system.backends)}
    neighbours = []
    for f, frontend in enumerate(system.frontends):
        found = set(system.graph.neighbours(f).tolist())
        if frontend.name == "office":
            found |= {number_of["h100-1"]}
        if frontend.name == "code":
            found -= {number_of["rtx4090-1"], number_of["rtx4090-2"]}
        neighbours.append(sorted(found))
    graph = CompatibilityGraph.from_neighbours(len(system.backends), neighbours)
    return replace(system, graph=graph)


def _slower(system: RoutingSystem, name: str, factor: float) -> RoutingSystem:
    backends = tuple(
        replace(b, curve=b.curve.scaled(1.0 / factor)) if b.name == name else b
        for b in system.backends
    )
    return replace(system, backends=backends)


def _claims(study: Study) -> tuple[Claim, ...]:
    alone, *changes = study.periods[1:]
    left = {period.name: _left(study, period) for period in study.periods[1:]}
    falls = {period.name: _fall(study, period) for period in changes}
    words = {"arrivals": "arrival rates", "graph": "bipartite graph", "speed": "service rates"}
    return (
        Claim(
            "Optimal after an adversary has tampered with the parameters for a finite time",
            "Section 1.1",
            f"of {number(study.distance(alone)[1][0])} jobs at the wrong place after the overload "
            f"{number(100 * left[alone.name], 2)} % are left {PERIOD:g} s later",
            left[alone.name] <= CHASED,
            {"left": left[alone.name]},
        ),
        *(
            Claim(
                f"The fluid chases the new optimum after a change of {words[period.name]}",
                "Section 1.1",
                f"the change displaces the optimum by {number(study.distance(period)[1][0])} jobs; "
                f"{number(100 * left[period.name], 2)} % of that are left after {PERIOD:g} s, and "
                f"the distance halves every {number(np.log(2.0) / falls[period.name], 2)} s",
                left[period.name] <= CHASED and falls[period.name] > 0.0,
                {"left": left[period.name], "rate": falls[period.name]},
            )
            for period in changes
        ),
    )


def _left(study: Study, period: Period) -> float:
    """Share of the jobs displaced at the beginning that is still displaced at the end."""
    _, gaps = study.distance(period)
    return float(gaps[-1] / gaps[0])


def _fall(study: Study, period: Period) -> float:
    """Rate, per s, at which the distance falls once half of the displaced jobs are back."""
    times, gaps = study.distance(period)
    fitted = (gaps <= 0.5 * gaps[0]) & (gaps >= 1e-4 * gaps[0])
    return -line(times[fitted], np.log(gaps[fitted])).slope


def _rows(study: Study) -> Iterable[Mapping[str, Any]]:
    for period in study.periods[1:]:
        assert period.optimum is not None
        times, gaps = study.distance(period)
        for time, gap in zip(times.tolist(), gaps.tolist(), strict=True):
            yield {
                "period": period.name,
                "time": time,
                "distance": gap,
                "optimum": float(period.optimum.sum()),
            }


@house()
def _draw(study: Study, conditions: str) -> "Figure":
    figure = new_figure(height=5.2)
    above, below = figure.subplots(2, 1, sharex=True)
    _jobs(above, study)
    panel_title(above, "a", "jobs in the system")
    _distances(below, study.periods[1:], study)
    panel_title(below, "b", "jobs at the wrong place")
    below.set_xlabel("time, s")
    frame(figure, TITLE, conditions)
    return figure


def _jobs(axes: "Axes", study: Study) -> None:
    axes.plot(
        study.path.times, study.path.total_jobs, color=theme().palette[0], label="GMSR, fluid"
    )
    for period in study.periods:
        axes.axvline(period.start, color=theme().faint, lw=0.8)
        axes.annotate(period.name, (period.start, 1.0), xycoords=("data", "axes fraction"),
                      xytext=(3, -3), textcoords="offset points", va="top", fontsize=8,
                      rotation=90 if period.optimum is None else 0)  # fmt: skip
        if period.optimum is not None:
            label = "optimum" if period.name == "speed" else ""
            axes.hlines(period.optimum.sum(), period.start, period.end, color=theme().ink, lw=1.0,
                        ls=(0, (4, 2)), label=label)  # fmt: skip
    axes.set_ylim(0.0, 1.25 * float(study.path.total_jobs.max()))
    axes.set_ylabel("jobs")
    axes.legend(loc="center right")


def _distances(axes: "Axes", periods: Sequence[Period], study: Study) -> None:
    for period in periods:
        times, gaps = study.distance(period)
        axes.plot(times, gaps, color=theme().palette[0])
        axes.axvline(period.start, color=theme().faint, lw=0.8)
    log_axis(axes, "y", "distance, jobs")
