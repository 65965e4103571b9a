"""The one look of all tables."""

from collections.abc import Iterable
from typing import Literal

from rich import box
from rich.table import Table

MOST_ROWS = 40  # of a table on a screen; --json and --out have them all


def table(title: str, columns: Iterable[tuple[str, Literal["left", "right"]]]) -> Table:
    """An empty table with a rule below its header."""
    made = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        show_edge=False,
        header_style="dim",
    )
    for header, justify in columns:
        made.add_column(header, justify=justify, overflow="fold")
    return made
