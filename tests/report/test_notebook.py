"""Results and systems as a notebook shows them."""

import html
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from matplotlib import style
from rich.console import Group
from rich.table import Table
from rich.text import Text

import isocline
from isocline.dispatch import Scheduler
from isocline.report.notebook import html_of

EXAMPLES = Path(__file__).parents[2] / "examples"
NASTY = "<script>alert('&')</script>"


def fleet(name: str = "fleet", backends: int = 2) -> isocline.RoutingSystem:
    return isocline.RoutingSystem(
        frontends=(isocline.Frontend(f"f {name}", isocline.PoissonArrivals(1.0)),),
        backends=tuple(
            isocline.Backend(f"b{i} {name}", isocline.HyperbolicCurve(2.0, 3.0))
            for i in range(backends)
        ),
        graph=isocline.CompatibilityGraph.from_neighbours(backends, [range(backends)]),
        name=name,
    )


def short(load: float) -> isocline.Comparison:
    return isocline.simulate(
        fleet(NASTY), ["jsq", "gmsr"], load=load, horizon=600.0, warmup=10.0, replications=2
    )


class Checker(HTMLParser):
    """Every element that is opened is closed, and what stands where."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self.seen.append(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(shown: str) -> Checker:
    checker = Checker()
    checker.feed(shown)
    assert not checker.open
    return checker


def cluster() -> isocline.Cluster:
    return isocline.load(EXAMPLES / "small_cluster.yaml", kind="near-data")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        pytest.param(lambda: fleet(NASTY), ["hyperbolic, half 3", "f " + NASTY], id="system"),
        pytest.param(cluster, ["small cluster: 6 servers, 3 racks", "remote"], id="cluster"),
        pytest.param(
            lambda: isocline.plan(fleet(NASTY)), [f"b1 {NASTY}", "Certificate"], id="plan"
        ),
        pytest.param(
            lambda: isocline.plan(cluster()), ["who helps whom", "beneficiary"], id="near-data plan"
        ),
        pytest.param(lambda: short(0.5), ["gmsr", NASTY], id="comparison"),
        pytest.param(
            lambda: isocline.Sweep((short(0.3), short(0.6))), ["0.300", "bound"], id="sweep"
        ),
    ],
)
def test_all_is_shown_and_nothing_of_a_name_is_markup(
    made: Callable[[], Any], words: list[str]
) -> None:
    shown = made()._repr_html_()
    checker = checked(shown)
    assert "script" not in checker.seen
    assert "table" in checker.seen
    for word in words:
        assert html.escape(word).lower() in shown.lower()


def test_what_a_cell_says_with_brackets_is_text() -> None:
    made = Table(title="[bold]a & b[/bold]")
    made.add_column("x<y", justify="left")
    made.add_row("[red]&amp;[/red]")
    shown = html_of(Group(made, Text("warned", "red"), Text(), "plain"))
    assert "<caption>[bold]a &amp; b[/bold]</caption>" in shown
    assert '<th class="left">x&lt;y</th>' in shown
    assert '<td class="left">[red]&amp;amp;[/red]</td>' in shown
    assert '<p class="warning">warned</p>' in shown
    assert shown.count("<p") == 2  # nothing for the empty line
    checked(shown)


def test_long_tables_are_cut_and_say_so() -> None:
    shown = isocline.plan(fleet(backends=60))._repr_html_()
    assert shown.count("<tr>") < 60
    assert "rows more" in shown
    assert "20 of 60" in fleet(backends=60)._repr_html_()


def test_a_light_notebook_gets_a_light_picture_and_a_dark_one_a_dark_one() -> None:
    shown = isocline.plan(fleet())._repr_html_()
    pictures = re.findall(r'<img class="([\w-]+)"[^>]*src="([^"]+)"', shown)
    assert [name for name, _ in pictures] == ["of-light", "of-dark"]
    assert pictures[0][1] != pictures[1][1]
    with style.context("dark_background"):
        dark = isocline.plan(fleet())._repr_html_()
    assert re.findall(r'<img width="\d+" [^>]*src="([^"]+)"', dark) == [pictures[1][1]]


def test_without_matplotlib_the_tables_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [it for it in sys.modules if it.startswith("isocline.report.plots")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    checker = checked(isocline.plan(fleet())._repr_html_())
    assert "table" in checker.seen
    assert "img" not in checker.seen


def test_a_scheduler_shows_its_counts_and_its_explanation() -> None:
    with Scheduler(nodes=1, locations=lambda _: ["n0"], loader=str) as scheduler:
        assert list(scheduler.map(len, ["part-0", "part-11"])) == [6, 7]
        counts, said = scheduler.statistics(), scheduler.explain()
    shown = counts._repr_html_()
    assert '<td class="left">finished</td><td>2</td>' in shown
    assert "failed" not in shown  # none did
    for sentence in str(said).splitlines():
        assert html.escape(sentence) in said._repr_html_()
