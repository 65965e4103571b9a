"""Arena: every policy on every fleet under every kind of traffic, with losses as well as wins."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from isocline.model.traffic import Trace
from isocline.policies.routing import RIVALS
from isocline.report.plots.lettering import SMALL, short_names
from isocline.report.plots.style import house, new_figure
from isocline.report.plots.theme import theme
from isocline.report.reproduce.arena_runs import (
    DEFAULT,
    FULL,
    HOURS,
    PLAIN,
    QUICK,
    SAME,
    SETTINGS,
    SWING,
    TOKEN_SETTINGS,
    Cell,
    Row,
    cells,
    played,
)
from isocline.report.reproduce.page import frame
from isocline.report.reproduce.reproduction import Claim, Reproduction
from isocline.report.words import estimate, listed, number
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.statistics.intervals import interval, ratio_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "every policy in every cell of the arena, at its best setting"
LEVEL = 1.01  # ratio to the best of the cell up to which a policy is level with it
AHEAD = 0.15  # claimed lead of the default policy over plain GMSR in bursts
LEVEL_CACHED, AHEAD_CACHED = 1.02, 0.3  # the same where prompts are cached; lead over each rival
BURSTS = "azure_llm_code"  # trace of that claim, on the first fleet
FAR = 10.0  # ratio to the best at which tints end
_TINT = 0.5  # share of the palette's colour in the darkest field, on which text stays readable
_GAP = 0.6  # rows between fleets
_ROW, _NAMES = 0.145, 1.75  # inches: height of a row, width of names of cells


class Result(NamedTuple):
    """A cell with the rows of all policies, and their latencies over the best row's."""

    cell: Cell
    rows: list[Row]
    ratios: list[Estimate]

    @property
    def best(self) -> Row:
        """Row with the least mean latency."""
        return min(self.rows, key=lambda row: float(row.latencies.mean()))

    def of(self, policy: str) -> tuple[Row, Estimate]:
        """Row of a policy, or of the one that represents it, and its ratio."""
        found = {pair[0].policy: pair for pair in zip(self.rows, self.ratios, strict=True)}
        return found.get(policy) or found[SAME[policy]]


def reproduce(quick: bool, seed: int, traces: Sequence[Trace] = ()) -> Reproduction:
    """Run all cells, including those of `traces`."""
    effort = QUICK if quick else FULL
    short = [replace(trace, name=Path(trace.name).stem) for trace in traces]
    results = [_result(cell, played(cell, effort, seed)) for cell in cells(effort, short, seed)]
    summary = list(_summary(results))
    conditions = _conditions(results, effort.jobs, effort.replications, seed)
    return Reproduction(
        title=TITLE,
        claims=tuple(_claims(results)),
        tables={"": list(_rows(results)), "summary": summary},
        conditions=conditions,
        draw=partial(_draw, results, [row["policy"] for row in summary], conditions),
        printed="summary",
    )


def _result(cell: Cell, rows: list[Row]) -> Result:
    best = min((row.latencies for row in rows), key=lambda latencies: float(latencies.mean()))
    return Result(cell, rows, [ratio_interval(row.latencies, best) for row in rows])


def _conditions(results: Sequence[Result], jobs: int, replications: int, seed: int) -> str:
    """Small print."""
    halves = [r.half_width for one in results for r in one.ratios if r.value < FAR]
    same = {rule: [name for name in SAME if SAME[name] == rule] for rule in SAME.values()}
    settings = {**SETTINGS, **TOKEN_SETTINGS} if results[-1].cell.cached else SETTINGS
    twins = "; ".join(f"{rule} stands for {listed(names)}" for rule, names in same.items())
    return (
        "Per cent of mean latency above the best of the cell (×: times as much; ≫: ten times and "
        f"more); a dot: at most {100 * (LEVEL - 1):.0f} %, or not surely more. {replications} "
        f"replications, seed {seed}, the same jobs for all policies; 95 % paired intervals of the "
        "ratios, "
        f"{number(100 * float(np.median(halves)), 2)} % at the median. Poisson and daily: "
        f"{jobs:,} jobs in a replication; daily: rates that swing by {SWING:.0%} in {HOURS} steps; "
        "bursty: `isocline simulate --trace bursty`. Each policy at the best of its settings in "
        f"each cell ({sum(map(len, settings.values()))} settings of {len(settings)} policies), "
        "chosen on what is shown, which flatters rivals. Where nothing is cached, jobs are alike "
        f"to policies, and {twins}. Left out: gmsr_ahead (no news is late) and policies that hold "
        "jobs."
    )


def _rows(results: Iterable[Result]) -> Iterator[Mapping[str, Any]]:
    for cell, rows, ratios in results:
        for row, ratio in zip(rows, ratios, strict=True):
            latency = interval(row.latencies)
            yield {
                "fleet": cell.fleet, "traffic": cell.traffic, "load": cell.load,
                "policy": row.policy, "setting": row.setting,
                "latency": latency.value, "latency_low": latency.low, "latency_high": latency.high,
                "ratio": ratio.value, "ratio_low": ratio.low, "ratio_high": ratio.high,
            }  # fmt: skip


def _summary(results: Sequence[Result]) -> Iterator[Mapping[str, Any]]:
    """One row for each policy, the least loss over all cells first."""
    found = []
    for policy in dict.fromkeys(row.policy for one in results for row in one.rows):
        pairs = [one.of(policy) for one in results]
        values = np.array([ratio.value for _, ratio in pairs])
        worst = int(values.argmax())
        used = Counter(row.setting for row, _ in pairs if row.setting)
        found.append(
            {
                "policy": policy,
                "worst_cell": results[worst].cell.name,
                "worst": float(values[worst]),
                "mean_ratio": float(np.exp(np.log(values).mean())),
                "level_with_best": f"{sum(_level(r) for _, r in pairs)} of {len(pairs)}",
                "settings": ", ".join(f"{name} ({count})" for name, count in used.most_common()),
            }
        )
    yield from sorted(found, key=lambda row: row["mean_ratio"])  # type: ignore[arg-type, return-value]


def _level(ratio: Estimate) -> bool:
    """Whether a policy, or its interval, is within `LEVEL` of the best of its cell."""
    return ratio.low <= LEVEL


def _claims(results: Sequence[Result]) -> Iterator[Claim]:
    pairs = [(one, one.of(DEFAULT)[1]) for one in results if not one.cell.cached]
    behind = sorted((p for p in pairs if not _level(p[1])), key=lambda p: -p[1].value)
    most = max((ratio for _, ratio in pairs), key=lambda ratio: ratio.value)
    lost = [
        f"{estimate(ratio)} in {one.cell.name}, behind {one.best.policy}"
        for one, ratio in behind[:3]
    ]
    more = f" and {len(behind) - 3} more" if len(behind) > 3 else ""
    yield Claim(
        f"{DEFAULT} is within {100 * (LEVEL - 1):.0f} % of the best of all policies in every cell "
        "without a cache",
        "ours",
        f"in {len(pairs) - len(behind)} of {len(pairs)}, within intervals; at most "
        f"{estimate(most)} times the best" + (f"; not in: {'; '.join(lost)}{more}" if lost else ""),
        not behind,
        {"ratios": [ratio.value for _, ratio in pairs]},
    )
    first = results[0].cell.fleet
    for one in results:
        if one.cell.traffic == BURSTS and one.cell.fleet == first:
            own, plain = one.of(DEFAULT)[0], one.of(PLAIN)[0]
            ratio = ratio_interval(own.latencies, plain.latencies)
            ahead = Estimate(*(1.0 - end for end in _ends(ratio)))
            yield Claim(
                f"{DEFAULT} is {AHEAD:.0%} or more ahead of plain {PLAIN} on {BURSTS} at load "
                f"{one.cell.load:g}",
                "ours",
                f"{estimate(ahead, 0.01)} % less mean latency on the {first}",
                ahead.low >= AHEAD,
                {"ahead": ahead.value, "low": ahead.low, "high": ahead.high},
            )
    cached = [one for one in results if one.cell.cached]
    if cached:
        yield from _claims_of_caches(cached)


def _claims_of_caches(results: Sequence[Result]) -> Iterator[Claim]:
    """Claims on cells with prefix caches; the last one of the first fleet has the highest load."""
    ratios = [one.of(DEFAULT)[1] for one in results]
    worst = max(range(len(results)), key=lambda i: ratios[i].value)
    yield Claim(
        f"with caches {DEFAULT} is at most {100 * (LEVEL_CACHED - 1):.0f} % behind the best",
        "ours",
        f"at most {estimate(ratios[worst])} times, in {results[worst].cell.name}, where "
        f"{results[worst].best.policy} is best",
        all(ratio.low <= LEVEL_CACHED for ratio in ratios),
        {"ratios": [ratio.value for ratio in ratios]},
    )
    full = [one for one in results if one.cell.fleet == results[0].cell.fleet][-1]
    own = full.of(DEFAULT)[0].latencies
    against = {name: ratio_interval(own, full.of(name)[0].latencies) for name in RIVALS}
    nearest = max(against, key=lambda name: against[name].value)
    ahead = Estimate(*(1.0 - end for end in _ends(against[nearest])))
    yield Claim(
        f"it is {AHEAD_CACHED:.0%} or more ahead of each rival in {full.cell.name}",
        "ours",
        f"{estimate(ahead, 0.01)} % less mean latency than {nearest}, which is nearest",
        ahead.low >= AHEAD_CACHED,
        {name: 1.0 - ratio.value for name, ratio in against.items()},
    )


def _ends(ratio: Estimate) -> tuple[float, float, float]:
    """Value and ends of the interval of the gain, which falls as the ratio rises."""
    return ratio.value, ratio.high, ratio.low


@house()
def _draw(results: Sequence[Result], order: Sequence[str], conditions: str) -> "Figure":
    fleets = list(dict.fromkeys(one.cell.fleet for one in results))
    places, tops = _places(results)
    bottom = places[-1] + 1.0
    figure = new_figure(height=2.2 + _ROW * bottom + 0.14 * len(conditions) / 110)
    axes = figure.subplots()
    for one, y in zip(results, places, strict=True):
        for x, policy in enumerate(order):
            _field(axes, x, y, one.of(policy)[1])
    for fleet, top in zip(fleets, tops, strict=True):
        axes.annotate(fleet, (-0.02, top - 0.35), xycoords=("axes fraction", "data"), ha="right",
                      va="center", fontsize=SMALL, fontweight="bold")  # fmt: skip
    cell_names = [f"{one.cell.traffic} {one.cell.load:g}" for one in results]
    axes.set_yticks([y + 0.5 for y in places], short_names(cell_names, _NAMES))
    axes.set_xticks([x + 0.5 for x in range(len(order))], order, rotation=90)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_xlim(0.0, len(order))
    axes.set_ylim(bottom, tops[0] - 0.7)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    frame(figure, TITLE, conditions)
    return figure


def _places(results: Sequence[Result]) -> tuple[list[float], list[float]]:
    """Top of the row of each cell, and of each fleet's heading above its cells."""
    places: list[float] = []
    tops: list[float] = []
    y, before = 0.0, ""
    for one in results:
        if one.cell.fleet != before:
            y += 1.0 + (_GAP if before else 0.0)
            tops.append(y)
            before = one.cell.fleet
        places.append(y)
        y += 1.0
    return places, tops


def _field(axes: "Axes", x: float, y: float, ratio: Estimate) -> None:
    """Draw one policy in one cell: a tint by the logarithm of the loss, and its number."""
    from matplotlib.colors import to_rgb  # noqa: PLC0415 - matplotlib, when needed
    from matplotlib.patches import Rectangle  # noqa: PLC0415

    share = _TINT * float(np.clip(np.log(ratio.value) / np.log(FAR), 0.0, 1.0))
    color = (1.0 - share) * np.array(to_rgb(theme().paper)) + share * np.array(
        to_rgb(theme().palette[1])
    )
    axes.add_patch(Rectangle((x, y), 1.0, 1.0, facecolor=tuple(color), edgecolor=theme().paper,
                             linewidth=0.8))  # fmt: skip
    axes.text(x + 0.5, y + 0.5, _loss(ratio), ha="center", va="center", fontsize=SMALL)


def _loss(ratio: Estimate) -> str:
    """Text of a loss in two characters: a dot, per cent above the best, or the factor."""
    if _level(ratio):
        return "·"
    if ratio.value < 1.995:
        return f"{100.0 * (ratio.value - 1.0):.0f}"
    return f"×{ratio.value:.0f}" if ratio.value < FAR - 0.5 else "≫"
