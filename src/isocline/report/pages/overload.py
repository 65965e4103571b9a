"""Sections of a page on a load that cannot be served: the proof, and the long run."""

from collections import Counter

from isocline.pages import element, joined
from isocline.report.pages.frame import Section, bullets, stats
from isocline.report.pages.tables import html_of, lines_of
from isocline.report.tables.overload import (
    overload_text,
    overloaded_backends_table,
    pile_ups_table,
    served_table,
)
from isocline.report.tables.plan import proof_text
from isocline.report.words import listed, number, percent
from isocline.theory.routing.plan_records import Plan


def overload_lead(plan: Plan) -> Section:
    """First section: the load cannot be served, and why."""
    over, tight = plan.overload, plan.bottleneck
    assert over is not None
    at = Counter(backend.status for backend in over.backends)
    kept = at["stable"] + at["full"]
    figures = stats(
        [
            ("Load", percent(1.0 / plan.capacity_scale), "of what can be served"),
            (
                "Served",
                percent(over.throughput / over.arrivals),
                f"{number(over.throughput)} of {number(over.arrivals)} jobs/s",
            ),
            ("Piles up", f"{number(over.arrivals - over.throughput, 3)} jobs/s", "without end"),
            ("Stable backends", f"{kept} of {len(over.backends)}", "as many as can be"),
        ]
    )
    said = [
        f"This load cannot be served: {listed(tight.frontends)} bring more than "
        f"{listed(tight.backends)} can serve, whatever the policy.",
        f"All arrivals times {number(plan.capacity_scale)} would be the limit; below that there is "
        "a plan.",
        f"At best {number(over.throughput)} jobs/s are served in the long run.",
    ]
    return Section(
        "summary",
        "In short",
        joined(
            element("p", "No policy can serve this load.", class_="callout bad"),
            figures,
            bullets(said),
        ),
    )


def overload_section(plan: Plan) -> Section:
    """Section on throughput and on where jobs pile up."""
    over = plan.overload
    assert over is not None
    content = joined(
        element("h3", "The proof"),
        *(element("p", line) for line in lines_of(proof_text(plan))[1:]),
        html_of(overload_text(over)),
        html_of(overloaded_backends_table(over)),
        html_of(pile_ups_table(over)),
        html_of(served_table(over)),
    )
    hint = (
        "Throughput, the stable backends and the jobs on them are the best of any policy, and GMSR "
        "attains them (GMSR paper, version 3). Where jobs pile up is what GMSR does in the long "
        "run."
    )
    return Section("plan", "What is served, and what is not", content, hint)
