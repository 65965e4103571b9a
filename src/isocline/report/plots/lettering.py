"""Lettering: fonts, measured widths of text, and names shortened to fit."""

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

# First, as it reports what to install if matplotlib is missing.
import isocline.report.plots.theme  # isort: skip # noqa: F401
import matplotlib as mpl
from matplotlib.font_manager import FontProperties, get_font_names
from matplotlib.textpath import text_to_path

Weight = Literal["normal", "bold"]

SMALL = 8.0  # pt: the smallest size that is easy to read in print
# Fonts with the scripts that matplotlib's own, DejaVu Sans, lacks.
_OTHER_SCRIPTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC",
    "WenQuanYi Micro Hei", "PingFang SC", "Hiragino Sans", "Microsoft YaHei", "Yu Gothic",
    "Malgun Gothic", "Arial Unicode MS", "Noto Sans Devanagari", "Noto Sans Thai", "Noto Emoji",
    "Segoe UI Emoji",
)  # fmt: skip
_HINTED = 0.97  # letters on screens are placed on whole pixels, which makes lines up to 3 % wider
_DOTS = "…"
_MISSING = re.compile(r"Glyph (\d+) .*missing from font")
_MOST_MISSING = 10
_HEADS = (0.5, 0.3, 0.7, 0.1, 0.9)  # share of a shortened name that is taken from its beginning


def families() -> list[str]:
    """Font of all text, followed by installed fonts for other scripts."""
    installed = set(get_font_names())
    return ["sans-serif", *(name for name in _OTHER_SCRIPTS if name in installed)]


@contextmanager
def without_gaps() -> Iterator[None]:
    """Context for drawing, with one warning that names all characters without a font."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        yield
    missing: dict[str, None] = {}
    for one in heard:
        if found := _MISSING.match(str(one.message)):
            missing[chr(int(found[1]))] = None
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if missing:
        warnings.warn(
            f"no installed font has {' '.join(list(missing)[:_MOST_MISSING])}: a PNG shows boxes "
            "in their place, an SVG keeps the text; install a font such as Noto Sans CJK",
            stacklevel=3,
        )


def ignore_gaps() -> None:
    """Suppress matplotlib's warnings about single characters without a font."""
    warnings.filterwarnings("ignore", _MISSING.pattern)


def width(text: str, size: float = SMALL, weight: Weight = "normal") -> float:
    """Width of a line at `size` points, inches."""
    font = FontProperties(family=mpl.rcParams["font.family"], size=size, weight=weight)
    across, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(across) / (72.0 * _HINTED)


def wrapped(text: str, room: float, size: float, weight: Weight = "normal") -> list[str]:
    """Wrap text into lines of at most `room` inches at `size` points."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".lstrip()
        if width(joined, size, weight) <= room:
            lines[-1] = joined
            continue
        lines.append(word)
        while width(lines[-1], size, weight) > room:  # a name longer than a line
            here = lines[-1]
            most = _largest(len(here) - 1, lambda n, t=here: width(t[:n], size, weight) <= room)  # type: ignore[misc]
            lines[-1:] = [here[: max(most, 1)], here[max(most, 1) :]]
    return [line for line in lines if line]


def shortened(name: str, room: float, size: float = SMALL, weight: Weight = "normal") -> str:
    """A name, with dots in place of its middle if it is wider than `room` inches."""
    return short_names([name], room, size, weight)[0]


def short_names(
    names: Sequence[str], room: float, size: float = SMALL, weight: Weight = "normal"
) -> list[str]:
    """Names in one picture, each shortened, but differently if two would become equal."""
    made: list[str] = []
    for head in _HEADS:
        made = [_cut(name, room, size, weight, head) for name in names]
        if len(set(made)) == len(set(names)):
            return made
    return made


def _cut(name: str, room: float, size: float, weight: Weight, head: float) -> str:
    name = " ".join(name.split())  # one line

    def without_middle(kept: int) -> str:
        first = round(head * kept)
        return f"{name[:first]}{_DOTS}{name[len(name) - (kept - first) :]}"

    if width(name, size, weight) <= room:
        return name
    kept = _largest(len(name) - 1, lambda n: width(without_middle(n), size, weight) <= room)
    return without_middle(max(kept, 1))


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """Largest number from 0 to `most` that fits, if all smaller ones fit, too."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
