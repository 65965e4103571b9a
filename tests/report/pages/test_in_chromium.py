"""Pages in a real browser: nothing complains, nothing is cut, at three widths and on paper."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import isocline
from isocline.dispatch.batch.recorded import RecordedRun
from isocline.report.pages.findings import ClusterFindings, Policies
from isocline.report.pages.near_data import near_data_page
from isocline.report.pages.routing import routing_page
from isocline.report.pages.run import run_page
from isocline.theory.scheduling.near_data_plan import near_data_plan
from tests.report import cluster_results
from tests.report.dispatch_results import result
from tests.report.pages.browser import Browser
from tests.report.pages.reading import ORIGIN, routing_findings

LONG = "inference-h100-80gb-eu-west-1-zone-b-rack-17"

# What is wider than its box, but for what scrolls in its own.
CUT = """
[...document.querySelectorAll("main *")].filter(it =>
  it.scrollWidth > it.clientWidth + 1 && it.clientWidth > 0 &&
  !["auto", "scroll"].includes(getComputedStyle(it).overflowX) && !it.closest("svg") &&
  getComputedStyle(it).display !== "inline"
).map(it => `${it.tagName}.${it.className}: ${it.textContent.slice(0, 40)}`)
"""
# Letters of pictures that stick out of them.
OUTSIDE = """
[...document.querySelectorAll("svg")].filter(it => it.getBoundingClientRect().width > 0)
.flatMap(svg => { const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter(it => { const b = it.getBoundingClientRect();
    return b.width > 0 && (b.left < box.left - 2 || b.right > box.right + 2
      || b.top < box.top - 2 || b.bottom > box.bottom + 2) }).map(it => it.textContent) })
"""
SMALLEST = """
Math.min(...[...document.querySelectorAll("svg text")].map(it => it.getBoundingClientRect().height)
  .filter(height => height > 0))
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    plan = near_data_plan(isocline.load("examples/near_data.yaml", kind="near-data"))
    own = cluster_results.make()
    texts = {
        "routing": routing_page(routing_findings([f"{LONG}-{i}" for i in range(12)]), ORIGIN),
        "near-data": near_data_page(ClusterFindings(plan, Policies(own, (own, own))), ORIGIN),
        "run": run_page(RecordedRun.of(result(failures=2)), ORIGIN),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as made:
        yield made


@pytest.mark.parametrize("name", ["routing", "near-data", "run"])
def test_at_three_widths_nothing_is_cut_and_nothing_complains(
    name: str, pages: dict[str, Path], browser: Browser
) -> None:
    browser.complaints.clear()
    for width in (390, 900, 1600):
        for dark in (False, True):
            browser.open(pages[name], width, dark=dark)
            assert browser.value("document.documentElement.scrollWidth") <= width
            assert browser.value(CUT) == []
            assert browser.value(OUTSIDE) == []
            assert browser.value(SMALLEST) >= 9.0
    assert browser.complaints == []


def test_colours_follow_the_theme(pages: dict[str, Path], browser: Browser) -> None:
    ink = 'getComputedStyle(document.querySelector("figure svg text")).fill'
    browser.open(pages["routing"])
    light = browser.value(ink)
    browser.open(pages["routing"], dark=True)
    assert browser.value(ink) != light


@pytest.mark.parametrize("name", ["routing", "near-data", "run"])
def test_on_paper_all_is_there(
    name: str, pages: dict[str, Path], browser: Browser, tmp_path: Path
) -> None:
    browser.open(pages[name])
    shown = browser.value("[...document.querySelectorAll('h1, h2')].map(it => it.textContent)")
    ends = browser.value(
        "[...document.querySelectorAll('td, tbody th')].map(it => it.textContent.split(' ').pop())"
    )
    heads = browser.value("[...document.querySelectorAll('thead th')].map(it => it.textContent)")
    (tmp_path / "page.pdf").write_bytes(browser.pdf())
    printed = subprocess.run(
        ["pdftotext", "-layout", tmp_path / "page.pdf", "-"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    said = re.sub(r"\s+", "", printed)
    for words in [*shown, *ends]:
        assert re.sub(r"\s+", "", words) in said, words
    for word in {word for head in heads for word in re.split(r"[\s/]+", head)}:
        assert word in printed  # not broken
    boxes = subprocess.run(
        ["pdftotext", "-bbox", tmp_path / "page.pdf", "-"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    sheets = re.findall(r'<page width="([\d.]+)" height="([\d.]+)">(.*?)</page>', boxes, re.DOTALL)
    assert sheets
    for width, height, words in sheets:
        for box in re.findall(r'xMin="(.+?)" yMin="(.+?)" xMax="(.+?)" yMax="(.+?)"', words):
            left, top, right, bottom = map(float, box)
            assert 0 <= left <= right <= float(width)
            assert 0 <= top <= bottom <= float(height)
