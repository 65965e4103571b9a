"""Fields of responses that tell a client its rate limits, `x-ratelimit-*` as of OpenAI."""

from typing import final

OURS = b"x-ratelimit-"
"""Beginning of these fields' names; those of a backend are dropped where the router sends its own.
"""


@final
class LimitLines:
    """Formats a limit's three fields."""

    def __init__(self, kind: str) -> None:
        """Initialise for `requests` or `tokens`."""
        self._lines = (
            f"x-ratelimit-limit-{kind}: %d\r\nx-ratelimit-remaining-{kind}: %d\r\n"
            f"x-ratelimit-reset-{kind}: %s\r\n"
        )

    def __call__(self, limit: float, remaining: float, full_in: float) -> bytes:
        """Format a limit per minute, what is left of it, and the s until all of it is."""
        return (self._lines % (limit, remaining, duration(full_in))).encode()


def duration(seconds: float) -> str:
    """Format a time as OpenAI does: `6m0s`, `7.66s`, `86ms`."""
    milliseconds = -int(-1e3 * seconds // 1)  # no earlier than it is
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    shown = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{shown}s" if minutes else f"{shown}s"
