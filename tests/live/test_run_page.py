"""The live page of a run in a real browser: worker processes, one of which is killed."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cloudpickle
import pytest

from isocline.dispatch import Scheduler
from tests.live.browser import Browser, browsing, contrast_script
from tests.live.processes import until

cloudpickle.register_pickle_by_value(sys.modules[__name__])

LATEST = "Number(document.getElementById('main').dataset.latest ?? 0)"
BAD = "bad <b>&"  # a task that fails


def step(value: str, folder: str) -> str:
    """Take some time, or until the run is to end; a held worker leaves its process's number."""
    if value == "held":
        with open(f"{folder}/held-{os.getpid()}", "w"):  # noqa: PTH123 - at a worker
            pass
    if value == "bad":
        raise ValueError(f"no {value} <i>")
    end = time.monotonic() + 0.05
    while value == "held" and not os.path.exists(f"{folder}/gate"):  # noqa: PTH110
        time.sleep(0.01)
    while time.monotonic() < end:
        time.sleep(0.01)
    return value


@dataclass
class Stage:
    """A browser before a run whose tasks go on until the gate is opened."""

    browser: Browser
    url: str
    folder: Path
    scheduler: Scheduler

    def open(self) -> Browser:
        self.browser.show(1200)
        self.browser.open("about:blank")
        self.browser.open(self.url)
        self.browser.until("document.querySelectorAll('#nodes tbody tr').length === 2")
        return self.browser


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("run-page")
    with browsing(folder / "profile") as browser:
        live = Scheduler(nodes=2, locations=lambda _: ["n0"], loader=str, copies=False)
        try:
            url = live.open_page(name="a <run>", total=43)
            failed = live.submit(step, "bad", str(folder), key=BAD)
            for n in range(31):
                live.submit(step, "quick", str(folder), key=f"t{n}")
            assert failed.exception()  # it is not to wait at a node behind one that is held
            live.submit(step, "held", str(folder), key="<held>")
            for n in range(10):  # enough for both nodes, whichever takes the first
                live.submit(step, "held", str(folder), key=f"held {n}")
            yield Stage(browser, url, folder, live)
        finally:
            (folder / "gate").touch()
            live.close()


def test_the_page_shows_nodes_progress_and_failures(stage: Stage) -> None:
    browser = stage.open()
    assert browser.text("#system") == "a <run>"
    assert browser.text("#policy") == "late_binding"
    names = browser.run(
        "return [...document.querySelectorAll('#nodes tbody th')].map(it => it.textContent)"
    )
    assert names == ["n0", "n1"]
    rows = "[...document.querySelectorAll('#nodes tbody tr')]"
    browser.until(f"{rows}.every((it) => it.querySelector('.task').textContent.includes('held'))")
    failed = "document.querySelector('#events .kind-failed')"
    browser.until(f"{failed} !== null")
    assert BAD in browser.run(f"return {failed}.textContent")
    assert "<i>" in browser.run(f"return {failed}.textContent")  # as text, whatever is in it
    assert not browser.run("return document.querySelector('main i')")
    browser.until("document.getElementById('stat-failed').textContent === '1'")
    assert browser.text("#stat-left") != "finished"
    role = "return document.getElementById('progress').getAttribute('aria-valuetext')"
    assert "of 43 tasks" in browser.run(role)
    browser.until("document.getElementById('timeline').getAttribute('aria-label').includes('n0')")
    assert not browser.errors()


@pytest.mark.parametrize("width", [320, 390, 900, 1600])
def test_no_width_scrolls_sideways(stage: Stage, width: int) -> None:
    browser = stage.open()
    browser.show(width)
    before = browser.run(f"return {LATEST}")
    browser.until(f"{LATEST} > arguments[0]", before)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert browser.run("return document.getElementById('timeline').clientWidth") < width


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_can_be_read(stage: Stage, dark: bool) -> None:
    browser = stage.open()
    browser.show(1200, dark=dark)
    poor = browser.run(
        contrast_script()
        + """
        return [...document.querySelectorAll('main *, header *')]
          .filter((it) => it.checkVisibility() && !it.closest('svg, canvas, .visually-hidden'))
          .filter((it) => [...it.childNodes].some((node) => node.data?.trim()))
          .map((it) => [it.textContent.slice(0, 40), it.className, contrast(it)])
          .filter(([, , found]) => found < 4.5)
        """
    )
    assert not poor


def test_all_that_matters_has_a_role_and_a_name(stage: Stage) -> None:
    browser = stage.open()
    found = browser.accessible()
    roles = {role for role, _ in found}
    assert {"main", "log", "table", "progressbar", "button", "heading"} <= roles
    named = {"button", "image", "img", "link", "log", "progressbar", "region", "table"}
    assert not [role for role, name in found if role in named and not name.strip()]


def test_no_other_host_is_asked(stage: Stage) -> None:
    stage.browser.requested()
    browser = stage.open()
    asked = [it for it in browser.requested() if not it.startswith(("data:", "about:"))]
    assert len(asked) > 6
    assert [it for it in asked if not it.startswith(stage.url)] == []


def test_a_killed_node_and_the_end(stage: Stage) -> None:
    """The last test: it ends the run."""
    browser = stage.open()
    until(lambda: any(stage.folder.glob("held-*")), lambda: "no task has begun")
    held = next(stage.folder.glob("held-*"))  # and cannot be between two tasks
    os.kill(int(held.name.removeprefix("held-")), signal.SIGKILL)
    until(
        lambda: stage.scheduler.statistics().attempts["lost"],
        lambda: "the attempt is not lost",
    )
    marks = "[...document.querySelectorAll('#nodes tbody tr')].map(it => it.lastChild.textContent)"
    browser.until(f"{marks}.some((it, n, all) => all.reduce((a, b) => a + Number(b), 0) >= 2)")
    (stage.folder / "gate").touch()
    closing = threading.Thread(target=stage.scheduler.close)
    closing.start()
    browser.until("document.getElementById('connection').dataset.state === 'ended'")
    closing.join()
    browser.until("document.getElementById('stat-left').textContent === 'finished'")
    assert browser.text("#stat-done") == "42"
    assert browser.run("return document.getElementById('main').dataset.state") == "failed"
    browser.until("document.querySelectorAll('#explanation li').length > 0")
    browser.until("document.querySelector('#events .kind-finished') !== null")
