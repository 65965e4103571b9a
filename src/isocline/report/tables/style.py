"""Common style of all tables, and their columns: label, field of a record, format."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, final

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

MOST_ROWS = 40  # rows of a table on a screen; --json and --out have all

Row = TypeVar("Row")


def _text(value: Any) -> RenderableType:
    return value if isinstance(value, Text) else str(value)


def title_of_some(title: str, shown: int, count: int) -> str:
    """Title of a table that has the first rows of more."""
    return f"{title} (first {shown} of {count}; --json has all)"


@final
@dataclass(frozen=True)
class Column(Generic[Row]):
    """Column of a table whose rows are records.

    Args:
        label: Header.
        field: Attribute of a row, or a function of a row.
        format: Function from the value to its text.
        left: Whether it is left-justified, like names; numbers are right-justified.
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
    """Table with a rule below its header.

    Args:
        title: Title; "" for none. If rows are left out, their number is added.
        columns: Columns from left to right.
        rows: Records.
        most: Most rows to show; None for all.
        whole: Whether the text of the first column is never broken.
        style: Function from a row to its style, such as "bold".
        ends: Function from a row's number to whether a gap follows it.
    """
    if most is not None and len(rows) > most:
        title = title_of_some(title, most, len(rows))
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
