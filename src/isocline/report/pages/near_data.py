"""Page on a cluster: capacity, loads, help between servers, replication, policies over load."""

from isocline.pages import Markup, element, joined
from isocline.plural import counted
from isocline.report.near_data_groups import Group, groups, helps_between, servers_in_words
from isocline.report.pages.findings import ClusterFindings
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
from isocline.report.pages.pictures import figure_of, picture
from isocline.report.pages.policies import best_in_words, policy_sections
from isocline.report.pages.tables import html_of, lines_of
from isocline.report.plots.near_data import loads_picture
from isocline.report.tables.near_data import (
    advice_text,
    bounds_text,
    cluster_text,
    helps_text,
    pools_text,
    servers_table,
)
from isocline.report.words import number, percent
from isocline.theory.scheduling.plan_records import NearDataPlan

_MOST_METERS = 14


def near_data_page(found: ClusterFindings, origin: Origin) -> str:
    """Make the page.

    Args:
        found: Contents of the page.
        origin: Origin of the contents.
    """
    plan = found.plan
    cluster, made = plan.cluster, groups(found.plan)
    sections = [
        _summary(found),
        _loads_section(plan, made),
        _helps_section(plan, made),
        _capacity_section(plan, made),
        _advice_section(plan),
        *policy_sections(found.policies),
        origin_section(origin, _certificate(plan)),
    ]
    lead = (
        f"{number(cluster.arrival_rate)} tasks/s on {counted(cluster.size, 'server')}; where its "
        f"data is, a server does {number(cluster.rates.local)} tasks/s."
    )
    return report_page(cluster.name, "Cluster of servers near data", lead, sections)


def _summary(found: ClusterFindings) -> Section:
    plan = found.plan
    stable = plan.status == "stable"
    figures = stats(
        [
            ("Load", percent(1.0 / plan.capacity_scale), "of what can be served"),
            ("Arrivals may grow" if stable else "Would just be too much",
             f"{number(plan.capacity_scale, 3)} ×", "of all tasks"),
            ("Cannot be local", percent(plan.remote_share), "of the tasks"),
            ("Need help", f"{len(plan.beneficiaries):,} of {plan.cluster.size:,}", "servers"),
        ]
    )  # fmt: skip
    said: list[object] = [*lines_of(cluster_text(plan))[1:]]
    if (best := best_in_words(found.policies)) is not None:
        said.append(best)
    if plan.replicate:
        said += [f"Best copy: {line}." for line in lines_of(advice_text(plan))[1:2]]
    warning = None if stable else element(
        "p", "Under any policy the queues of this cluster grow without end.", class_="callout bad"
    )  # fmt: skip
    return Section("summary", "In short", joined(warning, figures, bullets(said)))


def _loads_section(plan: NearDataPlan, made: list[Group]) -> Section:
    drawn = picture(
        lambda: loads_picture(plan),
        f"Ideal loads of the servers: {_groups_in_words(made)}",
    )
    caption = (
        "Loads of the servers, busiest first, if each task joins the least loaded of its local "
        "servers. A server above the dashed line has more than it can do itself."
    )
    hint = (
        "Beneficiaries have more local tasks than they can serve; helpers have time to spare, and "
        "fetch the data of tasks that wait for others."
    )
    content = joined(html_of(servers_table(made)), figure_of(drawn, caption))
    return Section("loads", "Loads, helpers and beneficiaries", content, hint)


def _groups_in_words(made: list[Group]) -> str:
    return "; ".join(
        f"{servers_in_words(group.servers, 3)}, {group.role}, {number(group.load)} tasks/s each"
        for group in made[:6]
    )


def _helps_section(plan: NearDataPlan, made: list[Group]) -> Section | None:
    found = helps_between(plan, made)
    if not found:
        return None
    helpers = list(dict.fromkeys(entry.helper for entry in found))
    helped = list(dict.fromkeys(entry.beneficiary for entry in found))

    def end(at: int, gives: bool) -> End:
        group = made[at]
        rate = (group.gives if gives else group.receives) * len(group.servers)
        return End(
            servers_in_words(group.servers, 3), rate, 1 if gives else 2,
            f"{number(rate, 3)} tasks/s",
        )  # fmt: skip

    graph = FlowGraph(
        f"{plan.cluster.name}: who helps whom",
        " ".join(f"{line}." for line in lines_of(helps_text(plan, made))[1:]),
        ("helpers", "beneficiaries"),
        [end(at, True) for at in helpers],
        [end(at, False) for at in helped],
        [Flow(helpers.index(e.helper), helped.index(e.beneficiary), e.rate) for e in found],
    )
    hint = "A ribbon is as wide as the tasks per second that servers run for others."
    content = joined(element("figure", graph.svg()), bullets(lines_of(helps_text(plan, made))[1:]))
    return Section("helps", "Who helps whom", content, hint)


def _capacity_section(plan: NearDataPlan, made: list[Group]) -> Section:
    bars = meters(
        (
            servers_in_words(group.servers, 3),
            group.utilisation,
            f"{percent(group.utilisation)} of the local rate",
        )
        for group in made[:_MOST_METERS]
    )
    content = joined(
        html_of(bounds_text(plan)), html_of(pools_text(plan)),
        element("h3", "Load over the local rate"), bars,
    )  # fmt: skip
    hint = (
        f"The bottleneck: {servers_in_words(plan.bottleneck)}. When all arrivals grow "
        f"{number(plan.capacity_scale)} times, these are the servers for which no help is left."
    )
    return Section("capacity", "Capacity and bottleneck", content, hint)


def _advice_section(plan: NearDataPlan) -> Section | None:
    if not plan.replicate:
        return None
    hint = "Effect on the capacity of one more holder of some data; each line by itself."
    return Section("replicate", "What to replicate", bullets(lines_of(advice_text(plan))[1:]), hint)


def _certificate(plan: NearDataPlan) -> Markup:
    proof = plan.certificate
    return element(
        "p",
        f"The loads were computed from {plan.basis}. Certificate: every task is at one of its "
        f"local servers (conservation residual {proof.conservation:.1e}), and none could join a "
        f"less loaded one (slope gap {proof.slope_gap:.1e}). Both are 0 of an exact decomposition.",
    )
