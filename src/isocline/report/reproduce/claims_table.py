"""Table of a figure's claims beside what was measured, and table of figures."""

from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from isocline.report.reproduce import Claim, Figures, Reproduction
from isocline.report.tables.style import Column, names, table


def reproduction_report(name: str, made: Reproduction) -> RenderableType:
    """What `isocline reproduce NAME` prints."""
    columns: list[Column[Claim]] = [
        names("claim", "claim"),
        Column("", "source", lambda source: Text(source, style="dim"), left=True),
        names("measured", "measured"),
        Column("", _verdict, left=True),
    ]
    last = len(made.claims) - 1
    claims = table(f"{name}: {made.title}", columns, made.claims, ends=lambda i: i < last)
    claims.columns[1].no_wrap = claims.columns[3].no_wrap = True
    return Group(claims, Text(), Text(made.conditions, style="dim"))


def _verdict(claim: Claim) -> Text:
    return Text(claim.verdict, style="green" if claim.holds else "bold red")


def figures_report(figures: Figures, out: Path) -> RenderableType:
    """What a command that makes figures prints without a name."""
    columns: list[Column[tuple[str, str]]] = [
        names("figure", lambda row: row[0]),
        names("what it shows", lambda row: row[1]),
    ]
    made = table("", columns, list(figures.summaries.items()))
    hint = f"{figures.command} NAME [--quick] writes PNG, SVG and CSV to {out}/"
    return Group(made, Text(), Text(hint, style="dim"))
