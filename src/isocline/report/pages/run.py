"""Page on a run: summary, timeline, nodes, failures, explanation."""

from rich.text import Text

from isocline.dispatch.batch.recorded import RecordedRun
from isocline.dispatch.batch.result import BatchResult, Failure
from isocline.dispatch.explain import sentences
from isocline.dispatch.telemetry.records import LEVELS
from isocline.pages import Markup, element, joined
from isocline.plural import counted
from isocline.report.pages.flow_graph import End, Flow, FlowGraph
from isocline.report.pages.frame import (
    Origin,
    Section,
    bullets,
    meters,
    origin_section,
    report_page,
    stats,
)
from isocline.report.pages.pictures import figure_of, picture
from isocline.report.pages.tables import html_of, lines_of
from isocline.report.plots.timeline import batch_plot
from isocline.report.tables.dispatch import nodes_table, rate, run_text, shares
from isocline.report.words import duration, number, percent

_MOST_METERS = 24
_MOST_FAILURES = 20


def run_page(run: RecordedRun, origin: Origin) -> str:
    """Make the page.

    Args:
        run: Recorded run.
        origin: Origin of the record.
    """
    result = run.result
    sections = [
        _summary(result),
        _timeline_section(run),
        _nodes_section(run),
        _helped_section(result),
        _failure_section(result),
        _explanation_section(run),
        origin_section(origin),
    ]
    found = result.statistics
    lead = (
        f"{counted(found.finished, 'task')} in {duration(found.elapsed)} at "
        f"{counted(len(run.nodes) or found.nodes, 'node')}; policy {result.policy}."
    )
    return report_page(result.name, "Run", lead, sections)


def _summary(result: BatchResult) -> Section:
    found = result.statistics
    done = result.status == "done"
    figures = stats(
        [
            ("Tasks", f"{found.finished:,}", f"finished, {rate(found)}"),
            ("Time", duration(found.elapsed), "from the first submission to the last end"),
            ("Near their data", percent(found.share("local")) if found.finished else "–",
             "of the tasks ran where their data is"),
            ("Failed", f"{found.failed:,}", "tasks"),
        ]
    )  # fmt: skip
    lines = list(lines_of(run_text(result)))
    # The explanation's first line repeats the figures.
    said: list[object] = [f"The run is {result.status}: {shares(found) or 'no task finished'}."]
    said += lines[1:]
    if result.problem:
        said.append(result.problem)
    warning = None if done else element(
        "p", f"Not every task has a result: the run is {result.status}.", class_="callout warn"
    )  # fmt: skip
    return Section("summary", "In short", joined(warning, figures, bullets(said)))


def _timeline_section(run: RecordedRun) -> Section | None:
    result = run.result
    if not result.timeline.attempts:
        return None
    drawn = picture(
        lambda: batch_plot(result),
        f"A bar for each attempt at {counted(len(result.timeline.nodes), 'node')} over "
        f"{duration(result.statistics.elapsed)}: {shares(result.statistics) or 'none finished'}.",
    )
    hint = "A row for each node, a bar for each attempt; the colour shows how near its data was."
    return Section("timeline", "Timeline", figure_of(drawn, "Gaps are idle time."), hint)


def _nodes_section(run: RecordedRun) -> Section | None:
    if not run.nodes:
        return None
    bars = meters((row.node, row.busy, percent(row.busy)) for row in run.nodes[:_MOST_METERS])
    content = joined(html_of(nodes_table(run.nodes)), element("h3", "Busy"), bars)
    hint = "Busy: the share of the run in which a node ran tasks."
    return Section("nodes", "Nodes", content, hint)


def _helped_section(result: BatchResult) -> Section | None:
    helped = result.explanation.helped
    if not helped:
        return None
    givers = list(dict.fromkeys(entry.helper for entry in helped))
    takers = list(dict.fromkeys(entry.beneficiary for entry in helped))
    gives = {name: sum(e.tasks for e in helped if e.helper == name) for name in givers}
    takes = {name: sum(e.tasks for e in helped if e.beneficiary == name) for name in takers}
    graph = FlowGraph(
        "Who helped whom",
        " ".join(
            f"{e.helper} ran {number(e.tasks)} tasks for {e.beneficiary}." for e in helped[:12]
        ),
        ("ran the tasks", "hold the data"),
        [End(n, gives[n], 1, f"{number(gives[n], 3)} tasks") for n in givers],
        [End(n, takes[n], 2, f"{number(takes[n], 3)} tasks") for n in takers],
        [Flow(givers.index(e.helper), takers.index(e.beneficiary), e.tasks) for e in helped],
    )
    hint = "A ribbon is as wide as the tasks that a node ran for one that holds their data."
    return Section("helped", "Who helped whom", element("figure", graph.svg()), hint)


def _failure_section(result: BatchResult) -> Section | None:
    if not result.failures:
        return None
    shown = [_failure(one) for one in result.failures[:_MOST_FAILURES]]
    rest = len(result.failures) - len(shown)
    more = element("p", f"And {counted(rest, 'failure')} more.", class_="hint") if rest else None
    return Section("failures", "Failures", joined(*shown, more))


def _failure(failure: Failure) -> Markup:
    at = f" at {failure.node}" if failure.node else ""
    trace = element("pre", failure.traceback.rstrip()) if failure.traceback else None
    return element(
        "div",
        element("h3", f"{failure.key}{at}"),
        element("p", failure.error, class_="warning"),
        trace,
        class_="failure",
    )


def _explanation_section(run: RecordedRun) -> Section:
    said = list(sentences(run.result.explanation))
    seconds = run.result.explanation.seconds
    figures = [
        (f"One {level} task", duration(seconds[level]), "at its node, on average")
        for level in LEVELS
        if level in seconds
    ]
    content = joined(
        stats(figures) if figures else None,
        bullets(said),
        *(html_of(Text(line, style="dim")) for line in run.gaps),
    )
    hint = (
        "Reasons for the length of the run, from measurements: the capacity of the nodes at these "
        "rates, and copies of data that would raise it."
    )
    return Section("explanation", "Explanation", content, hint)
