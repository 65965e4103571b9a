"""Live page of a router: `/` of the admin listener.

The workers' snapshots are gathered once per interval for all viewers, see `isocline.pages.live`.
`frames` computes the figures of an interval from two successive snapshots, and `changes` finds
events between them; both are free of I/O and clocks. `routes` serves the page over HTTP, and
`static` has its files, in the shared look of `isocline.pages`.
"""

from isocline.gateway.metrics.live_page.routes import LivePage
from isocline.pages.live import Event

__all__ = ["Event", "LivePage"]
