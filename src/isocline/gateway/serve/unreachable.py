"""Frontends that no request can reach, because an earlier one takes all their requests."""

import re
from collections.abc import Iterator
from fnmatch import translate

from isocline.gateway.proxy.matching import is_under
from isocline.model.match import Match
from isocline.model.systemfile.serving import Served


def unreachable(served: Served) -> Iterator[str]:
    """Note each frontend whose requests all meet the conditions of a single earlier frontend.

    A frontend that only several earlier ones together cover is not found.
    """
    frontends = served.entries.frontends
    for number, frontend in enumerate(frontends):
        first = next((it for it in frontends[:number] if covers(it.match, frontend.match)), None)
        if first is not None:
            yield (
                f"frontend {frontend.name!r}: no request can reach it, because {first.name!r} "
                "before it matches them all; change the match of one of the two, or put the one "
                "with more conditions first"
            )


def covers(first: Match, other: Match) -> bool:
    """Whether every request that meets the conditions of `other` meets those of `first`."""
    theirs = {name.lower(): pattern for name, pattern in other.headers.items()}
    return (
        first.listener in (None, other.listener)
        and _matches_all(_lower(first.host), _lower(other.host))
        and is_under(other.path.rstrip("/").encode(), first.path.rstrip("/").encode())
        and all(
            _matches_all(pattern, theirs.get(name.lower()))
            for name, pattern in first.headers.items()
        )
        and _matches_all(first.model, other.model)
    )


def _matches_all(pattern: str | None, other: str | None) -> bool:
    """Whether a shell-style pattern surely matches all that another does; None: no condition."""
    if pattern is None:
        return True
    if other is None:
        return False  # even for `*`: a request without a model or the field does not match
    literal = not re.search(r"[*?\[]", other)
    return pattern in ("*", other) or (literal and re.match(translate(pattern), other) is not None)


def _lower(host: str | None) -> str | None:
    return None if host is None else host.lower()
