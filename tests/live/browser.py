"""A real Chromium, for tests of pages: without a window, a profile or a way to other hosts."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service

from tests.live.processes import until

_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # of containers, which have none of their own to give
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,1000",
)


class Browser:
    """One tab.

    Attributes:
        driver: Its WebDriver, of which not all has types.
    """

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get(url)

    def run(self, script: str, *arguments: Any) -> Any:
        """Value of the body of a function."""
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str, *arguments: Any) -> Any:
        """Value of an expression, once it is true."""
        found: list[Any] = []

        def true() -> bool:
            try:
                found[:] = [self.run(f"return {script}", *arguments)]
            except StaleElementReferenceException:
                return False
            return bool(found[0])

        until(true, lambda: f"{script}: {found}; {self.errors()}")
        return found[0]

    def text(self, selector: str) -> str:
        found = self.run("return document.querySelector(arguments[0])?.textContent", selector)
        return str(found)

    def press(self, selector: str) -> None:
        self.run("document.querySelector(arguments[0]).click()", selector)

    def show(self, width: int, *, dark: bool = False, height: int = 900) -> None:
        """Set the width of the window, px, and the theme of the system."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def requested(self) -> list[str]:
        """Addresses that were asked for since the last call."""
        entries = [
            json.loads(it["message"])["message"] for it in self.driver.get_log("performance")
        ]
        return [
            it["params"]["request"]["url"]
            for it in entries
            if it["method"] == "Network.requestWillBeSent"
        ]

    def errors(self) -> list[str]:
        """What the console has of errors since the last call."""
        return [it["message"] for it in self.driver.get_log("browser") if it["level"] == "SEVERE"]

    def accessible(self) -> list[tuple[str, str]]:
        """(role, name) of what a screen reader finds."""
        tree = self.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})
        return [
            (str(it["role"]["value"]), str(it.get("name", {}).get("value", "")))
            for it in tree["nodes"]
            if not it["ignored"] and "role" in it
        ]


@contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile in this folder; the test is skipped where there is none."""
    binary = next(
        (it for name in ("chromium", "chromium-browser") if (it := shutil.which(name))), ""
    )
    driver = shutil.which("chromedriver")
    if not binary or driver is None:
        pytest.skip("no chromium and chromedriver here")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for option in (*_OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    made = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield Browser(made)
    finally:
        made.quit()


def contrast_script() -> str:
    """Function `contrast(element)`: WCAG's contrast of its text with what is behind it."""
    return """
      const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
      const light = ([r, g, b]) => [r, g, b].map((it) => it / 255)
        .map((it) => it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4)
        .reduce((sum, it, k) => sum + it * [0.2126, 0.7152, 0.0722][k], 0);
      const behind = (element) => {
        for (let it = element; it; it = it.parentElement) {
          const colour = rgb(getComputedStyle(it).backgroundColor);
          if (colour.length < 4 || colour[3] > 0.99) return colour;
        }
        return [255, 255, 255];
      };
      const contrast = (element) => {
        const [x, y] = [light(rgb(getComputedStyle(element).color)), light(behind(element))];
        return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
      };
    """
