"""Graph of flows as an SVG, with ribbons from sources to sinks as wide as the flows.

It is drawn for desktops and for phones, like `pictures`. If a side has too many ends to be read,
alike ones are joined into groups.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self, final

from isocline.pages import Markup, element, joined
from isocline.plural import stem_of
from isocline.report.pages.pictures import labelled_svg

_MOST_ENDS = 20  # ends of a side
_MOST_UNUSED = 150  # edges without a flow: more lines would merge into a grey area


class End(NamedTuple):
    """A source or a sink."""

    name: str
    rate: float  # height of its bar; the part without a ribbon is hatched
    tier: int  # from 1; 0: none
    note: str = ""  # text below the name


class Flow(NamedTuple):
    """Flow from a source to a sink, by their numbers."""

    source: int
    sink: int
    rate: float


@final
@dataclass(frozen=True)
class FlowGraph:
    """Graph of flows.

    Attributes:
        title: Title, for screen readers.
        description: The graph in words, for screen readers.
        sides: Headings of the two sides, such as "frontends" and "backends".
        sources: Ends on the left.
        sinks: Ends on the right.
        flows: Flows above 0.
        unused: Edges without a flow, as numbers of sources and sinks.
    """

    title: str
    description: str
    sides: tuple[str, str]
    sources: Sequence[End]
    sinks: Sequence[End]
    flows: Sequence[Flow]
    unused: Sequence[tuple[int, int]] = ()

    def svg(self) -> Markup:
        """Pictures for desktops and for phones."""
        readable = self._readable()
        return joined(*(_Drawing.of(readable, it).svg() for it in (_WIDE, _NARROW)))

    @property
    def is_grouped(self) -> bool:
        """Whether ends are joined into groups."""
        return max(len(self.sources), len(self.sinks)) > _MOST_ENDS

    @property
    def leaves_out_unused(self) -> bool:
        """Whether unused edges are left out because there are too many."""
        return len(self._readable().unused) > _MOST_UNUSED

    def _readable(self) -> "FlowGraph":
        """The graph with few enough ends on both sides."""
        sources, source_of = _few(self.sources)
        sinks, sink_of = _few(self.sinks)
        rates: dict[tuple[int, int], float] = defaultdict(float)
        for flow in self.flows:
            rates[source_of[flow.source], sink_of[flow.sink]] += flow.rate
        flows = [Flow(*ends, rate) for ends, rate in rates.items()]
        unused = {(source_of[i], sink_of[j]) for i, j in self.unused} - rates.keys()
        return replace(self, sources=sources, sinks=sinks, flows=flows, unused=sorted(unused))


def _few(ends: Sequence[End]) -> tuple[list[End], list[int]]:
    """Ends to draw, and for each given end the number of its own among them."""
    if len(ends) <= _MOST_ENDS:
        return list(ends), list(range(len(ends)))
    keys: list[Callable[[End], Hashable]] = [
        lambda end: (end.tier, end.note, stem_of(end.name)),
        lambda end: (end.tier, stem_of(end.name)),
        lambda end: end.tier,
        lambda end: end.tier > 0,
    ]
    for key in keys:
        groups: dict[Hashable, list[int]] = defaultdict(list)
        for number, end in enumerate(ends):
            groups[key(end)].append(number)
        if len(groups) <= _MOST_ENDS:
            break
    number_of = [0] * len(ends)
    for number, members in enumerate(groups.values()):
        for member in members:
            number_of[member] = number
    return [_group([ends[i] for i in members]) for members in groups.values()], number_of


def _group(ends: Sequence[End]) -> End:
    first, several = ends[0], len(ends) > 1
    notes = {end.note for end in ends}
    note = f"{first.note}{' each' if several else ''}" if len(notes) == 1 else ""
    kinds = dict.fromkeys(stem_of(end.name) for end in ends)
    more = f" and {len(kinds) - 1} more kinds" if len(kinds) > 1 else ""
    name = f"{next(iter(kinds))}{more} (× {len(ends):,})" if several else first.name
    return End(name, sum(end.rate for end in ends), first.tier, note)


@final
@dataclass(frozen=True)
class _Layout:
    """Sizes in CSS pixels."""

    name: str
    width: float
    label: float  # width for the names of a side
    letters: int  # letters of a name that fit, in a wide font; a note may have three more
    whole_notes: bool  # whether notes are shown in full, or only up to the first comma


_WIDE = _Layout("plot-wide", 720.0, 180.0, 21, True)
_NARROW = _Layout("plot-narrow", 360.0, 118.0, 13, False)
_BAR = 12.0
_GAP = 12.0
_LEAST = 32.0  # least height of an end: two lines of text
_TOP = 30.0  # height for the names of the sides


@final
@dataclass(frozen=True)
class _Column:
    """Ends of one side: numbers from top to bottom, and positions by number, in pixels."""

    ends: Sequence[End]
    order: Sequence[int]
    middle: Mapping[int, float]
    bar: Mapping[int, float]  # height of the bar: the greater of its ribbons and its rate
    rest: Mapping[int, float]  # part of the bar without ribbons, or beyond the rate


@final
@dataclass(frozen=True)
class _Drawing:
    """Layout of a graph with few enough ends."""

    graph: FlowGraph
    layout: _Layout
    left: _Column
    right: _Column
    scale: float  # pixels per unit of rate
    height: float

    @classmethod
    def of(cls, graph: FlowGraph, layout: _Layout) -> Self:
        """Lay out bars as high as their rates, in columns of equal height."""
        sent = [sum(flow.rate for flow in graph.flows if flow.source == i)
                for i in range(len(graph.sources))]  # fmt: skip
        got = [sum(flow.rate for flow in graph.flows if flow.sink == j)
               for j in range(len(graph.sinks))]  # fmt: skip
        total = sum(max(end.rate, rate) for end, rate in zip(graph.sources, sent, strict=True))
        rows = max(len(graph.sources), len(graph.sinks))
        scale = min(60.0 + 26.0 * rows, 420.0) / max(total, 1e-300)
        sources, sinks = _ordered(graph)
        sides = (graph.sources, sources, sent), (graph.sinks, sinks, got)
        room = max(_height(ends, carried, scale) for ends, _, carried in sides)
        left, right = (_column(*side, scale, room) for side in sides)
        return cls(graph, layout, left, right, scale, _TOP + room + 6.0)

    def svg(self) -> Markup:
        layout, (x0, x1) = self.layout, self._inner
        return labelled_svg(
            self.graph.title,
            self.graph.description,
            *self._unused(),
            *self._ribbons(),
            *self._ends(self.left, on_left=True),
            *self._ends(self.right, on_left=False),
            _text(x0, 14.0, self.graph.sides[0], "end", "side"),
            _text(x1, 14.0, self.graph.sides[1], "start", "side"),
            class_=f"flows {layout.name}",
            width=layout.width,
            height=round(self.height),
        )

    @property
    def _inner(self) -> tuple[float, float]:
        """Horizontal positions of the ribbons' two ends, pixels."""
        room = self.layout.label + _BAR
        return room, self.layout.width - room

    def _unused(self) -> Iterator[Markup]:
        if len(self.graph.unused) > _MOST_UNUSED:
            return
        for source, sink in self.graph.unused:
            ends = self.left.middle[source], self.right.middle[sink]
            yield element("path", d=_curve(*self._inner, *ends), class_="unused")

    def _ribbons(self) -> Iterator[Markup]:
        """One ribbon per flow, the widest first; ribbons of one end do not cross there."""
        rows = [
            {end: row for row, end in enumerate(side.order)} for side in (self.left, self.right)
        ]
        flows = self.graph.flows
        begin = self._stacked(
            self.left, sorted(flows, key=lambda f: (f.source, rows[1][f.sink])), lambda f: f.source
        )
        end = self._stacked(
            self.right, sorted(flows, key=lambda f: (f.sink, rows[0][f.source])), lambda f: f.sink
        )
        for flow in sorted(flows, key=lambda f: -f.rate):
            yield element(
                "path",
                d=_curve(*self._inner, begin[flow], end[flow]),
                class_=f"flow{_tier_class(self.graph.sinks[flow.sink].tier)}",
                stroke_width=f"{max(flow.rate * self.scale, 1.0):.2f}",
            )

    def _stacked(
        self, column: _Column, flows: Iterable[Flow], end_of: Callable[[Flow], int]
    ) -> dict[Flow, float]:
        """Centre of each ribbon at its end, stacked along the bar."""
        at = {end: column.middle[end] - column.bar[end] / 2.0 for end in column.order}
        found = {}
        for flow in flows:
            end, wide = end_of(flow), flow.rate * self.scale
            found[flow] = at[end] + wide / 2.0
            at[end] += wide
        return found

    def _ends(self, column: _Column, *, on_left: bool) -> Iterator[Markup]:
        layout = self.layout
        x = layout.label if on_left else layout.width - layout.label - _BAR
        for number in column.order:
            end, middle = column.ends[number], column.middle[number]
            height = max(column.bar[number], 2.0)
            top, rest = middle - height / 2.0, column.rest[number]
            yield element("rect", x=f"{x:.1f}", y=f"{top:.2f}", width=_BAR, rx=2,
                          height=f"{height:.2f}", class_=f"end{_tier_class(end.tier)}")  # fmt: skip
            if rest > 0.5:
                yield element("rect", x=f"{x - 3.0:.1f}", y=f"{top + height - rest:.2f}",
                              width=_BAR + 6.0, height=f"{rest:.2f}", class_="rest")  # fmt: skip
            at, anchor = (x - 8.0, "end") if on_left else (x + _BAR + 8.0, "start")
            up = -2.0 if end.note else 4.5
            yield _text(at, middle + up, _short(end.name, layout.letters), anchor, "name", end.name)
            if end.note:
                note = end.note if layout.whole_notes else end.note.partition(", ")[0]
                note = _short(note, layout.letters + 3)
                yield _text(at, middle + 13.0, note, anchor, "note", end.note)


def _height(ends: Sequence[End], carried: Sequence[float], scale: float) -> float:
    """Minimum height of a column, pixels."""
    bars = (max(end.rate, rate) * scale for end, rate in zip(ends, carried, strict=True))
    return sum(max(bar, _LEAST) for bar in bars) + _GAP * max(len(ends) - 1, 0)


def _column(
    ends: Sequence[End], order: Sequence[int], carried: Sequence[float], scale: float, room: float
) -> _Column:
    """Place ends in this order, spread evenly over the room."""
    bars = [max(end.rate, rate) * scale for end, rate in zip(ends, carried, strict=True)]
    spare = max(room - sum(max(bar, _LEAST) for bar in bars), 0.0)
    # The gaps above the first and below the last equal those between, unless the column is full.
    full = _height(ends, carried, scale) > room - 1.0
    gap = spare / max(len(order) - 1 if full else len(order) + 1, 1)
    at = _TOP + (0.0 if full else gap)
    middle: dict[int, float] = {}
    for end in order:
        height = max(bars[end], _LEAST)
        middle[end] = at + height / 2.0
        at += height + gap
    # Rounding errors do not count as a rest.
    rest = [abs(end.rate - rate) * scale for end, rate in zip(ends, carried, strict=True)]
    return _Column(ends, order, middle, dict(enumerate(bars)), dict(enumerate(rest)))


def _ordered(graph: FlowGraph) -> tuple[list[int], list[int]]:
    """Order both sides by tier, sinks in the given order, sources near their sinks."""
    sinks = sorted(range(len(graph.sinks)), key=lambda j: (graph.sinks[j].tier or 99, j))
    place = {sink: row for row, sink in enumerate(sinks)}
    pull: dict[int, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for source, sink, rate in graph.flows:
        total, weighted = pull[source]
        pull[source] = total + rate, weighted + rate * place[sink]

    def row(i: int) -> float:
        total, weighted = pull[i]
        return weighted / total if total else float(i)

    sources = sorted(range(len(graph.sources)), key=lambda i: (graph.sources[i].tier or 99, row(i)))
    return sources, sinks


def _text(x: float, y: float, words: str, anchor: str, kind: str, whole: str = "") -> Markup:
    full = element("title", whole) if whole and whole != words else None
    return element("text", words, full, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, class_=kind)


def _short(name: str, letters: int) -> str:
    """A name, with its middle left out if it is too long."""
    name = " ".join(name.split())
    if len(name) <= letters:
        return name
    head = letters // 2
    return f"{name[:head]}…{name[len(name) - (letters - head - 1) :]}"


def _curve(x0: float, x1: float, y0: float, y1: float) -> str:
    bend = (x1 - x0) * 0.45
    return f"M{x0:.1f} {y0:.2f}C{x0 + bend:.1f} {y0:.2f} {x1 - bend:.1f} {y1:.2f} {x1:.1f} {y1:.2f}"


def _tier_class(tier: int) -> str:
    """Class in the stylesheet, which has eight tiers that repeat."""
    return f" tier-{(tier - 1) % 8 + 1}" if tier else ""
