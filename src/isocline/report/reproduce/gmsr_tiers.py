"""Figures 1 to 4 of the GMSR paper: connectivity, best backends, tiers and the TierGraph."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from isocline.report.plots.style import (
    house,
    new_figure,
)
from isocline.report.plots.theme import theme
from isocline.report.reproduce.page import frame, panel_title
from isocline.report.reproduce.reproduction import Claim, Reproduction
from isocline.report.words import number
from isocline.theory.routing.structure import Structure
from isocline.theory.routing.worked_example import figure_structure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "tiers and the TierGraph (Figures 1 to 4)"
Members = tuple[tuple[str, ...], tuple[str, ...]]
Rows = Mapping[str, float]  # vertical positions of frontends and backends, from the top

PRINTED: tuple[Members, ...] = (  # tiers v1 to v4 in the caption of Figure 4
    (("f1", "f4"), ("b1", "b5")),
    (("f2",), ("b2",)),
    (("f3",), ("b4",)),
    ((), ("b3",)),
)
_SOLID = {"lw": 1.1, "zorder": 1}
_ARROW = {"arrowstyle": "-|>", "lw": 1.1, "shrinkA": 11, "shrinkB": 11}
_DASHED = {"lw": 0.9, "ls": (0, (3, 2)), "zorder": 1}


def reproduce(quick: bool, seed: int) -> Reproduction:  # noqa: ARG001 - nothing random, nothing slow
    """Compute tiers and TierGraph from the edges and the marginal rates."""
    found = figure_structure()
    conditions = (
        "Marginal rates (bold) and tiers are as printed. The edges of Figure 1 are in the picture "
        "alone, not in the text; they are chosen here so that everything printed "
        f"holds: {_edges_in_words(found)}. Solid edges lead to a frontend's best backends."
    )
    return Reproduction(
        title=TITLE,
        claims=claims(found),
        tables={"": _edge_rows(found), "tiers": _tier_rows(found)},
        conditions=conditions,
        draw=partial(_draw, found, conditions),
    )


def claims(found: Structure) -> tuple[Claim, ...]:
    """Compare the tiers and their order with those printed in the paper."""
    members = tuple((tier.frontends, tier.backends) for tier in found.tiers)
    return (
        Claim(
            f"The tiers v1 to v4 are {_in_words(PRINTED)}",
            "Figure 4",
            _in_words(members),
            members == PRINTED,
            {"tiers": len(members)},
        ),
        Claim(
            "Every arc of the TierGraph leads to a lower marginal rate, so there is no cycle",
            "Lemma 6, Cor. 2",
            f"{len(found.arcs)} arcs; the rate falls along {'all' if found.falling else 'not all'}"
            f" of them; {'no' if found.acyclic else 'a'} cycle",
            found.falling and found.acyclic,
            {"arcs": len(found.arcs)},
        ),
    )


def _in_words(tiers: Sequence[Members]) -> str:
    def of(names: Sequence[str]) -> str:
        return f"{{{', '.join(names)}}}" if names else "∅"

    return ", ".join(f"({of(frontends)}, {of(backends)})" for frontends, backends in tiers)


def _edges_in_words(found: Structure) -> str:
    uses: dict[str, list[str]] = {}
    for frontend, backend in found.edges:
        uses.setdefault(frontend, []).append(backend)
    return "; ".join(f"{frontend} to {', '.join(backends)}" for frontend, backends in uses.items())


def _edge_rows(found: Structure) -> list[Mapping[str, Any]]:
    rate = {backend: tier.marginal_rate for tier in found.tiers for backend in tier.backends}
    best = set(found.best_edges)
    return [
        {"frontend": f, "backend": b, "marginal_rate": rate[b], "best": (f, b) in best}
        for f, b in found.edges
    ]


def _tier_rows(found: Structure) -> list[Mapping[str, Any]]:
    return [
        {
            "tier": f"v{i + 1}",
            "frontends": " ".join(tier.frontends),
            "backends": " ".join(tier.backends),
            "marginal_rate": tier.marginal_rate,
            "arcs_to": " ".join(f"v{j + 1}" for k, j in found.arcs if k == i),
        }
        for i, tier in enumerate(found.tiers)
    ]


@house()
def _draw(found: Structure, conditions: str) -> "Figure":
    figure = new_figure(height=3.6)
    panels = figure.subplots(1, 4, gridspec_kw={"width_ratios": [1.0, 1.2, 1.3, 1.1]})
    titles = ("connectivity", "best backends", "rearranged", "TierGraph")
    for axes, letter, title in zip(panels, "1234", titles, strict=True):
        panel_title(axes, letter, title)
        axes.set_axis_off()
        axes.set_ylim(4.55, -0.55)
    names = sorted({end for edge in found.edges for end in edge})
    backends = {name: float(i) for i, name in enumerate(n for n in names if n[0] == "b")}
    frontends = {name: i + 0.5 for i, name in enumerate(n for n in names if n[0] == "f")}
    as_drawn = frontends | backends
    colors = {
        name: theme().palette[i]
        for i, tier in enumerate(found.tiers)
        for name in (*tier.frontends, *tier.backends)
    }
    _bipartite(panels[0], found, as_drawn, dict.fromkeys(colors, theme().note), others=_SOLID)
    _bipartite(panels[1], found, as_drawn, colors, others=None)
    _rates(panels[1], found, as_drawn)
    rows = _by_tier(found)
    _bands(panels[2], found, rows)
    _bipartite(panels[2], found, rows, colors, others=_DASHED)
    panels[2].set_xlim(-0.25, 1.6)
    _tier_graph(panels[3], found)
    frame(figure, TITLE, conditions)
    return figure


def _by_tier(found: Structure) -> dict[str, float]:
    """Positions of backends, tier by tier from the top, and of frontends, spread beside theirs."""
    rows: dict[str, float] = {}
    for tier in found.tiers:
        first = float(sum(name[0] == "b" for name in rows))
        spread = np.arange(first, first + len(tier.backends))
        rows |= dict(zip(tier.backends, spread.tolist(), strict=True))
        beside = np.linspace(spread[0], spread[-1], len(tier.frontends))
        rows |= dict(zip(tier.frontends, beside.tolist(), strict=True))
    return rows


def _bipartite(
    axes: "Axes",
    found: Structure,
    rows: Rows,
    colors: Mapping[str, str],
    others: Mapping[str, Any] | None,
) -> None:
    """Draw best edges solid and the others in a given style; frontends round, backends square."""
    best = set(found.best_edges)
    for edge in found.edges:
        look = _SOLID if edge in best else others
        color = theme().note if look is _DASHED else theme().ink
        if look is not None:
            axes.plot([0.0, 1.0], [rows[end] for end in edge], color=color, **look)
    for name, y in rows.items():
        _node(axes, float(name[0] == "b"), y, name, colors[name])
    axes.set_xlim(-0.25, 1.25)


def _node(axes: "Axes", x: float, y: float, name: str, color: str) -> None:
    shape = "s" if name[0] == "b" else "o"
    axes.plot(x, y, shape, ms=17, mfc=theme().paper, mec=color, mew=1.5, zorder=2)
    axes.annotate(name, (x, y), ha="center", va="center", fontsize=8, zorder=3)


def _rates(axes: "Axes", found: Structure, rows: Rows) -> None:
    axes.set_xlim(-0.25, 1.6)
    for tier in found.tiers:
        for name in tier.backends:
            axes.annotate(number(tier.marginal_rate, 1), (1.28, rows[name]), va="center",
                          fontweight="bold")  # fmt: skip


def _bands(axes: "Axes", found: Structure, rows: Rows) -> None:
    for i, (tier, color) in enumerate(zip(found.tiers, theme().palette, strict=False)):
        at = [rows[name] for name in tier.backends]
        axes.axhspan(min(at) - 0.42, max(at) + 0.42, color=color, alpha=0.12, lw=0, zorder=0)
        axes.annotate(f"v{i + 1}", (1.3, np.mean(at)), va="center", fontsize=8)


def _tier_graph(axes: "Axes", found: Structure) -> None:
    """Draw the TierGraph: higher marginal rates above, equal rates side by side."""
    levels = sorted({tier.marginal_rate for tier in found.tiers}, reverse=True)
    at: list[tuple[float, float]] = []
    for tier in found.tiers:
        row = [other for other in found.tiers if other.marginal_rate == tier.marginal_rate]
        across = (2 * row.index(tier) + 1) / (2 * len(row))
        at.append((across, 0.4 + 1.6 * levels.index(tier.marginal_rate)))
    for i, j in found.arcs:
        axes.annotate("", at[j], at[i], arrowprops=_ARROW | {"color": theme().ink})
    for i, (tier, color) in enumerate(zip(found.tiers, theme().palette, strict=False)):
        _node(axes, *at[i], f"v{i + 1}", color)
        axes.annotate(number(tier.marginal_rate, 1), at[i], xytext=(12, 0), va="center",
                      textcoords="offset points", fontweight="bold")  # fmt: skip
    axes.set_xlim(0.0, 1.15)
