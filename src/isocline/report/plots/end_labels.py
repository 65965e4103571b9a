"""Labels at the right ends of lines, in place of a legend."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from isocline.report.plots.lettering import SMALL, short_names
from isocline.report.plots.style import grow, is_narrow, key
from isocline.report.plots.theme import theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

GAP = 10.5  # points between the centres of two names of 8 pt
_ROOM = 2.0  # inches for the longest name
_BESIDE = 16.0  # points between axes and names, for the lines that lead to them


class End(NamedTuple):
    """Right end of a line, in data coordinates, and its name."""

    x: float
    y: float
    name: str
    color: str
    note: str = ""  # text after the name, which may be shortened


def label_ends(axes: "Axes", ends: Sequence[End]) -> None:
    """Write names in a column beside the axes, moved apart vertically.

    Long names are shortened, and the picture becomes taller for many. Names are in the text colour,
    for legibility; a line in the colour of the series leads to each. Call it last, when the limits
    of the axes are final.
    """
    if is_narrow():  # a column of names would leave too little room for the lines
        _as_key(axes, ends)
        return
    low, high = sorted(axes.get_ylim())
    # Lines may leave the frame; names stay within its height.
    placed = sorted(
        (end._replace(y=min(max(end.y, low), high)) for end in ends),
        key=lambda end: _share(axes, end),
    )
    last = max((end.x for end in placed), default=0.0)
    texts = short_names([end.name for end in placed], _ROOM)
    names = [
        _write(axes, end._replace(name=text + end.note), stopped=end.x < last)
        for end, text in zip(placed, texts, strict=True)
    ]
    figure = axes.get_figure(root=True)
    assert figure is not None
    # Makes room for the names and fixes the axes' height; the canvas of a figure without a display
    # has a draw() without effect.
    figure.draw_without_rendering()
    height = axes.get_window_extent().height * 72.0 / figure.dpi
    if (needed := GAP * (len(names) - 1)) > height > 0.0:
        share = height / (72.0 * figure.get_figheight())
        grow(figure, (needed - height) / (72.0 * share))  # all axes grow proportionally
        figure.draw_without_rendering()
        height = axes.get_window_extent().height * 72.0 / figure.dpi
    wanted = apart([height * _share(axes, end) for end in placed], GAP, height)
    for name, at in zip(names, wanted, strict=True):
        name.set_position((1.0, at / height))


def _as_key(axes: "Axes", ends: Sequence[End]) -> None:
    """Write names in rows above the picture."""
    from matplotlib.lines import Line2D  # noqa: PLC0415 - after theme

    figure = axes.get_figure(root=True)
    assert figure is not None
    key(figure, [Line2D([], [], color=end.color, label=end.name + end.note) for end in ends])


def _share(axes: "Axes", end: End) -> float:
    """Position of a line's end, as a share of the axes' height."""
    return float((axes.transData - axes.transAxes).transform((end.x, end.y))[1])


def _write(axes: "Axes", end: End, *, stopped: bool) -> "Annotation":
    """Draw a name and the line to it, which is thin if it crosses the picture (series stopped)."""
    line = {"lw": 0.7, "ls": (0, (1, 2))} if stopped else {"lw": 1.4}
    figure = axes.get_figure(root=True)
    assert figure is not None
    from matplotlib.transforms import ScaledTranslation  # noqa: PLC0415 - after theme

    beside = axes.transAxes + ScaledTranslation(_BESIDE / 72.0, 0.0, figure.dpi_scale_trans)
    return axes.annotate(
        end.name, (end.x, end.y), xytext=(1.0, 0.5), textcoords=beside, va="center",
        color=theme().ink, fontsize=SMALL, annotation_clip=False,
        arrowprops={"arrowstyle": "-", "color": end.color, "shrinkA": 0, "shrinkB": 2,
                    "relpos": (0, 0.5)} | line,
    )  # fmt: skip


def apart(heights: Sequence[float], gap: float, room: float) -> list[float]:
    """Move sorted heights as little as possible so that they are `gap` apart, within 0 to `room`.

    Groups that touch are merged and centred on the mean of their members' heights. If there is not
    enough room, all are equally far apart.
    """
    gap = min(gap, room / max(len(heights) - 1, 1))
    groups: list[tuple[float, int]] = []  # (centre, members)
    for height in heights:
        centre, members = _inside(height, 1, gap, room), 1
        while groups and centre - groups[-1][0] < gap * (members + groups[-1][1]) / 2:
            other, more = groups.pop()
            centre = (centre * members + other * more) / (members + more)
            members += more
            centre = _inside(centre, members, gap, room)
        groups.append((centre, members))
    return [c + gap * (i - (members - 1) / 2) for c, members in groups for i in range(members)]


def _inside(centre: float, members: int, gap: float, room: float) -> float:
    half = gap * (members - 1) / 2
    return min(max(centre, half), room - half)
