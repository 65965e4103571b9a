"""Frame of a report: title, table of contents, sections, and origin."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

from isocline.dispatch.user_code_guard import printable
from isocline.pages import ICON, Asset, Head, Markup, asset_of, element, joined, self_contained

_STYLE: Asset = asset_of("isocline.report.pages", "report.css")


@final
@dataclass(frozen=True)
class Section:
    """Section of a report.

    Attributes:
        name: Anchor.
        title: Heading.
        content: Content below the heading.
        hint: Sentence or two on how to read it.
    """

    name: str
    title: str
    content: Markup
    hint: object = ""


@final
@dataclass(frozen=True)
class Origin:
    """Origin of a report.

    Attributes:
        file: Path as it was given.
        version: Version of Isocline.
        date: Date of the report, as text.
        command: Command that makes the report again.
        notes: Sentences on changes made when reading the file.
    """

    file: str
    version: str
    date: str
    command: str
    notes: Sequence[str] = ()


def report_page(title: str, kind: str, lead: object, parts: Iterable[Section | None]) -> str:
    """Assemble a self-contained page.

    Args:
        title: Name of the system or run.
        kind: Kind of its subject, in a few words.
        lead: Sentence below the title.
        parts: Sections; None is skipped.
    """
    sections = [part for part in parts if part is not None]
    bar = element(
        "header",
        element(
            "span",
            element("img", src=ICON.data_url, alt=""),
            element("strong", "Isocline report"),
            class_="brand",
        ),
        element("span", class_="spacer"),
        element("button", "Theme", type="button", class_="button no-print", data_theme_toggle=True),
        class_="bar",
    )
    contents = element(
        "nav",
        element(
            "ul",
            *(element("li", element("a", s.title, href=f"#{s.name}")) for s in sections),
            class_="contents",
        ),
        aria_label="Contents",
        class_="no-print",
    )
    heading = element(
        "div", element("p", kind), element("h1", title), element("p", lead), class_="title"
    )
    body = joined(
        element("a", "Skip to the content", href="#content", class_="button skip-link"),
        bar,
        element(
            "main",
            heading,
            contents,
            *map(_section, sections),
            class_="page report",
            id="content",
        ),
    )
    head = Head(f"{title}: Isocline report", f"Report of {title}", styles=(_STYLE,))
    # Names may be file names, which need not be UTF-8.
    return printable(self_contained(head, body))


def origin_section(origin: Origin, *said: object) -> Section:
    """Last section: how the report was made, and how to make it again."""
    content = joined(
        element("p", f"From {origin.file}, by Isocline {origin.version}, on {origin.date}."),
        bullets(origin.notes) if origin.notes else None,
        *said,
        element("p", "To make this report again:"),
        element("pre", origin.command, class_="command"),
    )
    return Section("origin", "How this was made", content)


def bullets(sentences: Iterable[object]) -> Markup:
    """List of sentences."""
    return element("ul", *(element("li", one) for one in sentences), class_="findings")


def stats(rows: Iterable[tuple[object, object, object]]) -> Markup:
    """Key figures, each with a label, a value, and a note below."""
    return element(
        "dl",
        *(
            element(
                "div",
                element("dt", label),
                element("dd", value),
                element("dd", note, class_="note") if note else None,
                class_="stat",
            )
            for label, value, note in rows
        ),
        class_="stats",
    )


def meters(rows: Iterable[tuple[object, float, object]]) -> Markup:
    """Bars for shares from 0 to 1, each with a name and a value."""
    return element(
        "dl",
        *(
            joined(
                element("dt", name),
                element(
                    "dd",
                    element(
                        "span",
                        element("span", style=f"width: {100.0 * min(max(share, 0.0), 1.0):.1f}%"),
                        class_="meter tier-1",
                    ),
                    aria_hidden="true",
                ),
                element("dd", value, class_="num"),
            )
            for name, share, value in rows
        ),
        class_="meters",
    )


def _section(part: Section) -> Markup:
    return element(
        "section",
        element("h2", part.title),
        element("p", part.hint, class_="hint") if part.hint else None,
        part.content,
        id=part.name,
        class_="card",
    )
