"""Words of messages: counts with their nouns ("1 backend"), lists, what numbered names share."""

import re
from collections.abc import Sequence

_NUMBER = re.compile(r"[-_. ]*\d+$")


def counted(count: int, noun: str, plural: str = "") -> str:
    """A count and its noun, in the plural unless it is one; by default the plural ends in s."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def first_of(names: Sequence[str], most: int) -> str:
    """The first names, separated by commas, and how many more there are: "a, b and 3 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def stem_of(name: str) -> str:
    """What replicas have in common: "h100" for h100-1 and h100-2."""
    return _NUMBER.sub("", name) or name
