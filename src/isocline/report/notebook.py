"""Rendering of results and systems in notebooks: tables of the terminal as HTML, and the picture.

Colours are inherited, so that tables suit light and dark notebooks. The picture is drawn for both,
and a stylesheet shows the matching one; if matplotlib's active style is already dark, it is drawn
once, in that style. All text is escaped.
"""

import base64
import html
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.errors import MissingExtraError
from isocline.model.cluster import Cluster, ExplicitTasks
from isocline.model.fleet import RoutingSystem
from isocline.record import Record, reported
from isocline.report.tables.curves import formula
from isocline.report.tables.style import Column, names, table
from isocline.report.words import duration, listed, number

if TYPE_CHECKING:
    from isocline.dispatch.coordinator.run_statistics import RunStatistics
    from isocline.dispatch.explain import Explanation

MOST_ROWS = 20  # of a table in a notebook
# Light or dark as in JupyterLab, VS Code and Sphinx themes, or else by the system's setting.
_SHEET = """
.isocline table { border-collapse: collapse; margin: 0.3em 0 0.9em; font-size: 0.92em; }
.isocline caption { text-align: left; font-weight: 600; padding-bottom: 0.25em; color: inherit; }
.isocline th, .isocline td { padding: 0.2em 0.7em; text-align: right; background: none;
  border: 0; border-bottom: 1px solid rgba(128, 128, 128, 0.25); color: inherit; }
.isocline th { border-bottom: 1px solid rgba(128, 128, 128, 0.7); font-weight: 500; opacity: 0.75; }
.isocline td { white-space: nowrap; }
.isocline .left { text-align: left; white-space: normal; }
.isocline .small { font-size: 0.85em; opacity: 0.75; max-width: 60em; }
.isocline .warning { border-left: 3px solid #d55e00; padding-left: 0.6em; }
.isocline p { margin: 0.2em 0 0.6em; white-space: pre-line; }
.isocline img { max-width: 100%; height: auto; }
.isocline .of-dark { display: none; }
@media (prefers-color-scheme: dark) {
  body:not([data-jp-theme-light]):not([data-theme="light"]) .isocline .of-light { display: none; }
  body:not([data-jp-theme-light]):not([data-theme="light"]) .isocline .of-dark { display: inline; }
}
[data-jp-theme-light="false"] .isocline .of-light, [data-theme="dark"] .isocline .of-light,
.vscode-dark .isocline .of-light { display: none; }
[data-jp-theme-light="false"] .isocline .of-dark, [data-theme="dark"] .isocline .of-dark,
.vscode-dark .isocline .of-dark { display: inline; }
"""
_CLASSES = {"red": "warning", "dim": "small"}  # class of a text, by its style on a terminal


def record_html(record: Record) -> str:
    """A result's tables, and its picture if matplotlib is installed."""
    return _page(_words(record), *_pictures(record))


def system_html(system: RoutingSystem) -> str:
    """Tables of backends with their curves, and of frontends with their backends."""
    unit = system.work.unit
    backends: list[Column[Any]] = [
        names("backend", "name"),
        Column("curve", lambda it: formula(it.curve), left=True),
        Column(f"peak, {unit}/s", lambda it: it.curve.supremum, number),
    ]
    reached = {
        frontend.name: [system.backends[sink].name for sink in system.graph.neighbours(index)]
        for index, frontend in enumerate(system.frontends[:MOST_ROWS])
    }
    frontends: list[Column[Any]] = [
        names("frontend", "name"),
        Column("jobs/s", lambda it: it.arrivals.rate, number),
        Column("may use", lambda it: listed(reached[it.name]), left=True),
    ]
    return _page(
        html_of(Text(f"{system.name}: {_count(system.backends)} backends, "
                     f"{_count(system.frontends)} frontends", "bold")),
        html_of(table("", backends, system.backends, most=MOST_ROWS)),
        html_of(table("", frontends, system.frontends, most=MOST_ROWS)),
    )  # fmt: skip


def cluster_html(cluster: Cluster) -> str:
    """Table of a cluster's rates, with its servers, racks and tasks."""
    rates, tasks = cluster.rates, cluster.tasks
    levels = [("local", rates.local), ("rack", rates.rack), ("remote", rates.remote)]
    columns: list[Column[tuple[str, Any]]] = [
        Column("rate of a server", lambda row: row[0], left=True),
        Column("tasks/s", lambda row: row[1], number),
    ]
    said = (
        f"{number(float(tasks.rates.sum()))} tasks/s of {_count(tasks.rates)} types"
        if isinstance(tasks, ExplicitTasks)
        else f"{number(tasks.rate)} tasks/s, {tasks.replicas} replicas of each chunk"
    )
    return _page(
        html_of(Text(f"{cluster.name}: {_count(cluster.servers)} servers, "
                     f"{_count(cluster.racks)} racks", "bold")),
        html_of(table("", columns, [row for row in levels if row[1] is not None])),
        html_of(Text(said)),
    )  # fmt: skip


def statistics_html(statistics: "RunStatistics") -> str:
    """Counts of a run so far, without zeros."""
    counts = {
        name: getattr(statistics, name)
        for name in ("finished", "running", "waiting", "resumed", "failed", "cancelled", "copies")
    } | {f"ran {level}": count for level, count in statistics.levels.items()}
    columns: list[Column[tuple[str, int]]] = [
        Column("tasks", lambda row: row[0], left=True),
        Column("", lambda row: f"{row[1]:,}"),
    ]
    rows = [row for row in counts.items() if row[1]]
    after = f"{duration(statistics.elapsed)} since the first task, {statistics.nodes} nodes up"
    return _page(html_of(Text(after, "bold")), html_of(table("", columns, rows)))


def explanation_html(explanation: "Explanation") -> str:
    """Sentences of an explanation, as a list."""
    return _page(html_of(Text(str(explanation))))


def html_of(renderable: RenderableType) -> str:
    """Convert the result of a table module: a group, a table, a text or a string."""
    if isinstance(renderable, Group):
        return "\n".join(html_of(part) for part in renderable.renderables)
    if isinstance(renderable, Table):
        return _table(renderable)
    plain = renderable.plain if isinstance(renderable, Text) else str(renderable)
    if not plain.strip():
        return ""
    name = _CLASSES.get(str(renderable.style)) if isinstance(renderable, Text) else None
    return f"<p{_class(name)}>{html.escape(plain.strip())}</p>"


def _table(made: Table) -> str:
    columns = made.columns
    sides = ["left" if column.justify == "left" else None for column in columns]
    parts = ["<table>"]
    if made.title:
        parts.append(f"<caption>{_text(made.title)}</caption>")
    heads = zip(columns, sides, strict=True)
    parts.append(_row("th", [(column.header, side) for column, side in heads]))
    cells = list(zip(*(column.cells for column in columns), strict=True))
    parts += [_row("td", list(zip(row, sides, strict=True))) for row in cells[:MOST_ROWS]]
    parts.append("</table>")
    if len(cells) > MOST_ROWS:
        parts.append(f'<p class="small">and {len(cells) - MOST_ROWS:,} rows more</p>')
    return "\n".join(parts)


def _row(tag: str, cells: list[tuple[RenderableType, str | None]]) -> str:
    inner = "".join(f"<{tag}{_class(side)}>{_text(cell)}</{tag}>" for cell, side in cells)
    return f"<tr>{inner}</tr>"


def _text(cell: RenderableType) -> str:
    return html.escape(cell.plain if isinstance(cell, Text) else str(cell))


def _class(name: str | None) -> str:
    return f' class="{name}"' if name else ""


def _count(things: Any) -> str:
    return f"{len(things):,}"


def _words(record: Record) -> str:
    """Tables of the terminal if the record has them, otherwise its data frame."""
    if record.words:
        return html_of(reported(record.words, record))
    try:
        return record.to_frame().to_html(max_rows=MOST_ROWS, border=0)
    except MissingExtraError:
        return f"<pre>{html.escape(repr(record))}</pre>"


def _pictures(record: Record) -> Iterator[str]:
    """Pictures for light and dark notebooks, or one in the active style if that is dark."""
    try:
        from isocline.report.plots.theme import DARK, theme  # noqa: PLC0415 - matplotlib
    except MissingExtraError:
        return
    if theme() is DARK:
        yield _picture(record, "")
        return
    from matplotlib import style  # noqa: PLC0415 - optional

    yield _picture(record, "of-light")
    with style.context("dark_background"):
        yield _picture(record, "of-dark")


def _picture(record: Record, name: str) -> str:
    figure, file = record.plot(), io.BytesIO()
    # With the background for which it was drawn, whatever the active style says; at twice the
    # resolution, for high-density screens.
    figure.savefig(file, format="png", dpi=200, facecolor=figure.get_facecolor())
    data, width = base64.b64encode(file.getvalue()).decode("ascii"), figure.get_figwidth() * 100
    return (
        f'<img{_class(name)} width="{width:.0f}" alt="{type(record).__name__}" '
        f'src="data:image/png;base64,{data}">'
    )


def _page(*parts: str) -> str:
    return f'<div class="isocline"><style>{_SHEET}</style>\n' + "\n".join(parts) + "\n</div>"
