"""Tables of a plan, and beside it of the equilibrium of routing by expected latency."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.flow.certificate import Certificate
from isocline.report.tables.style import MOST_ROWS, Column, names, table
from isocline.report.words import duration, listed, number, percent
from isocline.theory.routing.latency_routing import LatencyEquilibrium
from isocline.theory.routing.plan_records import BackendPlan, Plan, TierPlan

_SAVES = Text(
    "1 % faster saves: to first order, the slope of the mean latency times 1 %. Near capacity the\n"
    "true saving is smaller; the figure can even exceed the mean latency.",
    style="dim",
)
_MOST_EDGES = 3  # missing edges worth reading; further ones are usually their twins
_MOST_SENDS = 8  # backends of a frontend


def plan_report(plan: Plan) -> RenderableType:
    """What `isocline plan` prints."""
    if plan.status != "optimal":
        return _proof(plan)
    parts: list[RenderableType | None] = [
        _summary(plan),
        _backends(plan),
        _SAVES,
        _tiers(plan),
        _split(plan),
        _missing_edges(plan),
        _certificate("Certificate", plan.certificate, "slope gap"),
    ]
    return Group(*(line for part in parts if part is not None for line in (part, Text())))


def latency_routing_report(plan: Plan, rival: LatencyEquilibrium) -> RenderableType:
    """What `isocline plan --compare` prints below the plan."""
    assert plan.total_jobs is not None  # as routing by latency comes to rest
    ratio = rival.total_jobs / plan.total_jobs
    summary = Text.assemble(
        ("Routing by expected latency", "bold"),
        f"  {number(rival.total_jobs)} jobs in the system, "
        f"mean latency {duration(rival.mean_latency, 4)}\n",
        f"Price of anarchy {number(ratio)}: {ratio - 1.0:.1%} above the optimum",
    )
    proof = _certificate("Certificate of routing by latency", rival.certificate, "latency gap")
    return Group(summary, Text(), _side_by_side(plan, rival), Text(), proof, Text())


def _summary(plan: Plan) -> Text:
    tight = plan.bottleneck
    text = Text.assemble(
        (f"{plan.system.name}: optimal", "bold"),
        f"  {number(plan.total_jobs)} jobs in the system, "
        f"mean latency {duration(plan.mean_latency, 4)}\n",
        f"Load {number(1.0 / plan.capacity_scale, 3)}: the arrivals may grow "
        f"{number(plan.capacity_scale)} times",
    )
    if tight.frontends:
        text.append(
            f"; then {listed(tight.frontends)} would fill {listed(tight.backends)} (the bottleneck)"
        )
    return text


def _backends(plan: Plan) -> Table:
    tier_of = {name: i for i, tier in enumerate(plan.tiers, 1) for name in tier.backends}
    saves = {saving.backend: saving.saves for saving in plan.shadow_prices}
    columns: list[Column[BackendPlan]] = [
        names("backend", "name"),
        Column("tier", lambda backend: tier_of.get(backend.name, "–")),
        Column("jobs", "jobs", number),
        Column("jobs/s", "rate", number),
        Column("utilisation", "utilisation", percent),
        Column("marginal jobs/s per job", "marginal_rate", number),
        Column("1 % faster saves", lambda backend: saves.get(backend.name), duration),
    ]
    return table("Backends", columns, plan.backends, most=MOST_ROWS)


def _tiers(plan: Plan) -> Table | None:
    if len(plan.tiers) < 2:
        return None
    columns: list[Column[tuple[int, TierPlan]]] = [
        Column("tier", lambda row: row[0]),
        Column("marginal", lambda row: row[1].marginal_rate, number),
        Column("frontends", lambda row: row[1].frontends, listed, left=True),
        Column("backends", lambda row: row[1].backends, listed, left=True),
    ]
    rows = list(enumerate(plan.tiers, 1))
    return table("Tiers, each with one marginal rate", columns, rows, most=MOST_ROWS)


def _split(plan: Plan) -> Table:
    sends: dict[str, list[tuple[float, str]]] = {}
    for edge in plan.split:
        if edge.rate > 0:
            sends.setdefault(edge.frontend, []).append((edge.rate, edge.backend))
    columns: list[Column[tuple[str, list[tuple[float, str]]]]] = [
        names("frontend", lambda row: row[0]),
        Column("jobs/s", lambda row: sum(rate for rate, _ in row[1]), number),
        Column("sends", lambda row: row[1], _shares, left=True),
    ]
    return table("Split", columns, list(sends.items()), most=MOST_ROWS)


def _shares(edges: list[tuple[float, str]]) -> str:
    total = sum(rate for rate, _ in edges)
    said = [f"{backend} {rate / total:.1%}" for rate, backend in sorted(edges)[::-1]]
    more = f" and {len(said) - _MOST_SENDS} more" if len(said) > _MOST_SENDS else ""
    return ", ".join(said[:_MOST_SENDS]) + more


def _missing_edges(plan: Plan) -> Text | None:
    lines = [
        f"connect {edge.frontend}–{edge.backend}: saves {duration(edge.saves)}"
        for edge in plan.missing_edges[:_MOST_EDGES]
    ]
    if not lines:
        return None
    return Text.assemble(("Most valuable missing connections\n", "bold"), "\n".join(lines))


def _certificate(name: str, proof: Certificate | None, gap: str) -> Text:
    assert proof is not None  # of an optimum
    return Text(
        f"{name}: conservation residual {proof.conservation:.1e}, {gap} {proof.slope_gap:.1e}",
        style="dim",
    )


def _proof(plan: Plan) -> Text:
    system, (frontends, backends) = plan.system, plan.bottleneck
    rate = {f.name: f.arrivals.rate for f in system.frontends}
    capacity = {b.name: c for b, c in zip(system.backends, system.capacities, strict=True)}
    return Text.assemble(
        (f"{system.name}: infeasible\n", "bold red"),
        f"Frontends {listed(frontends)} bring {number(sum(map(rate.__getitem__, frontends)))} "
        f"jobs/s, and may use only {listed(backends)}, which can serve less than "
        f"{number(sum(map(capacity.__getitem__, backends)))} jobs/s.\n",
        f"All arrivals times {number(plan.capacity_scale)} would be the limit.",
    )


def _side_by_side(plan: Plan, rival: LatencyEquilibrium) -> Table:
    columns: list[Column[tuple[BackendPlan, float, float, float]]] = [
        names("backend", lambda row: row[0].name),
        Column("jobs", lambda row: row[0].jobs, number),
        Column("by latency", lambda row: row[1], number),
        Column("jobs/s", lambda row: row[0].rate, number),
        Column("by latency", lambda row: row[2], number),
        Column(
            "latency",
            lambda row: row[0].jobs / row[0].rate if row[0].rate > 0.0 else None,
            duration,
        ),
        Column("by latency", lambda row: row[3] if row[2] > 0.0 else None, duration),
    ]
    # Those of the other routing: jobs, rate, latency.
    others = rival.workloads.tolist(), rival.inflow.tolist(), rival.latency.tolist()
    rows = list(zip(plan.backends, *others, strict=True))
    return table("Optimum (GMSR) beside routing by latency", columns, rows, most=MOST_ROWS)


def _latency(backend: BackendPlan) -> float | None:
    """Mean latency at a backend, s, by Little's law; None where nothing is sent."""
    return backend.jobs / backend.rate if backend.rate > 0.0 else None
