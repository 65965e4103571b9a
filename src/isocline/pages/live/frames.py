"""Frames and events of a live page, as plain data that can be encoded as JSON."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, final

from isocline.plural import counted

_MOST_ALIKE = 8  # events of one kind shown at a time: a rack without network becomes one event
_NAMED = 3
Tone = Literal["ok", "warn", "bad", "idle"]


class Layout(Protocol):
    """Names of the columns of frames."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the columns in the history."""

    def to_dict(self, version: int) -> dict[str, Any]:
        """Document for viewers; each frame names the version of its layout."""


@final
@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        kind: One word, such as "ejected".
        subject: Name of the backend or node concerned; empty for the whole system.
        text: Rest of the sentence that begins with the subject.
        tone: Whether it is good or bad news.
    """

    kind: str
    subject: str
    text: str
    tone: Tone

    def to_dict(self, number: int, time: float) -> dict[str, Any]:
        """Document for viewers; `time` is in s since 1970."""
        return {
            "number": number,
            "time": round(time, 3),
            "kind": self.kind,
            "subject": self.subject,
            "text": self.text,
            "tone": self.tone,
        }


@final
@dataclass(frozen=True)
class Frame:
    """Figures of one interval.

    Attributes:
        number: Number of the frame, from 1.
        version: Version of the layout.
        layout: The layout.
        kept: Part for the history; its "time" is in s since 1970.
        full: Full document, for viewers; None if there are none.
        events: Events in the interval.
    """

    number: int
    version: int
    layout: Layout
    kept: dict[str, Any]
    full: dict[str, Any] | None
    events: tuple[Event, ...]


def condensed(events: Sequence[Event], noun: str) -> list[Event]:
    """Merge many simultaneous events of a kind into one; `noun` is the kind of their subjects."""
    alike: dict[str, list[Event]] = {}
    for event in events:
        alike.setdefault(event.kind, []).append(event)
    found = []
    for same in alike.values():
        if len(same) <= _MOST_ALIKE:
            found += same
            continue
        names = ", ".join(event.subject for event in same[:_NAMED])
        text = f"{names} and {len(same) - _NAMED} more, all at once"
        found.append(replace(same[0], subject=counted(len(same), noun), text=text))
    return found


def short(value: float | None) -> float | None:
    """A number with four digits, as many as a picture shows; None if it is not finite."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.4g}")
