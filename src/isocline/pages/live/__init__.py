"""Live pages: a stream of figures per interval, shared by all viewers of a page.

    feed = Feed(gather, maker.frame)
    routes = LiveRoutes(page, feed).routes()

`feed` gathers once per interval for all viewers, and streams server-sent events; `history` is sent
first to each new viewer; `routes` serves page, files and stream with aiohttp, which only that
module imports. Each page makes its own `Frame` from a snapshot.
"""

from isocline.pages.assets import asset_of
from isocline.pages.live.frames import Event, Frame, Layout, Tone, condensed, short

STYLE = asset_of(__package__, "events.css")
STREAM = asset_of(__package__, "stream.js")  # after CHARTS
TABLES = asset_of(__package__, "tables.js")  # likewise

__all__ = ["STREAM", "STYLE", "TABLES", "Event", "Frame", "Layout", "Tone", "condensed", "short"]
