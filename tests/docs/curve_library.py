"""Pages of published curves, from `examples/curves/*.csv`: `python -m tests.docs.curve_library`.

Each file has a comment for each fact of KEYS, a line with the names of its columns, and a row for
each measured point. Three things follow from the files: the table of docs/curve-library.md, its
picture, and the table of examples/curves/README.md.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import NamedTuple, final

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "curves"
PAGE = ROOT / "docs" / "curve-library.md"
PICTURE = ROOT / "docs" / "pictures" / "curve-library.svg"
README = FOLDER / "README.md"
KEYS = (
    *("hardware", "model", "precision", "server", "input", "output"),
    *("date", "workload", "source", "where"),
)
# Columns of rates, and their units.
UNITS = {"tokens_per_second": "tokens", "requests_per_second": "requests"}
# What stands between these lines of a page is made.
BEGIN, END = "<!-- made by tests.docs.curve_library -->", "<!-- end -->"


class Point(NamedTuple):
    """A measured rate at a mean number of requests in flight."""

    workload: float
    rate: float


@final
@dataclass(frozen=True)
class Published:
    """One file: a curve that somebody else measured and published."""

    path: Path

    @cached_property
    def _lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines()

    @cached_property
    def facts(self) -> dict[str, str]:
        """Comments at the head, `# key: text`."""
        comments = [line for line in self._lines if line.startswith("#")]
        return dict(line.removeprefix("# ").split(": ", 1) for line in comments)

    @cached_property
    def _table(self) -> list[list[str]]:
        return [line.split(",") for line in self._lines if not line.startswith("#")]

    @property
    def unit(self) -> str:
        """Of the rate, per second; tokens are those of answers."""
        return UNITS[self._table[0][1]]

    @cached_property
    def points(self) -> list[Point]:
        return [Point(float(row[0]), float(row[1])) for row in self._table[1:]]

    @property
    def lengths(self) -> str:
        """Tokens in and out, as far as they are numbers."""
        short = [re.sub(r" (in the mean|at most).*", "", self.facts[key]) for key in KEYS[4:6]]
        return " / ".join(short)

    @property
    def highest(self) -> Point:
        return max(self.points, key=lambda point: point.rate)

    @property
    def fall(self) -> float:
        """Share by which the mean rate beyond the highest one is lower; 0 if that is the last."""
        beyond = [point.rate for point in self.points if point.workload > self.highest.workload]
        return 1.0 - sum(beyond) / len(beyond) / self.highest.rate if beyond else 0.0


def library() -> list[Published]:
    """All files, by hardware and model."""
    found = [Published(path) for path in FOLDER.glob("*.csv")]
    return sorted(found, key=lambda one: (*(one.facts[key].lower() for key in KEYS[:2]), one.path))


def readme_table(curves: list[Published]) -> str:
    rows = ["| file | hardware | points | highest rate | source |", "|---|---|---|---|---|"]
    for one in curves:
        source, where = one.facts["source"], one.facts["where"]
        host = re.sub(r"https://(github\.com/)?", "", source).partition("?")[0].rstrip("/")
        rows.append(
            f"| [{one.path.stem}]({one.path.name}) | {one.facts['hardware']} "
            f"| {len(one.points)} | {_highest(one)} | [{host}]({source}): {where} |"
        )
    return "\n".join(rows)


def page_table(curves: list[Published]) -> str:
    rows = [
        "| hardware | model | tokens in / out | server | N measured | highest rate |  |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in curves:
        facts, first, last = one.facts, one.points[0], one.points[-1]
        precision = "" if facts["precision"] == "not stated" else f", {facts['precision']}"
        rows.append(
            f"| {facts['hardware']} | {facts['model']}{precision} | {one.lengths} "
            f"| {facts['server']} | {first.workload:g} to {last.workload:g}, {len(one.points)} "
            f"points | {_highest(one)} | [csv](../examples/curves/{one.path.name}) |"
        )
    return "\n".join(rows)


def _highest(one: Published) -> str:
    rate = f"{one.highest.rate:,.0f}" if one.highest.rate >= 1000.0 else f"{one.highest.rate:.3g}"
    return f"{rate} {one.unit}/s at N = {one.highest.workload:.3g}"


# Of one panel of the picture, px.
WIDE, HIGH, ACROSS, MARGIN = 128, 84, 7, 10
STYLE = (
    "text{font:8px system-ui,sans-serif;fill:#52514e}.e{text-anchor:end}"
    ".f{fill:none;stroke:#c3c2b7}.l{fill:none;stroke:#2a78d6;stroke-width:1.2}.d{fill:#2a78d6}.p{fill:#eb6834}"
    "@media(prefers-color-scheme:dark){text{fill:#c3c2b7}.f{stroke:#52514e}"
    ".l{stroke:#3987e5}.d{fill:#3987e5}.p{fill:#f08a5d}}"
)


def picture(curves: list[Published]) -> str:
    """SVG: each curve in a panel of its own scales, both from 0."""
    down = -(-len(curves) // ACROSS)
    size = f"{ACROSS * (WIDE + MARGIN)} {down * (HIGH + 2 * MARGIN + 6)}"
    panels = "\n".join(_panel(one, *divmod(i, ACROSS)) for i, one in enumerate(curves))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}">\n'
        f"<title>{len(curves)} published service curves</title>\n<style>{STYLE}</style>\n"
        f"{panels}\n</svg>\n"
    )


def _panel(one: Published, row: int, column: int) -> str:
    left, top = column * (WIDE + MARGIN) + 4, row * (HIGH + 2 * MARGIN + 6) + 22
    last = one.points[-1].workload
    places = [
        (
            0.96 * WIDE * point.workload / last,
            HIGH * (1.0 - 0.9 * point.rate / one.highest.rate),
            "p" if point == one.highest and one.fall > 0.05 else "d",
        )
        for point in one.points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    dots = "".join(
        f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y, kind in places
    )
    hardware = re.sub(r"^1 x |NVIDIA |AMD |Intel |Google |,.*", "", one.facts["hardware"])
    model = re.sub(r" (Instruct|35B-A3B|355B-A32B)", "", one.facts["model"])
    below = model if "not" in one.lengths or "chat" in one.lengths else f"{model}, {one.lengths}"
    return (
        f'<g transform="translate({left} {top})"><title>{escape(one.path.stem)}</title>'
        f'<text y="-12" font-weight="600">{escape(hardware)}</text>'
        f'<text y="-3">{escape(below)}</text>'
        f'<rect class="f" width="{WIDE}" height="{HIGH}"/>'
        f'<polyline class="l" points="0,{HIGH} {line}"/>{dots}'
        f'<text class="e" x="{WIDE - 3}" y="{HIGH - 4}">{last:.3g}</text></g>'
    )


def made(page: Path, table: str) -> str:
    """The page with its table as it should be."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def pages() -> dict[Path, str]:
    """Each file that is made, and its text."""
    curves = library()
    return {
        PAGE: made(PAGE, page_table(curves)),
        README: made(README, readme_table(curves)),
        PICTURE: picture(curves),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
