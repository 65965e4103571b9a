"""The page of a run, from what `isocline run` has written."""

from dataclasses import replace

from isocline.dispatch.batch.recorded import RecordedRun
from isocline.report.pages.run import run_page
from isocline.report.words import duration
from tests.report.dispatch_results import result
from tests.report.pages.reading import HOSTILE, ORIGIN, Page

RUN = RecordedRun.of(result(failures=2))


def test_nodes_failures_and_explanation_are_those_of_the_run() -> None:
    page = Page(run_page(RUN, ORIGIN))
    assert page.requests() == []
    (table,) = page.tables
    assert {row[0]: row[1] for row in table[1:]} == {
        node.node: f"{node.tasks:,}" for node in RUN.nodes
    }
    assert "Not every task has a result: the run is failed." in page.words
    assert "bad0 at n0" in page.words
    assert "ValueError: no" in page.words
    for line in str(RUN.result.explanation).splitlines():
        assert line in page.words
    assert duration(RUN.result.statistics.elapsed) in page.words
    assert any(
        "A bar for each attempt at 3 nodes" in data for tag, data in page.texts if tag == "desc"
    )


def test_what_a_run_ran_stays_text() -> None:
    hostile = replace(
        RUN.result,
        name=f"{HOSTILE}\udcff",
        failures=tuple(one._replace(key=HOSTILE, error=HOSTILE) for one in RUN.result.failures),
    )
    page = Page(run_page(RecordedRun.of(hostile, HOSTILE), ORIGIN))
    assert page.requests() == []
    assert len(page.named("script")) == 1
    assert HOSTILE in page.words
    page.source.encode()  # a name that is no UTF-8 is written as an escape


def test_a_run_without_a_timeline_has_its_nodes_all_the_same() -> None:
    bare = replace(RUN.result, timeline=replace(RUN.result.timeline, attempts=()))
    page = Page(run_page(RecordedRun(bare, RUN.nodes, ("No timeline on record.",)), ORIGIN))
    assert "No timeline on record." in page.words
    assert len(page.tables[0]) == 1 + len(RUN.nodes)
    assert not page.named("svg") or "Timeline" not in page.words
