"""The optimum beside the equilibrium of routing by expected latency, and the price of anarchy."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.report.tables.style import MOST_ROWS, table
from isocline.report.words import duration, number


def latency_routing_report(plan: Mapping[str, Any]) -> RenderableType:
    """What `isocline plan --compare` prints below the plan, from its JSON document."""
    return Group(_summary(plan), Text(), _backends(plan), Text(), _certificate(plan), Text())


def _summary(plan: Mapping[str, Any]) -> Text:
    rival = plan["latency_routing"]
    ratio = rival["price_of_anarchy"]
    return Text.assemble(
        ("Routing by expected latency", "bold"),
        f"  {number(rival['total_jobs'])} jobs in the system, "
        f"mean latency {duration(rival['mean_latency'], 4)}\n",
        f"Price of anarchy {number(ratio)}: {ratio - 1.0:.1%} above the optimum",
    )


def _backends(plan: Mapping[str, Any]) -> Table:
    shown = plan["backends"][:MOST_ROWS]
    hidden = len(plan["backends"]) - len(shown)
    more = f" (first {MOST_ROWS} of {MOST_ROWS + hidden}; --json has all)" if hidden else ""
    made = table(
        f"Optimum (GMSR) beside routing by latency{more}",
        [
            ("backend", "left"),
            ("jobs", "right"),
            ("by latency", "right"),
            ("jobs/s", "right"),
            ("by latency", "right"),
            ("latency", "right"),
            ("by latency", "right"),
        ],
    )
    for best, rival in zip(shown, plan["latency_routing"]["backends"], strict=False):
        made.add_row(
            best["name"],
            number(best["jobs"]),
            number(rival["jobs"]),
            number(best["rate"]),
            number(rival["rate"]),
            duration(best["jobs"] / best["rate"] if best["rate"] > 0.0 else None),
            duration(rival["latency"] if rival["rate"] > 0.0 else None),
        )
    return made


def _certificate(plan: Mapping[str, Any]) -> Text:
    proof = plan["latency_routing"]["certificate"]
    return Text(
        f"Certificate of routing by latency: conservation residual {proof['conservation']:.1e}, "
        f"latency gap {proof['slope_gap']:.1e}",
        style="dim",
    )
