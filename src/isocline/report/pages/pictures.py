"""Pictures in pages: matplotlib's SVG inline in the HTML, with the page's colours and fonts.

A picture is drawn twice, for desktops and for phones, and the stylesheet shows the one that fits,
because a picture scaled down to a phone has unreadable text. Colours of the theme become the page's
CSS variables, so that one drawing suits light, dark and print. Text remains text.
"""

import io
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, final
from xml.etree import ElementTree

from isocline.pages import Markup, element, joined
from isocline.report.plots.style import house, placed
from isocline.report.plots.theme import LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDE, _NARROW = 7.6, 3.75  # inches, of a card on a desktop and of a phone; 96 CSS pixels each
_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_PIXELS = 96.0 / 72.0  # CSS pixels per point
# Elements that the page does not need, or that refer to other hosts.
_LEFT_OUT = {f"{_SVG}metadata", f"{_SVG}style"}
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONT = re.compile(r"font(-family)?:[^;]*;?")
_SIZE = re.compile(r"([\d.]+)px")
_numbers = itertools.count(1)


@final
@dataclass(frozen=True)
class Picture:
    """Picture for a page, with its texts.

    Attributes:
        svg: Pictures for desktops and for phones.
        heading: Title of the plot.
        small: Small print of the plot.
    """

    svg: Markup
    heading: str
    small: str


def picture(draw: "Callable[[], Figure]", description: str) -> Picture:
    """Draw a picture for a page.

    Args:
        draw: Makes the figure, with the helpers of `report.plots.style`.
        description: Content of the picture, for screen readers.
    """
    from isocline.report.plots.lettering import without_gaps  # noqa: PLC0415 - needs matplotlib

    made = []
    for width, name in ((_WIDE, "wide"), (_NARROW, "narrow")):
        with placed(width) as place, house(), without_gaps():
            figure = draw()
            file = io.BytesIO()
            figure.savefig(file, format="svg", metadata={"Date": None})
        made.append(_inline(file.getvalue(), name, place.heading, description))
    return Picture(joined(*made), place.heading, place.small)


def figure_of(drawn: Picture, caption: object) -> Markup:
    """Figure with its caption, and the plot's small print below."""
    small = element("small", drawn.small, class_="conditions") if drawn.small else None
    return element("figure", drawn.svg, element("figcaption", caption, small))


def labelled_svg(
    title: str, description: str, *content: object, class_: str, width: float, height: float
) -> Markup:
    """Inline SVG that screen readers treat as one picture with a name and a description."""
    number = next(_numbers)
    return element(
        "svg",
        element("title", title, id=f"title-{number}"),
        element("desc", description, id=f"desc-{number}"),
        *content,
        class_=class_,
        role="img",
        aria_labelledby=f"title-{number}",
        aria_describedby=f"desc-{number}",
        viewBox=f"0 0 {width:g} {height:g}",
        width=f"{width:g}",
        height=f"{height:g}",
    )


def _inline(svg: bytes, name: str, title: str, description: str) -> Markup:
    """Inline version of matplotlib's SVG."""
    root = ElementTree.fromstring(svg)
    prefix = f"p{next(_numbers)}-"
    _, _, width, height = (float(part) for part in root.attrib["viewBox"].split())
    # The first shape is the background, which the page provides.
    background = root.find(f"{_SVG}g/{_SVG}g[@id='patch_1']")
    figure = root.find(f"{_SVG}g")
    if figure is not None and background is not None:
        figure.remove(background)
    content = joined(*(_element(child, prefix) for child in root))
    return labelled_svg(
        title,
        description,
        element("g", content, stroke_linejoin="round", transform=f"scale({_PIXELS:.6f})"),
        class_=f"plot-{name}",
        width=round(width * _PIXELS),
        height=round(height * _PIXELS),
    )


def _element(node: ElementTree.Element, prefix: str) -> Markup | None:
    if node.tag in _LEFT_OUT or not isinstance(node.tag, str):
        return None
    name = node.tag.removeprefix(_SVG)
    attributes = dict(_attributes(node, prefix))
    # There may be many similar elements, so the text is kept short.
    content = [_element(child, prefix) for child in node]
    text = node.text if name in {"text", "tspan"} else None
    tails = [child.tail for child in node] if name in {"text", "tspan"} else [None] * len(content)
    parts = [part for pair in zip(content, tails, strict=True) for part in pair]
    if name in {"g", "defs"} and not any(parts):
        return None
    return element(name, text, *parts, **attributes)


def _attributes(node: ElementTree.Element, prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in node.attrib.items():
        if key == "id":
            if value.startswith(("m", "p", "h", "image")) or node.tag == f"{_SVG}path":
                yield "id", prefix + value
        elif key == _LINK:
            yield "href", f"#{prefix}{value[1:]}" if value.startswith("#") else value
        elif key == "style":
            yield "style", _style(value, prefix)
        elif not key.startswith("{"):
            yield key.replace("-", "_"), _numbers_of(_referring(value, prefix), key)


def _referring(value: str, prefix: str) -> str:
    return _REFERENCE.sub(rf"url(#{prefix}\1)", value)


def _numbers_of(value: str, key: str) -> str:
    """A path with two decimals, a hundredth of a point, instead of six."""
    if key != "d":
        return value
    short = re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), value)
    return re.sub(r"\s*\n\s*", " ", short).strip()


def _style(style: str, prefix: str) -> str:
    """CSS with the page's colours and fonts instead of matplotlib's."""
    size = _SIZE.search(style) if "font" in style else None
    kept = _FONT.sub("", style)
    if "font" in style and size:
        bold = "font-weight: 650; " if re.search(r"font:[^;]*\b(bold|700)\b", style) else ""
        kept = f"{bold}font-size: {size[1]}px; {kept.strip()}"
    return re.sub(r"#[0-9a-fA-F]{6}\b", _color, _referring(kept, prefix)).strip()


def _color(found: re.Match[str]) -> str:
    return _VARIABLES.get(found[0].lower(), found[0])


def _variables() -> dict[str, str]:
    """CSS variables of the page by the colours of the theme."""
    known = {"paper": "surface", "ink": "ink", "note": "muted", "faint": "line-strong",
             "grid": "line", "shade": "sunken", "spent": "spent"}  # fmt: skip
    found = {getattr(LIGHT, field.name).lower(): f"var(--{known[field.name]})"
             for field in fields(LIGHT) if field.name in known}  # fmt: skip
    series = (f"var(--tier-{i})" for i in itertools.count(1))
    return found | {color.lower(): name for color, name in zip(LIGHT.palette, series, strict=False)}


_VARIABLES = _variables()
