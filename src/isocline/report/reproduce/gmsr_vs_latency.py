"""All policies against load on the mixed fleet, beside the bound (GMSR paper, Lemma 1, App. A)."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from isocline.errors import RunTooShortError
from isocline.model.fleet import RoutingSystem
from isocline.policies.routing import ALL, RIVALS
from isocline.report.conditions import conditions as conditions_of
from isocline.report.plots.end_labels import End, label_ends
from isocline.report.plots.style import (
    BOUND,
    house,
    log_axis,
    looks_of,
    new_figure,
    value_axis,
)
from isocline.report.plots.theme import theme
from isocline.report.reproduce.fits import FloatArray
from isocline.report.reproduce.page import frame, panel_title
from isocline.report.reproduce.reproduction import Claim, Reproduction
from isocline.report.reproduce.systems import mixed_fleet
from isocline.report.words import estimate, listed, number
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.routing.compare import simulate
from isocline.simulate.routing.results import Comparison
from isocline.simulate.routing.scenario import scenario
from isocline.theory.routing.latency_routing import price_of_anarchy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "all policies against load, beside the bound"
LOADS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.925, 0.95)
JOBS, QUICK_JOBS = 5e5, 1.5e5  # in a replication
QUICK_LOADS = (0.4, 0.7, 0.9)
CLOSE = 1.1  # ratio to the bound up to which a policy counts as close to it
LEAST = 0.2  # lower limit of the lower panel, per cent above the bound
GMSR, BY_LATENCY = "gmsr", "least_expected_latency"


class Series(NamedTuple):
    """Results of one policy at the loads at which it has a steady state."""

    policy: str
    loads: FloatArray
    latency: list[Estimate]  # s
    ratio: list[Estimate]  # mean jobs over the bound
    behind: list[Estimate | None]  # mean latency minus that of GMSR, paired, s
    rows: list[dict[str, Any]]


def reproduce(quick: bool, seed: int) -> Reproduction:
    """Compare every policy that never holds jobs, with default options, with GMSR.

    Rules of other routers, whose options must be searched, are in `arena`.
    """
    loads = QUICK_LOADS if quick else LOADS
    made = [system_at(load) for load in loads]
    options = {"replications": 4 if quick else 10, "percentiles": False, "seed": seed}
    jobs = QUICK_JOBS if quick else JOBS
    alone = [_compare(system, (GMSR,), jobs, options) for system in made]
    rivals = [
        name
        for name, policy in ALL.items()
        if name != GMSR and name not in RIVALS and not policy.may_hold
    ]
    pairs = {name: _against(name, made, jobs, options) for name in rivals}
    series = _series(alone, pairs)
    anarchy = np.array([price_of_anarchy(system) for system in made])
    never = [name for name, found in pairs.items() if not found]
    conditions = (
        "Mixed fleet (examples/mixed_fleet.yaml): 10 machines of 3 kinds, 3 frontends; policies "
        f"with their default options. {conditions_of(*alone)} Latency equilibrium: where the fluid "
        "of routing by expected latency comes to rest. A policy is not tried beyond the first load "
        "at which no steady state was seen"
        f"{f'; at the lowest, none was of {listed(never, 12)}' if never else ''}."
    )
    return Reproduction(
        title=TITLE,
        claims=_claims(series, anarchy),
        tables={
            "": [row for one in series for row in one.rows],
            "equilibrium": [
                {"load": load, "price_of_anarchy": ratio}
                for load, ratio in zip(loads, anarchy.tolist(), strict=True)
            ],
        },
        conditions=conditions,
        draw=partial(_draw, series, alone, anarchy, conditions),
    )


def system_at(load: float) -> RoutingSystem:
    """Mixed fleet at a load."""
    return scenario(mixed_fleet(), load=load).system


def _compare(
    system: RoutingSystem, policies: Sequence[str], jobs: float, options: Mapping[str, Any]
) -> Comparison:
    tenth = float(np.ceil(jobs / system.rates.sum() / 100.0)) * 10.0  # s, rounded
    # Started from the optimum, near which a good policy stays, so a fifth is ample as warm-up.
    return simulate(
        system, policies, start="fluid", horizon=10.0 * tenth, warmup=2.0 * tenth, **options
    )


def _against(
    name: str, systems: Sequence[RoutingSystem], jobs: float, options: Mapping[str, Any]
) -> list[Comparison]:
    """Compare a policy with GMSR at each load, up to the first without a steady state."""
    found = []
    for system in systems:
        try:
            pair = _compare(system, (GMSR, name), jobs, options)
        except RunTooShortError:  # workloads still grow
            break
        if pair.policies[1].status == "unstable":
            break
        found.append(pair)
    return found


def _series(alone: Sequence[Comparison], pairs: Mapping[str, list[Comparison]]) -> list[Series]:
    """GMSR and all policies that are stable at the lowest load, ordered by latency there."""
    made = [_one(GMSR, alone)] + [_one(name, found) for name, found in pairs.items() if found]
    return sorted(made, key=lambda one: one.ratio[0].value)


def _one(name: str, found: Sequence[Comparison]) -> Series:
    results = [one.policies[-1] for one in found]
    return Series(
        name,
        np.array([one.load for one in found]),
        [r.mean_latency for r in results if r.mean_latency],
        [r.ratio_to_bound for r in results if r.ratio_to_bound],
        [r.difference for r in results],
        [one.rows()[-1] for one in found],
    )


def _claims(series: Sequence[Series], anarchy: FloatArray) -> tuple[Claim, ...]:
    of = {one.policy: one for one in series}
    least = min(r.high for one in series for r in one.ratio)
    worst = max(of[GMSR].ratio, key=lambda r: r.value)
    lost = max(0.0, *(_lost(one) for one in series if one.policy != GMSR))
    behind = of[BY_LATENCY].behind[-1]
    share = behind.over(of[GMSR].latency[-1].value / 100.0) if behind else None
    return (
        Claim(
            "No policy has fewer jobs in the system than the fluid optimum",
            "Lemma 1",
            f"the lowest upper end of an interval is {number(least)} times the bound",
            least >= 1.0,
            {"least": least},
        ),
        Claim(
            "GMSR comes close to it, and so no other policy does much better",
            "Theorems 1, 2",
            f"at most {estimate(worst)} times the bound at loads {of[GMSR].loads[0]:.3g} to "
            f"{of[GMSR].loads[-1]:.3g}; {_rivals_in_words(lost)}",
            worst.low < CLOSE and lost < 0.01,
            {"worst": worst.value, "lost": lost},
        ),
        Claim(
            "Routing by expected latency is not optimal",
            "Appendix A",
            f"its fluid equilibrium holds {number(anarchy.min())} to {number(anarchy.max())} times "
            f"the optimum; simulated at the highest load it is {estimate(share)} % behind GMSR",
            bool(anarchy.max() > 1.0 and share is not None and share.low > 0.0),
            {"price_of_anarchy": anarchy.tolist(), "behind": share.value if share else np.nan},
        ),
    )


def _rivals_in_words(lost: float) -> str:
    if lost == 0.0:
        return "no rival is faster beyond the interval of the difference"
    return f"one rival is surely {number(100.0 * lost, 2)} % faster, none more"


def _lost(one: Series) -> float:
    """Largest share by which a policy's latency is significantly below GMSR's at some load."""
    pairs = zip(one.latency, one.behind, strict=True)
    return max((-behind.high / own.value for own, behind in pairs if behind), default=0.0)


@house()
def _draw(
    series: Sequence[Series], alone: Sequence[Comparison], anarchy: FloatArray, conditions: str
) -> "Figure":
    figure = new_figure(height=7.6)
    latency, near = figure.subplots(2, 1, sharex=True, height_ratios=[1.25, 1.0])
    loads = np.array([one.load for one in alone])
    bound = np.array([one.lower_bound_latency for one in alone])
    own = {
        one.policy: look
        for one, look in zip(series, looks_of([one.policy for one in series]), strict=True)
    }
    own[GMSR] |= {"lw": 2.0, "zorder": 4}
    latency.plot(loads, bound, color=theme().ink, **BOUND)
    ends = [End(loads[-1], bound[-1], "bound", theme().ink)]
    for one in series:
        _line(latency, one.loads, one.latency, own[one.policy])
        color, last = own[one.policy]["color"], (one.loads[-1], one.latency[-1].value)
        stops = "" if one.loads[-1] == loads[-1] else " (then unstable)"
        ends.append(End(*last, one.policy + stops, color))
    drawn = [e.value for one in series for e in one.latency]
    value_axis(latency, "y", "mean latency, s", [*bound.tolist(), *drawn])
    panel_title(latency, "a", "mean latency")
    near.plot(loads, 100.0 * (anarchy - 1.0), color=theme().ink, lw=1.0, ls=":")
    near_ends = [End(loads[-1], 100.0 * (anarchy[-1] - 1.0), "latency equilibrium", theme().ink)]
    for one in series:
        above = [Estimate(*(100.0 * (e - 1.0) for e in (r.value, r.low, r.high)))
                 for r in one.ratio]  # fmt: skip
        _line(near, one.loads, above, own[one.policy])
        color = own[one.policy]["color"]
        near_ends.append(End(one.loads[-1], above[-1].value, one.policy, color))
    log_axis(near, "y", "above the bound, %")
    near.set_ylim(bottom=LEAST)
    near.set_xlabel("load (offered work over capacity)")
    panel_title(near, "b", "jobs in the system, above the bound")
    frame(figure, TITLE, conditions)
    label_ends(latency, ends)
    label_ends(near, near_ends)
    return figure


def _line(
    axes: "Axes", loads: FloatArray, estimates: Iterable[Estimate], look: Mapping[str, Any]
) -> None:
    known = list(estimates)
    axes.errorbar(loads, [e.value for e in known], [e.half_width for e in known], capsize=2,
                  **{"elinewidth": 1, "lw": 1.2} | dict(look))  # fmt: skip
