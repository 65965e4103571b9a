"""Figures 1 and 2 of the near-data paper: the algorithm, and the ideal load decomposition."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Rectangle

from isocline.model.cluster import Cluster, ExplicitTasks, Rates
from isocline.model.graph import CompatibilityGraph
from isocline.report.plots.style import (
    house,
    new_figure,
)
from isocline.report.plots.theme import on, theme
from isocline.report.reproduce.fits import FloatArray
from isocline.report.reproduce.page import frame, panel_title
from isocline.report.reproduce.reproduction import Claim, Reproduction
from isocline.report.words import number
from isocline.theory.scheduling.near_data_plan import near_data_plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from isocline.theory.scheduling.plan_records import NearDataPlan

TITLE = "the algorithm and the ideal load decomposition (Figures 1 and 2)"
ALPHA, GAMMA = 1.0, 0.5  # tasks per slot
THRESHOLD = ALPHA / GAMMA  # T_s, tasks
# Figure 1: queues when a task with data at servers 1, 3 and 4 arrives; server 2 is idle.
QUEUES, ARRIVING, IDLE = (2, 0, 1, 5), (0, 2, 3), 1
# Figure 2: task types, by the servers that hold their data, and tasks per slot.
TYPES = ((0, 1), (0, 1, 2), (2, 3), (3, 4), (2, 3, 4), (4,))
ARRIVALS = (0.7, 0.1, 0.5, 1.6, 0.3, 0.7)
_EXACT = 1e-9


def reproduce(quick: bool, seed: int) -> Reproduction:  # noqa: ARG001 - nothing random
    """Draw both figures, with numbers."""
    plan = near_data_plan(cluster(), replicas_to_try=0)
    shares = decomposition(plan)
    types = "; ".join(
        f"{{{', '.join(str(m + 1) for m in servers)}}} {rate:g}"
        for servers, rate in zip(TYPES, ARRIVALS, strict=True)
    )
    conditions = (
        f"The paper's figures have no numbers; ours: α = {ALPHA:g}, γ = {GAMMA:g} tasks per slot, "
        f"T_s = α/γ = {THRESHOLD:g}. 1: a task whose data is at servers "
        f"{', '.join(str(m + 1) for m in ARRIVING)} arrives; server {IDLE + 1} is idle. 2: tasks "
        f"per slot by the servers that hold their data: {types}. Sub-queue m of Q_n holds what "
        "joins Q_n and is served by server m, ν_n,m."
    )
    return Reproduction(
        title=TITLE,
        claims=_claims(plan, shares),
        tables={"": list(_rows(shares))},
        conditions=conditions,
        draw=partial(_draw, plan, shares, conditions),
    )


def cluster() -> Cluster:
    """Cluster of five servers, two of which have more local tasks than they can serve."""
    graph = CompatibilityGraph.from_neighbours(5, TYPES)
    rates = Rates(local=ALPHA, remote=GAMMA)
    return Cluster.numbered(5, rates, ExplicitTasks(graph, np.array(ARRIVALS)))


def decomposition(plan: "NearDataPlan") -> FloatArray:
    """(M, M) nu_{n,m}: tasks per slot that join queue n and are served by server m."""
    shares = np.zeros((len(plan.loads), len(plan.loads)))
    for entry in plan.helps:
        shares[int(entry.beneficiary), int(entry.helper)] = entry.rate  # servers are numbered
    np.fill_diagonal(shares, np.array(plan.loads) - shares.sum(axis=1))
    return shares


def _claims(plan: "NearDataPlan", shares: FloatArray) -> tuple[Claim, ...]:
    load = shares.sum(axis=1)
    needy = [int(m) for m in plan.beneficiaries]
    helpers = [m for m in range(load.size) if m not in needy]
    remote = shares - np.diag(np.diag(shares))
    given, got = remote.sum(axis=0), remote.sum(axis=1)
    busy = np.diag(shares) / ALPHA + given / GAMMA
    return (
        Claim(
            "Helpers have a load below α and receive no remote service",
            "Lemma 3, Figure 2",
            f"{len(helpers)} helpers: loads up to {number(load[helpers].max(), 3)} of α = "
            f"{ALPHA:g}, remote service received {number(got[helpers].max(), 2)}",
            bool((load[helpers] < ALPHA).all() and (got[helpers] == 0.0).all()),
            {"load": load[helpers].tolist()},
        ),
        Claim(
            "Beneficiaries have a load of α or more, receive remote service and provide none",
            "Lemma 3, Figure 2",
            f"{len(needy)} beneficiaries: loads from {number(load[needy].min(), 3)}; remote "
            f"service received {number(got[needy].sum(), 3)}, given "
            f"{number(given[needy].max(), 2)}",
            bool((load[needy] >= ALPHA).all() and (given[needy] == 0.0).all()),
            {"load": load[needy].tolist(), "received": got[needy].tolist()},
        ),
        Claim(
            "The decomposition satisfies Eq. (1): no server has more work than time",
            "Eq. (1), Lemma 3",
            f"the busiest server works {number(100 * busy.max())} % of the time, and all "
            f"{number(load.sum(), 3)} tasks per slot are served",
            bool(busy.max() <= 1.0 + _EXACT and abs(load.sum() - sum(ARRIVALS)) < _EXACT),
            {"busy": busy.tolist()},
        ),
    )


def _rows(shares: FloatArray) -> Iterable[Mapping[str, Any]]:
    for n, m in np.argwhere(shares > 0.0).tolist():
        yield {"queue": n + 1, "server": m + 1, "rate": float(shares[n, m])}


@house()
def _draw(plan: "NearDataPlan", shares: FloatArray, conditions: str) -> "Figure":
    figure = new_figure(height=4.4)
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": (0.9, 1.1)})
    panel_title(left, "1", "the algorithm")
    _algorithm(left)
    panel_title(right, "2", "ideal load decomposition")
    _loads(right, plan, shares)
    frame(figure, TITLE, conditions)
    return figure


def _algorithm(axes: "Axes") -> None:
    """Draw queues with their tasks, the shortest local queue, and the idle server's help."""
    joined = min(ARRIVING, key=lambda m: QUEUES[m])
    longest = int(np.argmax(QUEUES))
    axes.annotate(
        f"task local to {', '.join(str(m + 1) for m in ARRIVING)}", (1.5, 9.4), ha="center",
        va="center", fontsize=8, bbox={"boxstyle": "round", "fc": theme().paper, "ec": theme().ink},
    )  # fmt: skip
    for m, length in enumerate(QUEUES):
        axes.plot((m - 0.3, m + 0.3), (3.1, 3.1), color=theme().ink, lw=1.0)
        for task in range(length):
            axes.add_patch(_square(m, 3.2 + 0.6 * task))
        axes.annotate(f"$Q_{m + 1}$", (m - 0.08, 2.4), ha="right", fontsize=8,
                      parse_math=True)  # fmt: skip
        axes.plot(
            m,
            1.0,
            "o",
            ms=20,
            mfc=theme().paper,
            mec=theme().faint if m == IDLE else theme().ink,
            mew=1.3,
        )
        axes.annotate(f"{m + 1}", (m, 1.0), ha="center", va="center", fontsize=8)
        if m in ARRIVING:
            chosen = m == joined
            axes.annotate(
                "", (m, 3.3 + 0.6 * length), (1.5, 9.0),
                arrowprops={"arrowstyle": "->", "lw": 1.6 if chosen else 0.8,
                            "ls": "-" if chosen else ":",
                            "color": theme().palette[0] if chosen else theme().faint},
            )  # fmt: skip
        if m != IDLE:
            axes.annotate(
                "", (m, 1.6), (m, 3.0), arrowprops={"arrowstyle": "->", "color": theme().ink}
            )
    axes.annotate("", (IDLE + 0.25, 1.3), (longest - 0.25, 3.2),
                  arrowprops={"arrowstyle": "->", "lw": 1.6,
                              "color": theme().palette[1]})  # fmt: skip
    for xy, words in (
        ((-0.9, 8.0), "joins the shortest\nlocal queue"),
        ((-0.9, -0.7), "an idle server without a local\ntask helps the longest queue,\n"
                       f"if that is longer than $T_s$ = {THRESHOLD:g}"),
    ):  # fmt: skip
        axes.annotate(words, xy, fontsize=8, va="center", parse_math=True)
    axes.set_xlim(-1.0, len(QUEUES) - 0.3)
    axes.set_ylim(-1.4, 10.0)
    axes.set_axis_off()


def _square(x: float, y: float) -> Rectangle:
    return Rectangle((x - 0.25, y), 0.5, 0.5, fc=theme().paper, ec=theme().ink, lw=1.0)


def _loads(axes: "Axes", plan: "NearDataPlan", shares: FloatArray) -> None:
    """Draw the tasks that join each queue, stacked by the server that serves them."""
    for n in range(shares.shape[0]):
        bottom = 0.0
        for m in (n, *(k for k in range(shares.shape[0]) if k != n)):
            if shares[n, m] <= 0.0:
                continue
            axes.bar(
                n,
                shares[n, m],
                bottom=bottom,
                width=0.7,
                color=theme().palette[m],
                ec=theme().paper,
            )
            if shares[n, m] > 0.07:
                axes.annotate(rf"$\nu_{{{n + 1},{m + 1}}}$", (n, bottom + shares[n, m] / 2),
                              ha="center", va="center", fontsize=8, parse_math=True,
                              color=on(theme().palette[m]))  # fmt: skip
            bottom += shares[n, m]
    axes.axhline(ALPHA, color=theme().ink, lw=1.0, ls=(0, (4, 2)))
    axes.annotate("α", (-0.55, ALPHA), xytext=(0, 3), textcoords="offset points", fontsize=8)
    labels = [f"$Q_{n + 1}$" for n in range(len(plan.loads))]
    for group, names in (("helpers", plan.helpers), ("beneficiaries", plan.beneficiaries)):
        labels[int(names[(len(names) - 1) // 2])] += f"\n{group}"
    axes.set_xticks(range(len(labels)), labels, fontsize=8, parse_math=True)
    axes.set_ylim(0.0, 1.15 * max(plan.loads))
    axes.set_ylabel("tasks per slot")
