"""Table of a figure's claims beside what was measured, and table of figures."""

from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from isocline.report.reproduce import Figures, Reproduction
from isocline.report.tables.style import table


def reproduction_report(name: str, made: Reproduction) -> RenderableType:
    """What `isocline reproduce NAME` prints."""
    claims = table(
        f"{name}: {made.title}",
        [("claim", "left"), ("", "left"), ("measured", "left"), ("", "left")],
    )
    claims.columns[1].no_wrap = True
    claims.columns[3].no_wrap = True
    for i, claim in enumerate(made.claims):
        verdict = Text(claim.verdict, style="green" if claim.holds else "bold red")
        claims.add_row(
            claim.claim, Text(claim.source, style="dim"), claim.measured, verdict,
            end_section=i < len(made.claims) - 1,
        )  # fmt: skip
    return Group(claims, Text(), Text(made.conditions, style="dim"))


def figures_report(figures: Figures, out: Path) -> RenderableType:
    """What a command that makes figures prints without a name."""
    made = table("", [("figure", "left"), ("what it shows", "left")])
    for name, summary in figures.summaries.items():
        made.add_row(name, summary)
    hint = f"{figures.command} NAME [--quick] writes PNG, SVG and CSV to {out}/"
    return Group(made, Text(), Text(hint, style="dim"))
