"""Tables of a figure's claims beside measurements, and of all figures."""

from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from isocline.report.reproduce import Claim, Figures, Reproduction
from isocline.report.reproduce.reproduction import Rows
from isocline.report.tables.style import Column, names, table
from isocline.report.words import number


def reproduction_report(name: str, made: Reproduction) -> RenderableType:
    """Report of `isocline reproduce NAME`."""
    columns: list[Column[Claim]] = [
        names("claim", "claim"),
        Column("", "source", lambda source: Text(source, style="dim"), left=True),
        names("measured", "measured"),
        Column("", _verdict, left=True),
    ]
    last = len(made.claims) - 1
    claims = table(f"{name}: {made.title}", columns, made.claims, ends=lambda i: i < last)
    claims.columns[1].no_wrap = claims.columns[3].no_wrap = True
    more = [] if made.printed is None else [_part(made.tables[made.printed]), Text()]
    return Group(claims, Text(), *more, Text(made.conditions, style="dim"))


def _part(rows: Rows) -> RenderableType:
    """Table of rows whose first two columns are text and the others numbers."""
    keys = list(rows[0])
    columns: list[Column[Mapping[str, Any]]] = [
        Column(key.replace("_", " "), itemgetter(key), _value, left=at < 2)
        for at, key in enumerate(keys)
    ]
    return table("", columns, rows, whole=True)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else number(value)


def _verdict(claim: Claim) -> Text:
    return Text(claim.verdict, style="green" if claim.holds else "bold red")


def figures_report(figures: Figures, out: Path) -> RenderableType:
    """Report of a command for figures when called without a name."""
    columns: list[Column[tuple[str, str]]] = [
        names("figure", lambda row: row[0]),
        names("what it shows", lambda row: row[1]),
    ]
    made = table("", columns, list(figures.summaries.items()))
    hint = f"{figures.command} NAME [--quick] writes PNG, SVG and CSV to {out}/"
    return Group(made, Text(), Text(hint, style="dim"))
