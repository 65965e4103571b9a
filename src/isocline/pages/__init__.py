"""Pages: the shared look of all of Isocline's pages, and functions that assemble one.

    head = Head("Fleet", scripts=[UPLOT])
    text = self_contained(head, element("main", element("h1", system.name), class_="page"))

`assets` has the files of a page: a stylesheet with cards, tables and badges for light, dark and
print, based on CSS variables; the theme switch; and uPlot. `markup` makes HTML from untrusted text.
`documents` joins them, either with links to files on the same host, under a content security policy
that allows no other, or as one self-contained file. `live` has the parts shared by pages that
follow a process: feed, history, stream, tables and events.
"""

from isocline.pages.assets import (
    CHARTS,
    ICON,
    STYLE,
    THEME,
    UPLOT,
    UPLOT_STYLE,
    Asset,
    asset_of,
)
from isocline.pages.documents import CONTENT_SECURITY_POLICY, Head, linked, self_contained
from isocline.pages.markup import Markup, data_script, element, escaped, joined

__all__ = [
    "CHARTS",
    "CONTENT_SECURITY_POLICY",
    "ICON",
    "STYLE",
    "THEME",
    "UPLOT",
    "UPLOT_STYLE",
    "Asset",
    "Head",
    "Markup",
    "asset_of",
    "data_script",
    "element",
    "escaped",
    "joined",
    "linked",
    "self_contained",
]
