"""Pages as a browser reads them: elements, their texts, and what they refer to."""

import re
from html.parser import HTMLParser
from typing import final

from isocline.report.pages.findings import Policies, RoutingFindings
from isocline.report.pages.frame import Origin
from isocline.theory.routing.equilibrium import plan
from isocline.theory.routing.inclusion import fluid
from tests.report.awkward import fleet
from tests.report.routing_results import make

ORIGIN = Origin("fleet.yaml", "1.2.3", "30 November 2026", "isocline report fleet.yaml")
HOSTILE = "<script>alert(1)</script>&\"'</svg></style><img src=x onerror=alert(1)>"
VOID = {"meta", "link", "br", "img", "input", "hr"}


@final
class Page(HTMLParser):
    """Fails unless each element ends where it must."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self._is_cell = False
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        self._is_cell = tag in {"td", "th"}
        if self._is_cell:
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag in {"td", "th"}:
            self._is_cell = False

    def handle_data(self, data: str) -> None:
        where = self._open[-1] if self._open else ""
        self.texts.append((where, data))
        if self._is_cell:
            self.tables[-1][-1][-1] += data

    @property
    def words(self) -> str:
        """All that is read, in one line."""
        shown = (data for tag, data in self.texts if tag not in {"style", "script"})
        return re.sub(r"\s+", " ", " ".join(shown))

    @property
    def captions(self) -> list[str]:
        return [data for tag, data in self.texts if tag == "caption"]

    @property
    def ids(self) -> list[str]:
        return [name for _, attributes in self.elements if (name := attributes.get("id"))]

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def row(self, caption: str, name: str) -> list[str]:
        """The row that begins with a name, of the table whose caption contains these words."""
        (table,) = (
            table
            for words, table in zip(self.captions, self.tables, strict=True)
            if caption in words
        )
        (found,) = (row for row in table if row and row[0] == name)
        return found

    def requests(self) -> list[str]:
        """Whatever the browser would fetch from elsewhere, or run."""
        found = []
        for tag, attributes in self.elements:
            for name, value in attributes.items():
                if name in {"src", "href", "xlink:href", "srcset", "action", "data", "poster"}:
                    inside = str(value).startswith(("#", "data:"))
                    found += [] if inside else [f"{tag} {name}={value}"]
                if name.startswith("on"):
                    found.append(f"{tag} {name}")
                found += re.findall(r"url\(\s*['\"]?(?!#|data:)[^)]*", str(value))
        styles = "".join(data for tag, data in self.texts if tag == "style")
        return found + re.findall(r"@import[^;]*|url\(\s*['\"]?(?!#|data:)[^)]*", styles)


def routing_findings(
    names: list[str], rate: float = 5.0, *, simulated: bool = True
) -> RoutingFindings:
    """Findings on backends with these names; the policies are made up."""
    system = fleet(names, rate=rate)
    best = plan(system)
    loads = tuple(make(load) for load in (0.5, 0.7, 0.9)) if simulated else ()
    known = Policies(loads[1] if loads else None, loads)
    path = fluid(system, horizon=None if best.overload is None else 5.0)
    return RoutingFindings(best, known, path, ())
