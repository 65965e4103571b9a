"""Closed loops on the emulator's processor sharing, by events alone: spans of requests."""

from collections.abc import Callable
from math import inf

from isocline.emulator.sharing import Job, ProcessorSharing
from isocline.sweep.rate import Span


def spans_of(
    rate_at: Callable[[int], float],
    clients: int,
    size: Callable[[], float],
    until: float,
    *,
    most: int | None = None,
    stagger: float = 0.0,
) -> list[Span]:
    """Requests of so many clients up to a time, s; those that are still there have no end.

    Args:
        rate_at: Jobs/s at each number of jobs in service.
        clients: How many, the k-th of which begins at k / clients of `stagger`, s.
        size: Draws the work of the next request.
        until: s.
        most: Jobs in service at a time.
        stagger: s.
    """
    server = ProcessorSharing(rate_at, most)
    began: dict[Job, float] = {}
    spans: list[Span] = []
    starts = [stagger * i / clients for i in range(clients)]

    def start(now: float) -> None:
        job = Job(size())
        began[job] = now
        server.admit(job)

    while True:
        end = server.next_end()
        if starts and starts[0] < end:
            now = starts.pop(0)
            server.advance(now)
            start(now)
            continue
        if end > until:
            return spans + [Span(first, inf) for first in began.values()]
        for job in server.advance(end):
            spans.append(Span(began.pop(job), end))
            start(end)
