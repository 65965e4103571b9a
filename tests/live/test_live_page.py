"""The live page in a real browser, before a real router and backends that are killed."""

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.live.browser import Browser, browsing, contrast_script
from tests.live.processes import Counting, Live, counting, serving, system

# Number of the latest frame that the page has.
LATEST = "Number(document.getElementById('main').dataset.latest ?? 0)"
LARGE = 60  # backends, more than have boxes of their own


@dataclass
class Stage:
    """A browser before a router before three backends."""

    browser: Browser
    router: Live
    backends: list[Counting]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.router.admin}/"

    def open(self) -> Browser:
        """The page, once it has a whole frame."""
        self.browser.show(1200)
        self.browser.open("about:blank")
        self.browser.open(self.url)
        self.browser.until("document.querySelector('#backends tbody tr') !== null")
        return self.browser

    def frames(self, more: int) -> None:
        """Wait until so many more frames have come."""
        before = self.browser.run(f"return {LATEST}")
        self.browser.until(f"{LATEST} >= arguments[0]", before + more)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("live-page")
    with browsing(folder / "profile") as browser, counting(folder, "a", "b", "c <b>&") as backends:
        content = system(backends, health="off")
        with serving(folder, content) as router:
            yield Stage(browser, router, backends)


@contextmanager
def asking(port: int) -> Iterator[None]:
    """Requests, one after the other, whatever comes back."""
    over = threading.Event()

    def ask() -> None:
        for number in count():
            if over.is_set():
                return
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
            try:
                connection.request("GET", "/", headers={"X-Id": str(number)})
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            over.wait(0.02)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_the_page_shows_the_fleet(stage: Stage) -> None:
    browser = stage.open()
    with asking(stage.router.port):
        browser.until("parseFloat(document.getElementById('stat-rate').textContent) > 0")
        names = browser.until(
            "[...document.querySelectorAll('#backends tbody th')].map(it => it.textContent)"
        )
        assert names == ["a", "b", "c <b>&"]  # as text, whatever is in them
        assert not browser.run("return document.querySelector('#backends b, #graph b')")
        states = browser.run(
            "return [...document.querySelectorAll('#backends .badge')].map(it => it.textContent)"
        )
        assert states.count("up") == 3
        browser.until("document.querySelectorAll('#graph .edge').length === 3")
        browser.until("document.querySelectorAll('#curves figure svg').length === 3")
        assert browser.text("#policy") == "round_robin"
        assert browser.text("#connection") == "live"
        browser.until(
            "document.querySelector('#plot-rate .visually-hidden').textContent.includes('requests')"
        )
    found = [it for it in browser.errors() if "api/controls" not in it]
    assert not found


def test_a_killed_backend_is_ejected_and_comes_back(stage: Stage) -> None:
    browser = stage.open()
    victim = stage.backends[1]
    has = "[...document.querySelectorAll('#events .kind-%s b')].some(it => it.textContent === 'b')"
    with asking(stage.router.port):
        victim.kill()
        try:
            browser.until(has % "ejected")
            # With one place to look: the state changes again once its time is over.
            browser.until("document.querySelector('#graph .state-ejected') !== null")
            line = browser.run("return document.querySelector('#events .kind-ejected').textContent")
            assert "gets no requests for a while" in line
            badge = "return document.querySelector('#events .kind-ejected .badge').className"
            assert "bad" in browser.run(badge)
        finally:
            victim.start()
        browser.until(has % "returned")
        browser.until("document.querySelectorAll('#backends .badge.ok').length === 3")


def test_pause_holds_the_page_still(stage: Stage) -> None:
    browser = stage.open()
    with asking(stage.router.port):
        browser.run(
            "window.moved = 0; new MutationObserver((found) => { window.moved += found.length; })"
            ".observe(document.getElementById('main'), "
            "{subtree: true, childList: true, characterData: true});"
        )
        browser.until("window.moved > 0")
        browser.press("#pause")
        assert (
            browser.run("return document.getElementById('pause').getAttribute('aria-pressed')")
            == "true"
        )
        assert browser.text("#connection") == "paused"
        stage.frames(2)  # an answer that was on its way may come
        browser.run("window.moved = 0")
        stage.frames(3)
        assert browser.run("return window.moved") == 0
        browser.press("#pause")
        browser.until("window.moved > 0")
        assert browser.text("#connection") == "live"


def test_a_page_that_is_opened_later_has_the_history(stage: Stage) -> None:
    browser = stage.open()
    for _ in range(2):
        browser.open("about:blank")
        browser.open(stage.url)
        since = browser.until("document.getElementById('main').dataset.since")
        opened = browser.run("return performance.timeOrigin / 1000")
        assert float(since) < opened


# Every stream that the page opens.
STREAMS = """
  window.streams = [];
  window.EventSource = class extends EventSource {
    constructor(path) { super(path); window.streams.push(this); }
  };
"""


def test_a_page_that_is_left_lets_its_connection_go_and_one_that_is_back_has_another(
    stage: Stage,
) -> None:
    browser = stage.browser
    added = browser.driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": STREAMS}
    )
    try:
        stage.open()
        states = "return window.streams.map((it) => it.readyState)"
        assert browser.run(states) == [1]
        passes = "dispatchEvent(new PageTransitionEvent(arguments[0], {persisted: true}))"
        browser.run(passes, "pagehide")
        assert browser.run(states) == [2]
        browser.run(passes, "pageshow")
        browser.until("window.streams[1]?.readyState === 1")
        stage.frames(2)
        assert browser.text("#connection") == "live"
        browser.run(passes, "pagehide")
        assert browser.run(states) == [2, 2]
        browser.run(passes, "pageshow")
        browser.until("window.streams[2]?.readyState === 1")
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_dark_and_light(stage: Stage) -> None:
    browser = stage.open()
    ground = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"

    def dark() -> bool:
        return bool(sum(browser.run(ground)) < 150)

    try:
        assert not dark()
        browser.show(1200, dark=True)
        assert dark()
        _readable(browser)
        toggle = "[data-theme-toggle]"
        browser.press(toggle)  # from the system's to light
        assert "Light" in browser.text(toggle)
        assert not dark()
        _readable(browser)
        browser.driver.refresh()  # it is kept
        browser.until("document.getElementById('main')?.dataset.latest !== undefined")
        assert not dark()
        browser.press(toggle)
        assert "Dark" in browser.text(toggle)
        browser.show(1200, dark=False)
        assert dark()
    finally:
        browser.run("localStorage.clear()")


def _readable(browser: Browser) -> None:
    """All text has the contrast of WCAG 2 AA."""
    poor = browser.run(
        contrast_script()
        + """
        return [...document.querySelectorAll('main *, header *')]
          .filter((it) => it.checkVisibility() && !it.closest('svg, .visually-hidden'))
          .filter((it) => [...it.childNodes].some((node) => node.data?.trim()))
          .map((it) => [it.textContent.slice(0, 40), it.className, contrast(it)])
          .filter(([, , found]) => found < 4.5)
        """
    )
    assert not poor


@pytest.mark.parametrize("width", [320, 390, 900, 1600])
def test_no_width_scrolls_sideways(stage: Stage, width: int) -> None:
    browser = stage.open()
    browser.show(width)
    stage.frames(1)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    cut = browser.run(
        """
        return [...document.querySelectorAll('main *')].filter((it) => it.checkVisibility()
            && !it.closest('.table-wrap, .visually-hidden, .tip')
            && it.getBoundingClientRect().right > innerWidth + 1)
          .map((it) => `${it.tagName} ${it.id} ${it.getAttribute('class')}`)
        """
    )
    assert not cut


def test_no_other_host_is_asked_and_none_could_be(stage: Stage) -> None:
    stage.browser.requested()
    browser = stage.open()
    browser.press("#backends button.choose")
    browser.until("document.querySelectorAll('#curves figure').length > 0")
    asked = [it for it in browser.requested() if not it.startswith(("data:", "about:"))]
    assert len(asked) > 8
    assert [it for it in asked if not it.startswith(stage.url)] == []
    browser.run(
        """
        window.forbidden = [];
        document.addEventListener('securitypolicyviolation', (event) => {
          window.forbidden.push(event.violatedDirective);
        });
        window.ran = false;
        const script = document.createElement('script');
        script.textContent = 'window.ran = true';
        document.body.append(script);
        fetch('http://127.0.0.1:1/').catch(() => {});
        """
    )
    browser.until("window.forbidden.length >= 2")
    directives = browser.run("return window.forbidden.map((it) => it.split('-src')[0])")
    assert set(directives) == {"connect", "script"}
    assert browser.run("return window.ran") is False
    browser.errors()


# Roles that say nothing without a name.
NAMED = {
    "button",
    "checkbox",
    "image",
    "img",
    "link",
    "log",
    "searchbox",
    "spinbutton",
    "table",
    "textbox",
}


def test_names_and_roles(stage: Stage) -> None:
    browser = stage.open()
    browser.until("document.querySelectorAll('#curves figure svg').length === 3")
    found = browser.accessible()
    roles = [role for role, _ in found]
    assert [it for it in found if it[0] in NAMED and not it[1].strip()] == []
    assert [roles.count(it) for it in ("main", "banner", "contentinfo")] == [1, 1, 1]
    assert roles.count("region") >= 8
    assert {"table", "columnheader", "rowheader", "log", "status", "heading"} <= set(roles)
    assert browser.run("return document.documentElement.lang") == "en"
    ids = browser.run("return [...document.querySelectorAll('[id]')].map((it) => it.id)")
    assert len(ids) == len(set(ids))
    levels = browser.run(
        "return [...document.querySelectorAll('h1, h2, h3')].map((it) => Number(it.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert browser.run("return document.getElementById('events').getAttribute('aria-live')") in (
        "polite",
        "off",
    )
    loose = browser.run(
        "return [...document.querySelectorAll('canvas')]"
        ".filter((it) => !it.closest('[role=img], [aria-hidden=true]')).length"
    )
    assert loose == 0


def test_lines_of_one_tier_differ_in_the_legends(stage: Stage) -> None:
    browser = stage.open()
    for plot in ("plot-price", "plot-jobs"):
        browser.until(
            "document.querySelectorAll(`#${arguments[0]} .u-marker line`).length >= 3", plot
        )
        drawn = browser.run(
            "return [...document.getElementById(arguments[0]).querySelectorAll('.u-marker line')]"
            ".map((it) => `${it.getAttribute('stroke')} ${it.getAttribute('stroke-dasharray')}`)",
            plot,
        )
        assert len(set(drawn)) == len(drawn) >= 3


def test_the_keyboard_reaches_everything(stage: Stage) -> None:
    browser = stage.open()
    keys = browser.driver.switch_to.active_element
    order = []
    for _ in range(12):
        keys.send_keys("\ue004")  # Tab
        keys = browser.driver.switch_to.active_element
        order.append(
            browser.run("return document.activeElement.id || document.activeElement.textContent")
        )
        ring = browser.run("return getComputedStyle(document.activeElement).outlineStyle")
        assert ring != "none", order
    assert order[:2] == ["Skip to the figures", "pause"]
    assert len(set(order)) == len(order)
    browser.run("document.querySelector('#backends button.choose').focus()")
    browser.driver.switch_to.active_element.send_keys("\ue007")  # Enter
    browser.until("document.querySelector('#backends tr.chosen th')?.textContent === 'a'")
    browser.until("document.querySelector('#curves figcaption b')?.textContent === 'a'")


def test_a_table_is_sorted_and_filtered(stage: Stage) -> None:
    browser = stage.open()
    names = (
        "return [...document.querySelectorAll('#backends tbody th')].map((it) => it.textContent)"
    )
    browser.press("#backends thead button")
    assert browser.run(names) == ["c <b>&", "b", "a"]
    assert (
        browser.run("return document.querySelector('#backends th').getAttribute('aria-sort')")
        == "descending"
    )
    browser.run(
        "const it = document.getElementById('filter'); it.value = 'C ';"
        "it.dispatchEvent(new Event('input'))"
    )
    browser.until("document.querySelectorAll('#backends tbody tr').length === 1")
    assert browser.run(names) == ["c <b>&"]


# The control calls themselves have tests of their own: here they are played by the page's `fetch`.
PLAYED = """
  window.calls = [];
  window.draining = false;
  const real = window.fetch;
  window.fetch = async (path, options = {}) => {
    const answer = (status, body) => new Response(JSON.stringify(body), {status});
    const draining = (name) => name === 'a' && window.draining;
    const backend = (name) => ({name, draining: draining(name), weight: 1, max_share: null});
    if (path === 'api/controls') return answer(200, {allowed: window.leave ?? ['drain', 'weight']});
    if (path === 'api/backends') return answer(200, {backends: ['a', 'b', 'c <b>&'].map(backend)});
    if (!String(path).startsWith('api/')) return real(path, options);
    const key = options.headers.Authorization;
    window.calls.push([path, options.method, key, JSON.parse(options.body)]);
    if (key !== 'Bearer right') return answer(401, {error: {message: 'a wrong key'}});
    const asked = JSON.parse(options.body);
    if (asked.draining && !asked.force) return answer(409, {error: {message: 'f would have none'}});
    window.draining = asked.draining;
    const changed = {draining: [!asked.draining, asked.draining]};
    return answer(200, {changed, backend: backend('a')});
  };
"""


def test_without_leave_of_the_file_there_are_no_controls(stage: Stage) -> None:
    browser = stage.open()
    assert "Controls" not in browser.text("#backends thead")
    assert browser.run("return document.getElementById('key-form').hidden")


def test_controls_ask_for_the_key_once(stage: Stage) -> None:
    browser = stage.browser
    added = browser.driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": PLAYED}
    )
    try:
        stage.open()
        browser.until("document.querySelector('#backends thead').textContent.includes('Controls')")
        assert (
            browser.run(
                "return document.querySelectorAll('#backends input[aria-label^=Weight]').length"
            )
            == 3
        )
        assert (
            browser.run(
                "return document.querySelectorAll('#backends input[aria-label^=Share]').length"
            )
            == 0
        )
        drain = "#backends td.control button"
        browser.press(drain)
        assert browser.run("return window.calls.length") == 0
        _give_key(browser, "wrong")
        note = "document.getElementById('control-note').textContent"
        browser.until(f"{note}.includes('does not know this key')")
        _give_key(browser, "right")
        browser.until(
            "document.querySelector(arguments[0]).textContent === 'Drain all the same'", drain
        )
        assert "f would have none" in browser.text("#control-note")
        browser.press(drain)
        browser.until("document.querySelector(arguments[0]).textContent === 'Undrain'", drain)
        browser.press(drain)  # no key is asked for again
        browser.until("document.querySelector(arguments[0]).textContent === 'Drain'", drain)
        calls = browser.run("return window.calls")
        assert [it[2] for it in calls] == ["Bearer wrong", *["Bearer right"] * 3]
        assert [it[3] for it in calls] == [
            {"draining": True},
            {"draining": True},
            {"draining": True, "force": True},
            {"draining": False},
        ]
        assert {(it[0], it[1]) for it in calls} == {("api/backends/a", "PATCH")}
        kept = browser.run("return JSON.stringify([localStorage, sessionStorage, document.cookie])")
        assert "right" not in kept
        browser.run("window.leave = []")  # as a reload of the file may
        browser.until("!document.querySelector('#backends thead').textContent.includes('Controls')")
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def _give_key(browser: Browser, key: str) -> None:
    browser.until("!document.getElementById('key-form').hidden")
    browser.run("document.getElementById('key').value = arguments[0]", key)
    browser.press("#key-form button")


def test_a_reload_shows_and_a_large_fleet_has_tiles(stage: Stage) -> None:
    browser = stage.open()
    many: dict[str, Any] = {
        f"tile-{n:02}": f"http://127.0.0.1:{stage.backends[0].port}" for n in range(LARGE)
    }
    asyncio.run(stage.router.rewrite(system(many, health="off")))
    try:
        browser.until(
            "document.querySelector('#events .kind-reload')?.textContent.includes('60 backends')"
        )
        browser.until("document.querySelector('#graph canvas.tiles') !== null")
        browser.until("document.querySelectorAll('#backends tbody tr').length === 50")
        browser.until(
            "document.querySelector('#events .kind-added')?.textContent.includes('60 backends')"
        )
        browser.press("#backends-more button")
        browser.until("document.querySelectorAll('#backends tbody tr').length === 60")
        drawn = browser.run(
            """
            const tiles = document.querySelector('#graph canvas.tiles');
            const {data} = tiles.getContext('2d').getImageData(0, 0, tiles.width, tiles.height);
            return data.some((it) => it !== 0);
            """
        )
        assert drawn
    finally:
        asyncio.run(stage.router.rewrite(system(stage.backends, health="off")))
    browser.until("document.querySelectorAll('#graph .node:not(.frontend)').length === 3")


def test_a_reload_that_fails_shows(stage: Stage) -> None:
    browser = stage.open()
    file = stage.router.file
    before = file.read_text()
    draft = file.with_suffix(".draft")
    draft.write_text(before.replace("round_robin", "no_such_policy"))
    draft.replace(file)
    try:
        event = "document.querySelector('#events .kind-reload .bad')?.closest('li').textContent"
        assert "no_such_policy" in browser.until(event)
    finally:
        asyncio.run(stage.router.rewrite(system(stage.backends, health="off")))


def test_a_page_whose_place_is_taken_says_so_and_does_not_come_back(stage: Stage) -> None:
    browser = stage.open()
    others = []
    try:
        for _ in range(64):
            other = http.client.HTTPConnection("127.0.0.1", stage.router.admin, timeout=300)
            other.request("GET", "/events")
            others.append((other, other.getresponse()))
        text = "document.getElementById('connection').textContent"
        browser.until(f"{text}.startsWith('another page took')")
        browser.until(f"{text}.startsWith('another page took') && performance.now() > 6000")
        browser.errors()
    finally:
        for other, _ in others:
            other.close()
    stage.open()


def test_the_end_of_the_router_shows(stage: Stage, tmp_path: Path) -> None:
    browser = stage.browser
    with serving(tmp_path, system({"a": "http://127.0.0.1:1"})) as router:
        browser.open(f"http://127.0.0.1:{router.admin}/")
        browser.until("document.getElementById('connection').textContent === 'live'")
    browser.until("document.getElementById('connection').textContent === 'the router has ended'")
    browser.errors()
    assert (
        json.loads(
            browser.run("return JSON.stringify(document.getElementById('connection').className)")
        )
        == "badge bad"
    )
