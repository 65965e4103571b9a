"""Conversion of tables and texts for the terminal to HTML."""

from itertools import pairwise

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.pages import Markup, element, joined

_CLASSES = {"dim": "conditions", "red": "warning"}  # class of a text, by its style on the terminal


def html_of(shown: RenderableType | None) -> Markup:
    """Convert a table, a text or a group of them; "" for None.

    Raises:
        TypeError: The argument is another renderable.
    """
    if shown is None:
        return Markup("")
    if isinstance(shown, Group):
        return joined(*map(html_of, shown.renderables))
    if isinstance(shown, Table):
        return _table(shown)
    if isinstance(shown, str | Text):
        return paragraphs(shown if isinstance(shown, Text) else Text(shown))
    raise TypeError(f"no HTML for {type(shown).__name__}")


def paragraphs(text: Text) -> Markup:
    """One paragraph per line, with the text's styles."""
    whole = _CLASSES.get(str(text.style))
    return joined(
        *(
            element("p", _spans(line), class_=whole)
            for line in text.split("\n")
            if line.plain.strip()
        )
    )


def lines_of(text: Text | None) -> list[str]:
    """Lines of a text, without styles."""
    return [] if text is None else [line for line in text.plain.split("\n") if line.strip()]


def _spans(line: Text) -> Markup:
    """A line, with its bold parts marked."""
    ends = sorted(
        {0, len(line.plain), *(at for span in line.spans for at in (span.start, span.end))}
    )
    parts: list[object] = []
    for start, end in pairwise(ends):
        words = line.plain[start:end]
        styles = " ".join(
            str(span.style) for span in line.spans if span.start <= start and end <= span.end
        )
        parts.append(element("strong", words) if "bold" in styles else words)
    return joined(*parts)


def _table(shown: Table) -> Markup:
    columns = shown.columns
    right = [column.justify == "right" for column in columns]
    head = element(
        "tr",
        *(
            element("th", _cell(column.header), scope="col", class_="num" if number else None)
            for column, number in zip(columns, right, strict=True)
        ),
    )
    cells = [[*map(_cell, column.cells)] for column in columns]
    rows = (
        element(
            "tr",
            *(
                _entry(column[i], at == 0, number)
                for at, (column, number) in enumerate(zip(cells, right, strict=True))
            ),
            class_="best" if str(row.style or "") == "bold" else None,
        )
        for i, row in enumerate(shown.rows)
    )
    title = str(shown.title or "")
    return element(
        "div",
        element(
            "table",
            element("caption", title) if title else None,
            element("thead", head),
            element("tbody", *rows),
        ),
        class_="table-wrap",
        tabindex=0,
        role="region",
        aria_label=title or "Table",
    )


def _entry(content: Markup, is_first: bool, is_number: bool) -> Markup:
    """Cell of a row; the first one is the row's header."""
    attributes = {"class_": "num" if is_number else None}
    if is_first and not is_number:
        return element("th", content, scope="row", **attributes)
    return element("td", content, **attributes)


def _cell(shown: RenderableType) -> Markup:
    if isinstance(shown, Text):
        return joined(shown.plain)
    return joined(str(shown))
