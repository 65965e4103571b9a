"""Counts with their nouns, for messages: "1 backend", "2 backends"."""


def counted(count: int, noun: str, plural: str = "") -> str:
    """A count and its noun, in the plural unless it is one; by default the plural ends in s."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
