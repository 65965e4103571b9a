"""A plan in words and tables."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.model.fleet import RoutingSystem
from isocline.report.tables.style import MOST_ROWS, table
from isocline.report.words import duration, listed, number

_SAVES = Text(
    "1 % faster saves: to first order, the slope of the mean latency times 1 %. Near capacity the\n"
    "true saving is smaller; the figure can even exceed the mean latency.",
    style="dim",
)
_MOST_EDGES = 3  # missing edges worth reading; further ones are usually their twins


def plan_report(plan: Mapping[str, Any], system: RoutingSystem) -> RenderableType:
    """What `isocline plan` prints, from the plan's JSON document."""
    if plan["status"] != "optimal":
        return _proof(plan, system)
    parts: list[RenderableType | None] = [
        _summary(plan, system),
        _backends(plan),
        _SAVES,
        _tiers(plan),
        _split(plan),
    ]
    parts += [_missing_edges(plan), _certificate(plan)]
    return Group(*(line for part in parts if part is not None for line in (part, Text())))


def _summary(plan: Mapping[str, Any], system: RoutingSystem) -> Text:
    scale = plan["capacity_scale"]
    tight = plan["bottleneck"]
    text = Text.assemble(
        (f"{system.name}: optimal", "bold"),
        f"  {number(plan['total_jobs'])} jobs in the system, "
        f"mean latency {duration(plan['mean_latency'], 4)}\n",
        f"Load {number(1.0 / scale, 3)}: the arrivals may grow {number(scale)} times",
    )
    if tight and tight["frontends"]:
        text.append(
            f"; then {listed(tight['frontends'])} would fill {listed(tight['backends'])} "
            "(the bottleneck)"
        )
    return text


def _backends(plan: Mapping[str, Any]) -> Table:
    tier_of = {name: i for i, tier in enumerate(plan["tiers"], 1) for name in tier["backends"]}
    saves = {entry["backend"]: entry["saves"] for entry in plan.get("shadow_prices") or []}
    made = table(
        _titled("Backends", plan["backends"]),
        [
            ("backend", "left"),
            ("tier", "right"),
            ("jobs", "right"),
            ("jobs/s", "right"),
            ("utilisation", "right"),
            ("marginal jobs/s per job", "right"),
            ("1 % faster saves", "right"),
        ],
    )
    for entry in plan["backends"][:MOST_ROWS]:
        made.add_row(
            entry["name"],
            str(tier_of.get(entry["name"], "–")),
            number(entry["jobs"]),
            number(entry["rate"]),
            f"{entry['utilisation']:.1%}",
            number(entry["marginal_rate"]),
            duration(saves.get(entry["name"])),
        )
    return made


def _tiers(plan: Mapping[str, Any]) -> Table | None:
    if len(plan["tiers"]) < 2:
        return None
    made = table(
        _titled("Tiers, each with one marginal rate", plan["tiers"]),
        [("tier", "right"), ("marginal", "right"), ("frontends", "left"), ("backends", "left")],
    )
    for i, tier in enumerate(plan["tiers"][:MOST_ROWS], 1):
        made.add_row(
            str(i),
            number(tier["marginal_rate"]),
            listed(tier["frontends"]),
            listed(tier["backends"]),
        )
    return made


def _split(plan: Mapping[str, Any]) -> Table:
    sends: dict[str, list[tuple[float, str]]] = {}
    for entry in plan["split"]:
        if entry["rate"] > 0:
            sends.setdefault(entry["frontend"], []).append((entry["rate"], entry["backend"]))
    made = table(
        _titled("Split", sends), [("frontend", "left"), ("jobs/s", "right"), ("sends", "left")]
    )
    for frontend, edges in list(sends.items())[:MOST_ROWS]:
        total = sum(rate for rate, _ in edges)
        shares = [f"{backend} {rate / total:.1%}" for rate, backend in sorted(edges)[::-1]]
        more = f" and {len(shares) - 8} more" if len(shares) > 8 else ""
        made.add_row(frontend, number(total), ", ".join(shares[:8]) + more)
    return made


def _missing_edges(plan: Mapping[str, Any]) -> Text | None:
    edges = plan.get("missing_edges") or []
    lines = [
        f"connect {edge['frontend']}–{edge['backend']}: saves {duration(edge['saves'])}"
        for edge in edges[:_MOST_EDGES]
    ]
    if not lines:
        return None
    return Text.assemble(("Most valuable missing connections\n", "bold"), "\n".join(lines))


def _certificate(plan: Mapping[str, Any]) -> Text:
    proof = plan["certificate"]
    return Text(
        f"Certificate: conservation residual {proof['conservation']:.1e}, "
        f"slope gap {proof['slope_gap']:.1e}",
        style="dim",
    )


def _proof(plan: Mapping[str, Any], system: RoutingSystem) -> Text:
    frontends, backends = plan["bottleneck"]["frontends"], plan["bottleneck"]["backends"]
    rate = {f.name: f.arrivals.rate for f in system.frontends}
    capacity = {b.name: c for b, c in zip(system.backends, system.capacities, strict=True)}
    return Text.assemble(
        (f"{system.name}: infeasible\n", "bold red"),
        f"Frontends {listed(frontends)} bring {number(sum(map(rate.__getitem__, frontends)))} "
        f"jobs/s, and may use only {listed(backends)}, which can serve less than "
        f"{number(sum(map(capacity.__getitem__, backends)))} jobs/s.\n",
        f"All arrivals times {number(plan['capacity_scale'])} would be the limit.",
    )


def _titled(title: str, rows: Any) -> str:
    hidden = len(rows) - MOST_ROWS
    return f"{title} (first {MOST_ROWS} of {len(rows)}; --json has all)" if hidden > 0 else title
