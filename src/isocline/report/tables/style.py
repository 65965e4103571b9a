"""The one look of all tables, and their columns: label, field of a record, format."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, final

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

MOST_ROWS = 40  # of a table on a screen; --json and --out have them all

Row = TypeVar("Row")


def _text(value: Any) -> RenderableType:
    return value if isinstance(value, Text) else str(value)


@final
@dataclass(frozen=True)
class Column(Generic[Row]):
    """Column of a table over rows that are records.

    Args:
        label: Header.
        field: Attribute of a row, or a function of it.
        format: Text of the value.
        left: Justified to the left, as names are; numbers to the right.
    """

    label: str
    field: str | Callable[[Row], Any]
    format: Callable[[Any], RenderableType] = _text
    left: bool = False

    def cell(self, row: Row) -> RenderableType:
        """Text of one row."""
        value = getattr(row, self.field) if isinstance(self.field, str) else self.field(row)
        return self.format(value)


def table(
    title: str,
    columns: Sequence[Column[Row]],
    rows: Sequence[Row],
    *,
    most: int | None = None,
    whole: bool = False,
    style: Callable[[Row], str | None] = lambda _: None,
    ends: Callable[[int], bool] = lambda _: False,
) -> Table:
    """A table with a rule below its header.

    Args:
        title: Above it; "" for none. It says how many rows are left out.
        columns: From left to right.
        rows: Records.
        most: Rows to show; None for all.
        whole: Never break the text of the first column.
        style: Of a row, such as "bold".
        ends: Whether a gap follows the row of this number.
    """
    if most is not None and len(rows) > most:
        title += f" (first {most} of {len(rows)}; --json has all)"
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
    for column in columns:
        made.add_column(column.label, justify="left" if column.left else "right", overflow="fold")
    if columns:
        made.columns[0].no_wrap = whole
    for number, row in enumerate(rows[:most]):
        cells = (column.cell(row) for column in columns)
        made.add_row(*cells, style=style(row), end_section=ends(number))
    return made


def names(label: str, field: str | Callable[[Row], Any]) -> Column[Row]:
    """Column of names."""
    return Column(label, field, left=True)
