"""Page on a routing system: graph, plan, capacity, prices, policies over load, fluid."""

from collections.abc import Sequence

from rich.console import Group
from rich.text import Text

from isocline.model.fleet import RoutingSystem
from isocline.pages import Markup, element, joined
from isocline.plural import counted
from isocline.report.pages.findings import RoutingFindings
from isocline.report.pages.flow_graph import End, Flow, FlowGraph
from isocline.report.pages.frame import (
    Origin,
    Section,
    bullets,
    meters,
    origin_section,
    report_page,
    stats,
)
from isocline.report.pages.overload import overload_lead, overload_section
from isocline.report.pages.pictures import figure_of, picture
from isocline.report.pages.policies import best_in_words, policy_sections
from isocline.report.pages.tables import html_of
from isocline.report.plots.curve import plan_picture
from isocline.report.plots.fluid import fluid_plot
from isocline.report.tables.plan import (
    backends_table,
    missing_edges_text,
    model_lines,
    prefix_lines,
    prices_table,
    split_table,
    tiers_table,
)
from isocline.report.words import duration, listed, number, percent
from isocline.theory.routing.fluid_path import FluidPath
from isocline.theory.routing.plan_records import Plan

_MOST_METERS = 14
_MOST_SENTENCES = 12  # sentences in the description of a graph
_NEAR = 0.01  # relative distance from the optimum that counts as reached


def routing_page(found: RoutingFindings, origin: Origin) -> str:
    """Make the page.

    Args:
        found: Contents of the page.
        origin: Origin of the contents.
    """
    plan = found.plan
    system = plan.system
    feasible = plan.status == "optimal"
    sections = [
        _summary(found) if feasible else overload_lead(plan),
        _graph_section(plan),
        _plan_section(plan) if feasible else overload_section(plan),
        _capacity_section(plan) if feasible else None,
        _price_section(plan) if feasible else None,
        _cache_section(plan),
        _model_section(plan),
        *policy_sections(found.policies),
        _fluid_section(found.fluid, found.left_out),
        origin_section(origin, _certificate(plan)),
    ]
    lead = (
        f"{counted(len(system.frontends), 'frontend')} send "
        f"{number(float(system.rates.sum()))} jobs/s to {counted(len(system.backends), 'backend')}."
    )
    return report_page(system.name, "Routing system", lead, sections)


def _summary(found: RoutingFindings) -> Section:
    plan = found.plan
    load, tight = 1.0 / plan.capacity_scale, plan.bottleneck
    figures = stats(
        [
            ("Load", percent(load), "of what can be served"),
            ("Mean latency at best", duration(plan.mean_latency), "certified optimum"),
            ("Jobs in the system", number(plan.total_jobs), "at the optimum"),
            ("Arrivals may grow", f"{number(plan.capacity_scale, 3)} ×", "then a part is full"),
        ]
    )
    said: list[object] = [
        f"At best a job takes {duration(plan.mean_latency, 4)} on average, with "
        f"{number(plan.total_jobs)} jobs in the system. No way to route can do better in the long "
        "run.",
    ]
    if tight.frontends:
        said.append(
            f"All arrivals together may grow {number(plan.capacity_scale, 3)} times; then "
            f"{listed(tight.frontends)} would fill {listed(tight.backends)}."
        )
    if (best := best_in_words(found.policies)) is not None:
        said.append(best)
    said += _improvements(plan)
    return Section("summary", "In short", joined(figures, bullets(said)))


def _improvements(plan: Plan) -> list[str]:
    """Sentences on changes that would shorten the mean latency most."""
    said = []
    if plan.shadow_prices:
        top = max(plan.shadow_prices, key=lambda row: row.saves)
        said.append(
            f"A faster {top.backend} helps most: each per cent of speed saves about "
            f"{duration(top.saves)} of the mean latency, to first order."
        )
    if plan.missing_edges:
        edge = plan.missing_edges[0]
        said.append(
            f"The most valuable missing connection is {edge.frontend} to {edge.backend}: it would "
            f"save {duration(edge.saves)} of the mean latency."
        )
    return said


def _graph_section(plan: Plan) -> Section:
    graph = flow_graph_of(plan)
    feasible = plan.overload is None
    legend = (
        _legend([(f"tier {at}: {number(tier.marginal_rate)} jobs/s per job", at)
                 for at, tier in enumerate(plan.tiers[:8], 1)])
        if feasible
        else _legend([("stable", 1), ("full", 2), ("jobs pile up", 5)])
    )  # fmt: skip
    hint = (
        "A ribbon is as wide as the jobs per second that a frontend sends to a backend in the "
        "optimum; a dashed line is a connection that the optimum does not use. Backends of one "
        "colour are one tier: another job is served equally fast at each of them."
        if feasible
        else "A ribbon is as wide as the jobs per second that a frontend sends to a backend in the "
        "long run; what a backend cannot serve of them is outlined in red at its bar."
    )
    notes = []
    if graph.is_grouped:
        notes.append("Alike ones are drawn as one, as there are too many to name.")
    if graph.leaves_out_unused:
        notes.append("Unused connections are left out: there are too many to draw.")
    if feasible and len(plan.tiers) > 8:
        notes.append(f"The colours of {len(plan.tiers)} tiers repeat.")
    words = element("figcaption", " ".join(notes)) if notes else None
    drawing = element("figure", legend, graph.svg(), words)
    return Section("graph", "Who sends what to whom", drawing, hint)


def _legend(entries: Sequence[tuple[str, int]]) -> Markup:
    return element(
        "ul",
        *(
            element("li", element("span", class_=f"swatch tier-{tier}"), words)
            for words, tier in entries
        ),
        class_="legend",
    )


def flow_graph_of(plan: Plan) -> FlowGraph:
    """Flows of the optimum or, in an overload, of the long run."""
    system, over = plan.system, plan.overload
    if over is None:
        tier_of_f = {name: at for at, tier in enumerate(plan.tiers, 1) for name in tier.frontends}
        tier_of_b = {name: at for at, tier in enumerate(plan.tiers, 1) for name in tier.backends}
        rates = {row.name: row.rate for row in plan.backends}
        notes = {row.name: f"{number(row.rate, 3)} jobs/s, {row.utilisation:.0%} of peak"
                 for row in plan.backends}  # fmt: skip
        split = plan.split
    else:
        look = {"stable": 1, "full": 2, "growing": 5}
        tier_of_b = {row.name: look[row.status] for row in over.backends}
        piles = {name for pile in over.pile_ups for name in pile.frontends}
        tier_of_f = {f.name: 5 if f.name in piles else 1 for f in over.frontends}
        rates = {row.name: row.rate for row in over.backends}
        notes = {row.name: f"serves {number(row.rate, 3)} jobs/s" for row in over.backends}
        split = over.split
    f_at = {frontend.name: i for i, frontend in enumerate(system.frontends)}
    b_at = {backend.name: i for i, backend in enumerate(system.backends)}
    flows = [Flow(f_at[e.frontend], b_at[e.backend], e.rate) for e in split if e.rate > 0.0]
    used = {(flow.source, flow.sink) for flow in flows}
    unused = [
        (i, int(b))
        for i in range(len(system.frontends))
        for b in system.graph.neighbours(i)
        if (i, int(b)) not in used
    ]
    sources = [
        End(f.name, float(rate), tier_of_f.get(f.name, 0), f"{number(float(rate), 3)} jobs/s")
        for f, rate in zip(system.frontends, system.rates, strict=True)
    ]
    sinks = [End(b.name, rates.get(b.name, 0.0), tier_of_b.get(b.name, 0), notes.get(b.name, ""))
             for b in system.backends]  # fmt: skip
    title = f"{system.name}: who sends what to whom"
    return FlowGraph(
        title, _in_words(system, flows), ("frontends", "backends"), sources, sinks, flows, unused
    )


def _in_words(system: RoutingSystem, flows: Sequence[Flow]) -> str:
    largest = sorted(flows, key=lambda flow: -flow.rate)
    said = [
        f"{system.frontends[flow.source].name} sends {number(flow.rate)} jobs/s to "
        f"{system.backends[flow.sink].name}."
        for flow in largest[:_MOST_SENTENCES]
    ]
    if len(flows) > _MOST_SENTENCES:
        said.append(f"{len(flows) - _MOST_SENTENCES:,} smaller flows are in the tables.")
    return " ".join(said) or "No flow is determined."


def _plan_section(plan: Plan) -> Section:
    drawn = picture(
        lambda: plan_picture(plan),
        f"Service rate and marginal rate of each kind of backend over its workload, with a dot "
        f"where the optimum runs it: {_workloads_in_words(plan)}",
    )
    caption = (
        "Jobs per second that a backend serves over the jobs that it holds, and how much one more "
        "job adds to that. There the dots of a tier lie on one level line."
    )
    content = joined(
        html_of(backends_table(plan)), html_of(split_table(plan)), html_of(tiers_table(plan)),
        figure_of(drawn, caption),
    )  # fmt: skip
    hint = (
        "The split with the fewest jobs in the system, which by Little's law has the least mean "
        "latency. It is what GMSR comes to rest at; static weights could hold it only while "
        "nothing changes."
    )
    return Section("plan", "The best possible split", content, hint)


def _workloads_in_words(plan: Plan) -> str:
    rows = plan.backends[:_MOST_SENTENCES]
    return "; ".join(f"{row.name} at {number(row.jobs)} jobs" for row in rows) + "."


def _capacity_section(plan: Plan) -> Section:
    system, tight = plan.system, plan.bottleneck
    rate = {f.name: f.arrivals.rate for f in system.frontends}
    capacity = dict(zip((b.name for b in system.backends), system.capacities.tolist(), strict=True))
    brings = sum(rate[name] for name in tight.frontends)
    serves = sum(capacity[name] for name in tight.backends)
    said: list[object] = [
        f"The load is {percent(1.0 / plan.capacity_scale)} of what can be served: all arrivals may "
        f"grow {number(plan.capacity_scale)} times, by "
        f"{number((plan.capacity_scale - 1.0) * float(system.rates.sum()))} jobs/s in all."
    ]
    if tight.frontends:
        said.append(
            f"The tight set: {listed(tight.frontends)} bring {number(brings)} jobs/s and may use "
            f"only {listed(tight.backends)}, which serve less than {number(serves)} jobs/s. That "
            f"is the first part to fill up; {number(serves / brings)} times as much is its limit."
        )
    rows = sorted(plan.backends, key=lambda row: -row.utilisation)
    bars = meters(
        (
            row.name,
            row.utilisation,
            f"{percent(row.utilisation)} of {number(capacity[row.name], 3)} jobs/s",
        )
        for row in rows[:_MOST_METERS]
    )
    more = (
        element("p", f"The busiest {_MOST_METERS} of {len(rows)} backends.", class_="hint")
        if len(rows) > _MOST_METERS
        else None
    )
    content = joined(bullets(said), element("h3", "Utilisation at the optimum"), bars, more)
    hint = (
        "Capacity is a matter of sets: frontends fill up together the backends that they share. A "
        "backend near its peak is not yet a bottleneck if its frontends can go elsewhere."
    )
    return Section("capacity", "Capacity and bottleneck", content, hint)


def _price_section(plan: Plan) -> Section:
    content = joined(html_of(prices_table(plan)), html_of(missing_edges_text(plan)))
    hint = (
        "A price is the number of jobs that one more job per second at a frontend adds to the "
        "system, to first order: its own latency, and the delay that it causes to others. If "
        "prices differ, it pays to move work, or to connect the expensive frontend to cheaper "
        "backends."
    )
    return Section("prices", "Prices", content, hint)


def _cache_section(plan: Plan) -> Section | None:
    shown = prefix_lines(plan)
    if not shown:
        return None
    hint = (
        "Tokens of a cached prefix need not be read again. The plan places copies by what each "
        "saves, and computes the split with them."
    )
    return Section("caches", "Prefix caches", html_of(Group(*shown)), hint)


def _model_section(plan: Plan) -> Section | None:
    shown = model_lines(plan)
    if not shown:
        return None
    hint = (
        "A request for a model that is not in its backend's memory waits for the load, with all "
        "others there. The plan chooses copies so that the rates could grow as far as possible."
    )
    return Section("models", "Models in memory", html_of(Group(*shown)), hint)


def _fluid_section(path: FluidPath | None, left_out: Sequence[str]) -> Section | None:
    if path is None:
        return (
            Section("fluid", "From empty to the optimum", bullets(left_out)) if left_out else None
        )
    total = path.total_jobs
    drawn = picture(
        lambda: fluid_plot(path),
        f"Jobs at each backend over {duration(float(path.times[-1]))} from an empty start: "
        f"{number(float(total[-1]))} jobs at the end.",
    )
    said = _path_in_words(path)
    caption = "Above: jobs at each backend. Below: V, the distance between arrivals and service."
    hint = (
        "Fluid model of GMSR from empty backends: how soon the system recovers from a start, a "
        "restart or a change of the load, without randomness."
    )
    title = "From empty to the optimum" if path.equilibrium is not None else "From empty, growing"
    return Section("fluid", title, joined(bullets(said), figure_of(drawn, caption)), hint)


def _path_in_words(path: FluidPath) -> list[object]:
    total = path.total_jobs
    if path.equilibrium is None:
        return [
            f"There is no equilibrium: after {duration(float(path.times[-1]))} there are "
            f"{number(float(total[-1]))} jobs in the system, and their number keeps growing."
        ]
    rest = float(path.equilibrium.sum())
    far = abs(total - rest) > _NEAR * rest
    first = int(far.nonzero()[0][-1]) + 1 if far.any() else 0
    said: list[object] = []
    if first < path.times.size:
        said.append(
            f"From empty, the number of jobs is within {_NEAR:.0%} of the optimum of "
            f"{number(rest)} after {duration(float(path.times[first]))}, and stays there."
        )
    if len(path.tiers) > 1:
        said.append(f"Tiers change {counted(len(path.tiers) - 1, 'time')} on the way.")
    return said


def _certificate(plan: Plan) -> Markup:
    """Certificate of the plan, in words and numbers."""
    if plan.certificate is not None:
        proof = plan.certificate
        text = Text(
            f"Certificate of the plan: arrivals are split without a remainder (conservation "
            f"residual {proof.conservation:.1e}), and no frontend could move a job to a backend of "
            f"a better marginal rate (slope gap {proof.slope_gap:.1e}). Both are 0 of an exact "
            "optimum; anybody can check them from the tables above."
        )
        return html_of(text)
    if plan.overload is not None:
        over = plan.overload.certificate
        return html_of(
            Text(
                f"Certificate: a flow carries {number(over.carried)} jobs/s, and a cut of "
                f"{number(over.cut)} jobs/s is more than no policy serves; they are "
                f"{abs(over.cut - over.carried):.1e} apart. Stable part: conservation residual "
                f"{over.conservation:.1e}, slope gap {over.slope_gap:.1e}."
            )
        )
    return Markup("")
