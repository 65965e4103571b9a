"""Zones: levels of two zones, as in near-data scheduling.

The levels are the same zone, another zone of its region, and another region. A zone is written as
`eu-1a`, or with its region before a slash, as `eu/1a`; zones without a region are all of one.
"""

from collections.abc import Sequence

SAME_ZONE, SAME_REGION, OTHER_REGION = 0, 1, 2
LEVELS = 3


def level_of(one: str | None, other: str | None) -> int:
    """Level of two zones; the same one if either is not known."""
    if one is None or other is None or one == other:
        return SAME_ZONE
    return SAME_REGION if _region(one) == _region(other) else OTHER_REGION


def known(zones: Sequence[str | None]) -> bool:
    """Whether any of these zones is known."""
    return any(zone is not None for zone in zones)


def _region(zone: str) -> str:
    region, slash, _ = zone.rpartition("/")
    return region if slash else ""
