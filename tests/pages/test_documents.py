"""Documents of both kinds: what they ask for, and that nothing in a text becomes markup."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.pages import (
    CONTENT_SECURITY_POLICY,
    STYLE,
    THEME,
    UPLOT,
    UPLOT_STYLE,
    Asset,
    Head,
    Markup,
    data_script,
    element,
    joined,
    linked,
    self_contained,
)

HEAD = Head("A <b>", 'Says "much".', styles=[UPLOT_STYLE], scripts=[UPLOT])


@final
class Reader(HTMLParser):
    """All elements with their attributes, and the text of each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "br", "img", "input"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.append((self._open[-1], data))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_a_self_contained_page_asks_for_nothing() -> None:
    page = Reader(self_contained(HEAD, element("main", "body")))
    addresses = [it[key] for _, it in page.elements for key in ("src", "href") if it.get(key)]
    assert [str(it)[:5] for it in addresses] == ["data:"]
    [policy] = [it["content"] for it in page.named("meta") if "http-equiv" in it]
    assert str(policy).startswith("default-src 'none';")


def test_its_own_scripts_and_no_others_are_allowed_there() -> None:
    page = Reader(self_contained(HEAD, element("main", "body")))
    [policy] = [str(it["content"]) for it in page.named("meta") if "http-equiv" in it]
    scripts = [text for tag, text in page.texts if tag == "script"]
    assert scripts == [THEME.text, UPLOT.text]
    hashes = {base64.b64encode(hashlib.sha256(it.encode()).digest()).decode() for it in scripts}
    assert set(re.findall(r"'sha256-([^']+)'", policy)) == hashes


def test_a_page_with_links_has_no_script_of_its_own() -> None:
    page = Reader(linked(HEAD, element("main", "body"), "files"))
    assert [it["src"] for it in page.named("script")] == [
        "files/theme.js",
        "files/uPlot.iife.min.js",
    ]
    assert not page.named("style")
    assert not [text for tag, text in page.texts if tag == "script"]
    assert {it["href"] for it in page.named("link")} == {
        "files/icon.svg",
        "files/isocline.css",
        "files/uPlot.min.css",
    }
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'self';")
    assert "unsafe" not in CONTENT_SECURITY_POLICY


@pytest.mark.parametrize("made", [self_contained, linked])
def test_title_and_description_are_escaped(made: object) -> None:
    assert callable(made)
    page = Reader(made(HEAD, element("main", "body")))
    assert ("title", "A <b>") in page.texts
    assert {"name": "description", "content": 'Says "much".'} in page.named("meta")


@given(st.text(), st.text())
def test_no_text_becomes_markup(text: str, value: str) -> None:
    page = Reader(element("p", text, title=value))
    [(tag, attributes)] = page.elements
    assert tag == "p"
    assert str(attributes["title"]).replace("\r", "") == value.replace("\r", "")
    assert "".join(found for _, found in page.texts).replace("\r", "") == text.replace("\r", "")


@given(st.recursive(st.text() | st.integers() | st.none(), st.lists))
def test_data_come_back_and_cannot_end_their_script(value: object) -> None:
    page = Reader(data_script("data", value))
    assert page.elements == [("script", {"type": "application/json", "id": "data"})]
    [(_, text)] = page.texts
    assert json.loads(text) == value


def test_data_that_json_does_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        data_script("data", float("nan"))


def test_markup_is_not_escaped_again() -> None:
    inner = element("b", "1 < 2")
    assert element("p", inner) == "<p><b>1 &lt; 2</b></p>"
    assert joined("<", Markup("<br>"), None, False, 0) == "&lt;<br>0"


def test_attributes_by_python_names() -> None:
    made = element("input", class_="field", aria_label="N", disabled=True, hidden=False, id=None)
    assert made == '<input class="field" aria-label="N" disabled>'
    assert element("path", d="M0 0") == '<path d="M0 0"/>'


def test_a_script_that_would_end_early_is_refused() -> None:
    with pytest.raises(ValueError, match=r"bad\.js cannot be inlined"):
        self_contained(Head("", scripts=[Asset("bad.js", "'</SCRIPT>'")]), Markup(""))


def test_no_file_asks_another_host() -> None:
    """Addresses in comments aside: that of uPlot, and namespaces."""
    for asset in (*HEAD.assets, STYLE):
        text = re.sub(r"/\*.*?\*/", "", asset.text, flags=re.DOTALL)
        found = re.findall(r"https?://[^\s\"')]+|@import|url\(", text)
        assert set(found) <= {"http://www.w3.org/2000/svg"}, asset.name


def test_the_licence_of_what_others_wrote_lies_beside_it() -> None:
    folder = Path(__file__).parents[2] / "src" / "isocline" / "pages" / "static"
    assert "Permission is hereby granted" in (folder / "uPlot.LICENSE.txt").read_text()
    assert UPLOT.text.startswith("/*! https://github.com/leeoniya/uPlot (v1.6.32) */")
