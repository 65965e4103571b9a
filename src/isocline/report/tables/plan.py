"""Tables of a plan, and of the equilibrium of routing by expected latency for comparison."""

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.flow.certificate import Certificate
from isocline.plural import first_of
from isocline.report.tables.overload import overload_lines
from isocline.report.tables.style import MOST_ROWS, Column, names, table, title_of_some
from isocline.report.words import duration, listed, number, percent
from isocline.theory.routing.latency_routing import LatencyEquilibrium
from isocline.theory.routing.plan_records import (
    BackendPlan,
    ModelCopy,
    Plan,
    PrefixCopy,
    SplitRate,
    TierPlan,
)

_SAVES = Text(
    "1 % faster saves: to first order, the slope of the mean latency times 1 %. Near capacity the\n"
    "true saving is smaller; the figure can even exceed the mean latency.",
    style="dim",
)
_MOST_EDGES = 3  # missing edges shown; further ones usually resemble them
_TIGHT = 1e-3  # of a capacity or of requests: less is not worth a word
_MOST_SENDS = 8  # backends shown per frontend


def plan_report(plan: Plan) -> RenderableType:
    """Report of `isocline plan`."""
    if plan.status != "optimal":
        overload = () if plan.overload is None else overload_lines(plan.overload)
        return Group(proof_text(plan), *overload, *prefix_lines(plan), *model_lines(plan))
    parts: list[RenderableType | None] = [
        _summary(plan),
        backends_table(plan),
        _SAVES,
        tiers_table(plan),
        split_table(plan),
        missing_edges_text(plan),
        _certificate("Certificate", plan.certificate, "slope gap"),
    ]
    lines = (line for part in parts if part is not None for line in (part, Text()))
    return Group(*lines, *zone_lines(plan), *prefix_lines(plan), *model_lines(plan))


def zone_lines(plan: Plan) -> list[RenderableType]:
    """The best split with the distances of zones; empty without them."""
    found = plan.zones
    if found is None:
        return []
    above = max(found.gap, 0.0)
    bound = "the fewest" if above <= 1e-6 else f"at most {above:.2g} of them above the fewest"
    return [
        Text.assemble(
            ("With the distances of zones", "bold"),
            f"  {number(found.total_jobs)} jobs in the system, {bound}, "
            f"{number(found.on_their_way)} of them on their way\n"
            f"Mean latency {duration(found.mean_latency, 4)}, ways included; "
            f"{percent(found.crossing)} of the jobs leave their zone",
        ),
        Text(),
        _splits("Split with the distances of zones", found.split),
        Text(),
    ]


def prefix_lines(plan: Plan) -> list[RenderableType]:
    """Placement of prefixes in caches, and the split with them; empty without prefixes."""
    found = plan.prefix_caches
    if found is None:
        return []
    if found.jobs_without is None:
        gain = "without caches no split can serve this load"
    else:
        gain = f"{1.0 - found.total_jobs / found.jobs_without:.1%} fewer than without caches"
    above = max(found.gap, 0.0)
    bound = "the fewest" if above <= 1e-6 else f"at most {above:.2g} of them above the fewest"
    copies: list[Column[PrefixCopy]] = [
        names("prefix of", "frontend"),
        names("cached at", "backend"),
        Column("tokens", "tokens", number),
        Column("jobs/s", "rate", number),
        Column("saves jobs", "worth", number),
    ]
    return [
        Text.assemble(
            ("With prefixes cached", "bold"),
            f"  {number(found.total_jobs)} jobs in the system, {bound} with any placement\n"
            f"Mean latency {duration(found.mean_latency, 4)}: {gain}",
        ),
        Text(),
        table("Copies, by what each saves to first order", copies, found.copies, most=MOST_ROWS),
        _splits("Split with prefixes cached", found.split),
        Text(),
    ]


def model_lines(plan: Plan) -> list[RenderableType]:
    """Usable capacity where backends hold some models, and the copies; empty without models."""
    found = plan.residency
    if found is None:
        return []
    whole = found.capacity_scale / plan.capacity_scale
    above = "which no policy exceeds"
    if found.gap > _TIGHT:
        more = percent(found.bound / found.capacity_scale - 1.0)
        above = f"and no policy gets above {number(found.bound)}, {more} more"
    cold = ""
    if found.cold > _TIGHT:
        cold = f"\n{percent(found.cold)} of the requests find no copy, and load their model"
    worth = ""
    if found.memory:
        first = found.memory[0]
        worth = (
            f"\nMemory is short: one more at {first.backend} raises the bound by "
            f"{percent(first.gain)}, to first order"
        )
    copies: list[Column[ModelCopy]] = [
        names("model", "model"),
        names("resident at", "backend"),
        Column("jobs/s", "rate", number),
        Column("copies in all", "copies", number),
    ]
    return [
        Text.assemble(
            ("With models in memory", "bold"),
            f"  all rates could grow by the factor {number(found.capacity_scale)}, {above}\n"
            f"That is {percent(whole)} of the capacity with all models everywhere{cold}{worth}",
        ),
        Text(),
        table("Copies, by what each carries", copies, found.copies, most=MOST_ROWS),
    ]


def latency_routing_report(plan: Plan, rival: LatencyEquilibrium) -> RenderableType:
    """Report of `isocline plan --compare` below the plan."""
    assert plan.total_jobs is not None  # as an equilibrium of routing by latency exists
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


def backends_table(plan: Plan) -> Table:
    """Table of backends at the optimum."""
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


def tiers_table(plan: Plan) -> Table | None:
    """Table of tiers; None if there is only one."""
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


class Price(NamedTuple):
    """Effect of one more job per second at a frontend, to first order."""

    frontend: str
    rate: float  # jobs/s
    tier: int
    marginal_rate: float  # of the backends that it uses, jobs/s per job
    price: float  # jobs that one more job/s adds to the system, s
    latency: float  # mean over its own jobs, s


def prices(plan: Plan) -> list[Price]:
    """Prices of frontends with arrivals, in the order of the file."""
    tier_of = {name: at for at, tier in enumerate(plan.tiers, 1) for name in tier.frontends}
    marginal = {at: tier.marginal_rate for at, tier in enumerate(plan.tiers, 1)}
    latency = {backend.name: latency_at(backend) or 0.0 for backend in plan.backends}
    rate: dict[str, float] = {}
    waited: dict[str, float] = {}
    for edge in plan.split:
        rate[edge.frontend] = rate.get(edge.frontend, 0.0) + edge.rate
        waited[edge.frontend] = waited.get(edge.frontend, 0.0) + edge.rate * latency[edge.backend]
    return [
        Price(
            name, rate[name], tier_of[name], (m := marginal[tier_of[name]]), 1.0 / m,
            waited[name] / rate[name],
        )
        for name in (frontend.name for frontend in plan.system.frontends)
        if rate.get(name) and name in tier_of
    ]  # fmt: skip


def prices_table(plan: Plan) -> Table:
    """Table of prices by frontend."""
    columns: list[Column[Price]] = [
        names("frontend", "frontend"),
        Column("tier", "tier"),
        Column("jobs/s", "rate", number),
        Column("mean latency", "latency", duration),
        Column("marginal jobs/s per job", "marginal_rate", number),
        Column("price: jobs that one more job/s adds", "price", number),
    ]
    return table("Prices, by frontend", columns, prices(plan), most=MOST_ROWS)


def split_table(plan: Plan) -> Table:
    """Table of the split of each frontend's jobs."""
    return _splits("Split", plan.split)


def _splits(title: str, split: Sequence[SplitRate]) -> Table:
    frontends = dict.fromkeys(edge.frontend for edge in split if edge.rate > 0)
    sends: dict[str, list[tuple[float, str]]] = {it: [] for it in islice(frontends, MOST_ROWS)}
    for edge in split:
        if edge.frontend in sends and edge.rate > 0:
            sends[edge.frontend].append((edge.rate, edge.backend))
    columns: list[Column[tuple[str, list[tuple[float, str]]]]] = [
        names("frontend", lambda row: row[0]),
        Column("jobs/s", lambda row: sum(rate for rate, _ in row[1]), number),
        Column("sends", lambda row: row[1], _shares, left=True),
    ]
    if len(frontends) > len(sends):
        title = title_of_some(title, len(sends), len(frontends))
    return table(title, columns, list(sends.items()))


def _shares(edges: list[tuple[float, str]]) -> str:
    total = sum(rate for rate, _ in edges)
    said = [f"{backend} {rate / total:.1%}" for rate, backend in sorted(edges)[::-1]]
    return first_of(said, _MOST_SENDS)


def missing_edges_text(plan: Plan) -> Text | None:
    """Missing edges that would save most; None if none would."""
    lines = [
        f"connect {edge.frontend}–{edge.backend}: saves {duration(edge.saves)}"
        for edge in plan.missing_edges[:_MOST_EDGES]
    ]
    if not lines:
        return None
    return Text.assemble(("Most valuable missing connections\n", "bold"), "\n".join(lines))


def _certificate(name: str, proof: Certificate | None, gap: str) -> Text:
    assert proof is not None  # every optimum has one
    return Text(
        f"{name}: conservation residual {proof.conservation:.1e}, {gap} {proof.slope_gap:.1e}",
        style="dim",
    )


def proof_text(plan: Plan) -> Text:
    """Proof that the load cannot be served."""
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
        Column("latency", lambda row: latency_at(row[0]), duration),
        Column("by latency", lambda row: row[3] if row[2] > 0.0 else None, duration),
    ]
    # Jobs, rates and latencies under routing by latency.
    others = rival.workloads.tolist(), rival.inflow.tolist(), rival.latency.tolist()
    rows = list(zip(plan.backends, *others, strict=True))
    return table("Optimum (GMSR) beside routing by latency", columns, rows, most=MOST_ROWS)


def latency_at(backend: BackendPlan) -> float | None:
    """Mean latency at a backend, s, by Little's law; None if it gets no jobs."""
    return backend.jobs / backend.rate if backend.rate > 0.0 else None
