"""GMSR on learned curves (GMSR paper, Section 7: what if service curves are not known?).

Mean latency beside that of GMSR that knows the curves, from the first job on, and through a silent
slowdown; and learned curves beside the true ones.
"""

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
from isocline.report.reproduce.page import frame, panel_title
from isocline.report.reproduce.reproduction import Claim, Reproduction
from isocline.report.reproduce.systems import mixed_fleet
from isocline.report.words import estimate, number
from studies.learning_runs import (
    AFTER,
    COMPLETIONS,
    LOAD,
    RECOVERED,
    SHOWN,
    SLOWED,
    SLOWED_LOAD,
    Cost,
    Learnt,
    Slowing,
    cost_of,
    curves_of,
    slowing_of,
    small_and_large,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "GMSR that learns the service curves"
WITHIN = 1.10  # what learning may cost after 200 completions of every backend


def reproduce(quick: bool, seed: int) -> Reproduction:
    """Learning from the first job, and through a slowdown."""
    few, many = (4, 12) if quick else (20, 100)
    costs = [cost_of(mixed_fleet(), few, seed), cost_of(small_and_large(), many, seed)]
    slowing = slowing_of(many, seed)
    curves = curves_of(seed)
    conditions = (
        f"Mixed fleet (examples/mixed_fleet.yaml), and two small and two large machines (knee "
        f"curves, peak 120 and 200 jobs/s, knee 4 and 32 jobs, sharpness 4); load {LOAD:g} in a, "
        f"{SLOWED_LOAD:g} in b. Poisson arrivals, exponential sizes, the same for all policies; "
        f"{few} (mixed fleet) and {many} replications from empty; seed {seed}. Learning with "
        "default options; all frontends share one learner. ±: 95 % Student-t intervals."
    )
    return Reproduction(
        title=TITLE,
        claims=_claims(costs, slowing),
        tables={
            "": list(_cost_rows(costs)),
            "slowdown": list(_slowing_rows(slowing)),
            "curves": list(_curve_rows(curves)),
        },
        conditions=conditions,
        draw=partial(_draw, costs, slowing, curves, conditions),
    )


def _claims(costs: Sequence[Cost], slowing: Slowing) -> tuple[Claim, ...]:
    after = slowing.recovered
    learned, unaware = after["learned"], after["believes the old curve"]
    return (
        *(
            Claim(
                "After 200 completions per backend, learning costs less than 10 %",
                "ours, on Section 7",
                f"{cost.fleet}: mean latency {estimate(cost.overall)} times that of GMSR that "
                f"knows the curves, {estimate(cost.ratio[AFTER])} in the window up to "
                f"{COMPLETIONS[AFTER + 1]:g} completions",
                cost.overall.high < WITHIN,
                {"ratio": cost.overall.value, "windows": [one.value for one in cost.ratio]},
            )
            for cost in costs
        ),
        Claim(
            "A backend that silently becomes twice as slow is learned anew",
            "ours, on Section 7",
            f"{number(RECOVERED, 2)} s later and on: {estimate(learned)} times the mean latency of "
            f"GMSR that was told; {estimate(unaware)} with the old curve",
            learned.high < unaware.low and learned.high < WITHIN,
            {"learned": learned.value, "old_curve": unaware.value},
        ),
    )


def _cost_rows(costs: Sequence[Cost]) -> Iterable[Mapping[str, Any]]:
    for cost in costs:
        for i, one in enumerate(cost.ratio):
            yield {
                "fleet": cost.fleet,
                "completions_from": COMPLETIONS[i],
                "completions_to": COMPLETIONS[i + 1],
                "ratio": one.value,
                "low": one.low,
                "high": one.high,
                "jsq": cost.jsq,
                "bound": cost.bound,
            }


def _slowing_rows(slowing: Slowing) -> Iterable[Mapping[str, Any]]:
    for i, time in enumerate(slowing.since):
        yield {"since": time} | {name: row[i] for name, row in slowing.latency.items()}


def _curve_rows(curves: Mapping[str, Learnt]) -> Iterable[Mapping[str, Any]]:
    for kind, one in curves.items():
        for n in np.linspace(0.0, 2.0 * one.at, 41):
            rates = zip(SHOWN, (float(c.rate(n)) for c in one.learned), strict=True)
            learned = {f"after_{completions}": rate for completions, rate in rates}
            yield {"backend": kind, "workload": n, "true": float(one.true.rate(n))} | learned


@house()
def _draw(
    costs: Sequence[Cost], slowing: Slowing, curves: Mapping[str, Learnt], conditions: str
) -> "Figure":
    figure = new_figure(height=6.9)
    panels = figure.subplot_mosaic("aaabbb;ccddee", height_ratios=[1.3, 1.0])
    _draw_costs(panels["a"], costs)
    _draw_slowing(panels["b"], slowing)
    for letter, (kind, shown) in zip("cde", curves.items(), strict=True):
        _draw_curves(panels[letter], shown)
        panel_title(panels[letter], letter, f"learned curve, {kind}")
    panels["c"].set_ylabel("rate l(N), jobs/s")
    panels["c"].legend(title="after completions", loc="lower right", title_fontsize=8)
    frame(figure, TITLE, conditions)
    return figure


def _draw_costs(axes: "Axes", costs: Sequence[Cost]) -> None:
    middle = np.sqrt(np.maximum(COMPLETIONS[:-1], COMPLETIONS[1] / 2.0) * COMPLETIONS[1:])
    for cost, color in zip(costs, theme().palette, strict=False):
        value = [one.value for one in cost.ratio]
        axes.errorbar(middle, value, [one.half_width for one in cost.ratio], color=color,
                      marker="o", capsize=2, lw=1.2, elinewidth=1,
                      label=f"{cost.fleet} (jsq: {number(cost.jsq, 3)})")  # fmt: skip
        axes.axhline(cost.bound, color=color, lw=1.0, ls=":")
    axes.axhline(1.0, color=theme().ink, lw=1.0, ls=(0, (4, 2)))
    axes.plot(COMPLETIONS[[AFTER, -1]], [WITHIN, WITHIN], color=theme().ink, lw=0.8)
    axes.annotate("within 10 %", (COMPLETIONS[-1], WITHIN), xytext=(0, 3), fontsize=8,
                  ha="right", textcoords="offset points")  # fmt: skip
    for height, text, va in (
        (1.0, "knows the curves", "bottom"),
        (costs[-1].bound, "bounds", "top"),
    ):
        axes.annotate(text, (middle[0], height), xytext=(0, 2 if va == "bottom" else -2),
                      textcoords="offset points", fontsize=8, va=va)  # fmt: skip
    axes.set_ylim(bottom=min(cost.bound for cost in costs) - 0.03)
    log_axis(axes, "x", "completions of the least\nused backend")
    axes.set_ylabel("mean latency over GMSR that knows")
    axes.legend(loc="upper right")
    panel_title(axes, "a", "learning from nothing")


def _draw_slowing(axes: "Axes", slowing: Slowing) -> None:
    shown = slowing.since > -RECOVERED
    since = slowing.since[shown]
    colors = {
        "believes the old curve": theme().palette[1],
        "learned": theme().palette[0],
        "told": theme().ink,
    }
    for name, color in colors.items():
        values = 1e3 * slowing.latency[name][shown]
        axes.plot(since, values, color=color, lw=1.2, ls=(0, (4, 2)) if name == "told" else "-",
                  label=name)  # fmt: skip
    spans = ((since[0], 0.0), (0.0, since[-1]))
    for bound, span, name in zip(slowing.bounds, spans, ("bound", ""), strict=True):
        axes.plot(span, (1e3 * bound, 1e3 * bound), color=theme().ink, lw=1.0, ls=":", label=name)
    axes.axvline(0.0, ymax=0.7, color=theme().ink, lw=0.8, ls=":")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.3 * (high - low))  # room for the legend
    axes.set_xlabel(f"time since {SLOWED} became\ntwice as slow, s")
    axes.set_ylabel("mean latency, ms")
    axes.legend(loc="upper left")
    panel_title(axes, "b", "a silent slowdown (small and large)")


def _draw_curves(axes: "Axes", shown: Learnt) -> None:
    n = np.linspace(0.0, 2.0 * shown.at, 200)
    for completions, curve, color in zip(SHOWN, shown.learned, theme().palette, strict=False):
        axes.plot(n, curve.rate(n), color=color, lw=1.2, label=f"{completions}")
    axes.plot(n, shown.true.rate(n), color=theme().ink, lw=1.0, ls=(0, (4, 2)), label="true")
    axes.axvline(shown.at, color=theme().ink, lw=0.8, ls=":")
    axes.set_ylim(0.0, 1.2 * float(shown.true.rate(2.0 * shown.at)))
    axes.set_xlabel("jobs N")
