"""Checks that hold of every picture: what a reader in the last row needs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from matplotlib.transforms import Bbox

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOOKS = ("light", "dark")
_LEAST_CONTRAST = 4.5  # WCAG 2.2, level AA, of text


@contextmanager
def paper(look: str) -> Iterator[None]:
    """Matplotlib's active style, as a notebook would have it."""
    with matplotlib.style.context("dark_background" if look == "dark" else "default"):
        yield


def check(figure: "Figure") -> None:
    """All that a slide needs, or an AssertionError that names the texts."""
    assert figure.get_suptitle(), "no title"
    texts, boxes, ground = _drawn(figure)
    small = {
        text.get_text(): text.get_fontsize() for text in texts if float(text.get_fontsize()) < 8
    }
    assert not small, f"smaller than 8 pt: {small}"
    outside = [text.get_text() for text, box in zip(texts, boxes, strict=True)
               if not _inside(box, figure)]  # fmt: skip
    assert not outside, f"outside of the figure: {outside}"
    both = [(texts[i].get_text(), texts[j].get_text()) for i, j in _overlaps(boxes)]
    assert not both, f"one on the other: {both}"
    pale = {
        text.get_text(): round(found, 2)
        for text, box in zip(texts, boxes, strict=True)
        if (found := contrast(text.get_color(), _most(ground, box))) < _LEAST_CONTRAST
    }
    assert not pale, f"contrast below {_LEAST_CONTRAST}: {pale}"
    silent = [axis.get_label_text()
              for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)
              if axis.get_scale() in ("log", "symlog") and axis.get_label_text()
              and "log scale" not in axis.get_label_text()]  # fmt: skip
    assert not silent, f"logarithmic, but their labels do not say so: {silent}"


def _drawn(figure: "Figure") -> tuple[list[Text], list[Bbox], np.ndarray]:
    """The texts that are seen, their boxes in pixels, and the picture without them.

    Ticks beyond the ends of an axis are artists, too: what counts is what is drawn. The picture is
    (height, width, 3), the lowest row first. It is laid out once and then drawn, as in a file.
    """
    seen: dict[Text, None] = {}
    real = Text.draw

    def draw(self: Text, *arguments: Any, **options: Any) -> None:
        if self.get_visible() and self.get_text().strip():
            seen[self] = None
        alpha = self.get_alpha()
        self.set_alpha(0.0)
        real(self, *arguments, **options)
        self.set_alpha(alpha)

    engine = figure.get_layout_engine()
    assert engine, "laid out by hand"
    engine.execute(figure)
    figure.set_layout_engine("none")
    canvas: Any = FigureCanvasAgg(figure)  # its methods have no types
    with patch.object(Text, "draw", draw):
        canvas.draw()
    ground = np.asarray(canvas.buffer_rgba())[::-1, :, :3]
    # Of an annotation without its arrow.
    return list(seen), [Text.get_window_extent(text) for text in seen], ground


def _inside(box: Bbox, figure: "Figure") -> bool:
    page = figure.bbox
    return bool(
        box.x0 >= page.x0 - 1 and box.x1 <= page.x1 + 1 and box.y0 >= page.y0 - 1
        and box.y1 <= page.y1 + 1
    )  # fmt: skip


def _overlaps(boxes: list[Bbox]) -> Iterator[tuple[int, int]]:
    """Pairs that overlap by more than a pixel: boxes have the height of the tallest letters."""
    ends = np.array([box.extents for box in boxes]).reshape(-1, 2, 2)  # of each: low, high; x, y
    shared = np.minimum(ends[:, None, 1], ends[None, :, 1])
    shared -= np.maximum(ends[:, None, 0], ends[None, :, 0])
    for i, j in np.argwhere((shared > 1.0).all(axis=2)).tolist():
        if i < j:
            yield i, j


def _most(ground: np.ndarray, box: Bbox) -> np.ndarray:
    """The most frequent colour behind a text, 0 to 1."""
    (x0, y0), (x1, y1) = np.array(box.min).astype(int), np.array(box.max).astype(int) + 1
    pixels = ground[max(y0, 0) : y1, max(x0, 0) : x1].reshape(-1, 3)
    colors, counts = np.unique(pixels @ np.array([1 << 16, 1 << 8, 1]), return_counts=True)
    most = int(colors[counts.argmax()])
    return np.array([most >> 16, most >> 8 & 255, most & 255]) / 255.0


def contrast(color: Any, ground: Any) -> float:
    """WCAG 2.2: from 1 to 21."""
    one, other = (_luminance(to_rgb(c)) for c in (color, ground))
    return float((max(one, other) + 0.05) / (min(one, other) + 0.05))


def _luminance(rgb: Any) -> float:
    """WCAG 2.2, relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return float(np.dot((0.2126, 0.7152, 0.0722), linear))
