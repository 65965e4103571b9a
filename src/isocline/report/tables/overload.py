"""Tables of an overload: the part that is served, and pile-ups of jobs."""

import math
from collections import Counter

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from isocline.plural import counted
from isocline.report.tables.style import MOST_ROWS, Column, names, table
from isocline.report.words import listed, number, percent
from isocline.theory.routing.plan_records import (
    BackendOverload,
    FrontendOverload,
    Overload,
    PileUp,
)


def overload_lines(found: Overload) -> list[RenderableType]:
    """Report on an overload, for the reports of plan and fluid."""
    proof = found.certificate
    return [
        overload_text(found),
        Text(),
        overloaded_backends_table(found),
        Text(),
        pile_ups_table(found),
        Text(),
        served_table(found),
        Text(),
        Text(
            f"Certificate: a flow of {number(proof.carried)} jobs/s, and a cut of "
            f"{number(proof.cut)}, {abs(proof.cut - proof.carried):.1e} apart; stable part: "
            f"conservation residual {proof.conservation:.1e}, slope gap {proof.slope_gap:.1e}\n"
            "Throughput, stable backends and their jobs are the best of any policy, and GMSR "
            "attains them\n(GMSR paper, version 3). Where jobs pile up is what GMSR does in the "
            "long run: the sum of a row\nfollows from conservation, that of one backend is derived "
            "from the tails of the curves.",
            style="dim",
        ),
        Text(),
    ]


def overload_text(found: Overload) -> Text:
    """Throughput and stable backends in an overload, in a few lines."""
    left, backends = found.arrivals - found.throughput, found.backends
    piled = (
        f"the other {number(left)} jobs/s pile up" if left > 0.0 else "jobs pile up all the same"
    )
    text = Text.assemble(
        ("\nWhat is served of it", "bold"),
        f"  {number(found.throughput)} of {number(found.arrivals)} jobs/s, the most of any policy; "
        f"{piled}\n",
    )
    at = Counter(backend.status for backend in backends)
    if not at["stable"] + at["full"]:
        return text.append("No policy that serves as much keeps a backend stable.")
    text.append(
        f"{at['stable'] + at['full']} of {counted(len(backends), 'backend')} stay stable, as many "
        "as any such policy keeps"
    )
    if at["stable"]:
        text.append(f"; {at['stable']} with room, on which the fewest jobs are "
                    f"{number(found.stable_jobs)}")  # fmt: skip
    return text


def overloaded_backends_table(found: Overload) -> Table:
    """Table of backends in the long run."""
    columns: list[Column[BackendOverload]] = [
        names("backend", "name"),
        Column("", "status", left=True),
        Column("jobs", lambda row: math.inf if row.jobs is None else row.jobs, number),
        Column("jobs/s served", "rate", number),
        Column("marginal jobs/s per job", "marginal_rate", number),
        Column("jobs/s that pile up", _growth_of),
    ]
    return table("Backends in the long run", columns, found.backends, most=MOST_ROWS)


def _growth_of(row: BackendOverload) -> str:
    if row.status != "growing":
        return "–"
    if row.growth is None:
        return "not determined"
    return number(row.growth) if row.growth > 0.0 else "slower than time"


def pile_ups_table(found: Overload) -> Table:
    """Table of pile-ups: frontends with too many arrivals, and the backends that share them."""
    columns: list[Column[PileUp]] = [
        Column("jobs/s that pile up", "growth", number),
        Column("jobs/s", "rate", number),
        Column("served", "capacity", number),
        Column("frontends", "frontends", listed, left=True),
        Column("backends", "backends", listed, left=True),
    ]
    return table("Where jobs pile up", columns, found.pile_ups, most=MOST_ROWS)


def served_table(found: Overload) -> Table:
    """Table of the throughput of each frontend."""
    columns: list[Column[FrontendOverload]] = [
        names("frontend", "name"),
        Column("jobs/s", "rate", number),
        Column("served", "throughput", number),
        Column("share", lambda row: row.throughput / row.rate if row.rate else 1.0, percent),
    ]
    return table("Frontends", columns, found.frontends, most=MOST_ROWS)
