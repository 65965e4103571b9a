"""Files of a page, read once from the package."""

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import final

_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}


@final
@dataclass(frozen=True)
class Asset:
    """One file of a page.

    Attributes:
        name: File name, such as `isocline.css`.
        text: Content.
    """

    name: str
    text: str

    @property
    def content_type(self) -> str:
        """Media type, by the extension of the name."""
        return _TYPES[self.name.rpartition(".")[2]]

    @property
    def digest(self) -> str:
        """SHA-256 of the content in base64, for content security policies."""
        return base64.b64encode(hashlib.sha256(self.text.encode()).digest()).decode()

    @property
    def data_url(self) -> str:
        """The file as a data: URL, for self-contained pages."""
        kind = self.content_type.partition(";")[0]
        return f"data:{kind};base64,{base64.b64encode(self.text.encode()).decode()}"


@cache
def asset_of(package: str, name: str) -> Asset:
    """File in the folder `static` of a package, such as "isocline.pages"; read once."""
    return Asset(name, (files(package) / "static" / name).read_text(encoding="utf-8"))


STYLE = asset_of(__package__, "isocline.css")
THEME = asset_of(__package__, "theme.js")  # goes into the head, before anything is drawn
CHARTS = asset_of(__package__, "charts.js")  # charts over time, on uPlot
ICON = asset_of(__package__, "icon.svg")
# https://github.com/leeoniya/uPlot 1.6.32, MIT; its licence lies beside it.
UPLOT = asset_of(__package__, "uPlot.iife.min.js")
UPLOT_STYLE = asset_of(__package__, "uPlot.min.css")
