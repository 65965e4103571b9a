"""Tables of a live run: tasks by node, failures, and the explanation."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.dispatch.batch.result import BatchResult, Failure
from isocline.dispatch.coordinator.run_statistics import RunStatistics
from isocline.dispatch.explain import sentences
from isocline.dispatch.telemetry.records import LEVELS
from isocline.dispatch.telemetry.timeline import NodeRow
from isocline.dispatch.user_code_guard import printable
from isocline.plural import counted
from isocline.report.tables.style import MOST_ROWS, Column, names, table
from isocline.report.words import duration, number

_MOST_NODES = 4  # nodes named as having run copies
_MOST_FAILURES = 5  # shown with tracebacks; --json and the results have all


def dispatch_report(result: BatchResult) -> RenderableType:
    """Report of `isocline run`."""
    parts: list[RenderableType] = [run_text(result)]
    if rows := result.nodes():
        parts += [nodes_table(rows), Text()]
    if result.failures:
        parts += [failures_text(result.failures), Text()]
    parts.append(Text("\n".join(sentences(result.explanation)), style="dim"))
    return Group(*parts)


def rate(statistics: RunStatistics) -> str:
    """Finished tasks per second since the start."""
    return f"{number(statistics.finished / max(statistics.elapsed, 1e-9), 3)}/s"


def shares(statistics: RunStatistics) -> str:
    """Share of finished tasks by level: "92 % local, 8 % remote"."""
    known = [level for level in LEVELS if statistics.levels[level]]
    percent = {level: round(100 * statistics.share(level)) for level in known}
    if percent:  # rounded so that they add up to 100
        largest = max(percent, key=lambda level: percent[level])
        percent[largest] += 100 - sum(percent.values())
    return ", ".join(f"{share} % {level}" for level, share in percent.items())


def run_text(result: BatchResult) -> Text:
    """Outcome of a run, in a few lines."""
    found = result.statistics
    where = f", {shares(found)}" if found.finished else ""
    good = result.status == "done"
    text = Text.assemble(
        (f"{result.name}: {result.status}", "bold" if good else "bold red"),
        f"  {counted(found.finished, 'task')} in {duration(found.elapsed)}, {rate(found)}{where}; "
        f"policy {result.policy}\n",
    )
    rest = {
        "from an earlier run": found.resumed,
        "failed": found.failed,
        "cancelled": found.cancelled,
        "with neither result nor failure": result.unanswered,
    }
    said = [f"{count:,} {what}" for what, count in rest.items() if count]
    again = [
        f"{count:,} {outcome}"
        for outcome, count in found.attempts.items()
        if count and outcome in ("raised", "timed out", "lost", "surpassed")
    ]
    if again:
        said.append(f"attempts: {', '.join(again)}")
    if said:
        text.append(f"{'; '.join(said)}\n")
    if found.copies:
        text.append(f"{_copies(result)}\n")
    return text


def _copies(result: BatchResult) -> str:
    """Nodes that ran copies of slow tasks."""
    found = result.statistics
    at = Counter(it.node for it in result.timeline.attempts if it.copy)
    nodes = [f"{node} ({count:,})" for node, count in at.most_common(_MOST_NODES)]
    more = [f"{len(at) - _MOST_NODES} more"] if len(at) > _MOST_NODES else []
    return (
        f"copies of slow tasks that ran at the same time: {found.copies:,}"
        + (f", at {', '.join([*nodes, *more])}" if nodes else "")
        + f"; {found.copies_first:,} done first (--no-copies: none)"
    )


def nodes_table(nodes: Sequence[NodeRow]) -> Table:
    """Tasks of each node by locality level, and the share of time for which it was busy."""
    columns: list[Column[NodeRow]] = [
        names("node", "node"),
        *(Column[NodeRow](name, name, _count) for name in ("tasks", *LEVELS, "failed")),
        Column("busy", "busy", lambda share: f"{share:.0%}"),
    ]
    made = table("", columns, nodes[:MOST_ROWS])
    if len(nodes) > MOST_ROWS:
        made.title = f"first {MOST_ROWS} of {len(nodes)} nodes; --json has all"
    return made


def _count(number: int) -> str:
    return f"{number:,}" if number else "–"


def failures_text(failures: Sequence[Failure]) -> Text:
    """First failures, with their tracebacks."""
    lines = Text()
    for failure in failures[:_MOST_FAILURES]:
        at = f" at {failure.node}" if failure.node else ""
        lines.append(printable(f"{failure.key}{at}: {failure.error}\n"), style="red")
        if failure.traceback:
            lines.append(printable(f"{failure.traceback.rstrip()}\n"))
    if len(failures) > _MOST_FAILURES:
        lines.append(f"and {len(failures) - _MOST_FAILURES:,} more; the results have all\n", "red")
    lines.rstrip()
    return lines
