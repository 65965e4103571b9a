"""History of a live page, which each new viewer gets first; bounded in time and in bytes."""

import json
from collections import deque
from typing import Any, final

from isocline.pages.live.frames import Event, Frame, Layout

SECONDS = 300.0
_MOST_BYTES = 8 << 20  # of frames: 1000 backends take 20 kB each
_MOST_EVENTS = 200


def encoded(value: Any) -> bytes:
    """JSON in UTF-8; raises ValueError for a number that is not finite."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")  # a name may contain half a surrogate pair


@final
class History:
    """Frames of the last minutes as JSON, their layouts, and the last events.

    Attributes:
        seconds: Length of time that it covers, s.
    """

    def __init__(self, empty: Layout, seconds: float = SECONDS) -> None:
        """Initialise; `empty` is the layout before the first frame."""
        self.seconds = seconds
        self._empty = empty
        self._frames: deque[tuple[float, int, bytes]] = deque()  # s since 1970, version
        self._bytes = 0
        self._layouts: dict[int, Layout] = {}
        self._events: deque[tuple[int, bytes]] = deque(maxlen=_MOST_EVENTS)
        self._event = 0

    @property
    def last_event(self) -> int:
        """Number of the last event, from 1."""
        return self._event

    def add(self, frame: Frame) -> None:
        """Add a frame and its events."""
        time, data = frame.kept["time"], encoded(frame.kept)
        self._frames.append((time, frame.version, data))
        self._bytes += len(data)
        self._layouts[frame.version] = frame.layout
        while self._frames[0][0] < time - self.seconds or self._bytes > _MOST_BYTES:
            self._bytes -= len(self._frames.popleft()[2])
        oldest = self._frames[0][1]
        for version in [it for it in self._layouts if it < oldest]:
            del self._layouts[version]
        for event in frame.events:
            self.note(event, time)

    def note(self, event: Event, time: float) -> None:
        """Add an event; `time` is in s since 1970."""
        self._event += 1
        self._events.append((self._event, encoded(event.to_dict(self._event, time))))

    def layout(self) -> bytes:
        """The latest layout."""
        version = max(self._layouts, default=0)
        return encoded(self._layouts.get(version, self._empty).to_dict(version))

    def events_after(self, number: int) -> bytes:
        """Events after the one with this number, as a JSON list."""
        return b"[%b]" % b",".join(data for n, data in self._events if n > number)

    def whole(self) -> bytes:
        """The whole history, as one JSON object."""
        names = {version: list(layout.names) for version, layout in self._layouts.items()}
        return b'{"seconds":%d,"layout":%b,"names":%b,"events":%b,"frames":[%b]}' % (
            self.seconds,
            self.layout(),
            encoded(names),
            self.events_after(0),
            b",".join(data for _, _, data in self._frames),
        )
