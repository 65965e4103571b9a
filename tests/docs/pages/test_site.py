"""The site: complete, in its navigation, and asking no foreign host for anything."""

import re
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SITE = ROOT / "out/docs/site"
CONF = runpy.run_path(str(ROOT / "docs/conf.py"))
# Attributes by which a page loads something; a link that a reader may follow is none of them.
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "srcset", "link": "href"}


class Loads(HTMLParser):
    """All that a page loads by itself, and all that it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if address := found.get(LOADS.get(tag, "")):
            self.loads.append(address)
        if tag == "a" and (address := found.get("href")):
            self.links.append(address)


@pytest.fixture(scope="module")
def site() -> Path:
    if not (SITE / "index.html").exists():
        build = ["sphinx", "-q", "-W", "-D", "nb_execution_mode=off"]
        subprocess.run([sys.executable, "-m", *build, ROOT / "docs", SITE], check=True)
    return SITE


def read(page: Path) -> Loads:
    found = Loads()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 60
    for page in pages:
        foreign = [it for it in read(page).loads if re.match(r"(https?:)?//", it)]
        assert not foreign, f"{page}: {foreign}"
    for sheet in site.rglob("*.css"):
        loaded = re.findall(r"url\(\s*['\"]?((?:https?:)?//[^)'\"]+)|@import", sheet.read_text())
        assert not loaded, f"{sheet}: {loaded}"


def test_every_page_is_in_the_navigation_of_the_front_page(site: Path) -> None:
    linked = {link.partition("#")[0] for link in read(site / "index.html").links}
    made = {page.relative_to(site).as_posix() for page in site.rglob("*.html")}
    assert made - linked - {"index.html", "search.html", "genindex.html"} == set()


def test_the_search_knows_words_of_the_pages(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    for word in ("isocline", "vllm", "parquet"):
        assert word in index


def test_a_picture_of_two_schemes_follows_the_switch_of_the_site() -> None:
    source = [
        '<picture>\n  <source media="(prefers-color-scheme: dark)" srcset="a-dark.svg">\n'
        '  <img alt="An a" src="a.svg">\n</picture>\n'
    ]
    CONF["mend_pictures"](None, "index", source)
    assert source == ["![An a](a.svg){.only-light}\n![An a](a-dark.svg){.only-dark}\n"]
