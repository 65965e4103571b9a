"""Names in system files: each stands once, and patterns stand for those that match."""

import re
from collections.abc import Mapping, Sequence
from fnmatch import translate
from typing import Protocol

from isocline.model.systemfile.document import Document


class Named(Protocol):
    """Entry with a name."""

    @property
    def name(self) -> str: ...


def numbered(document: Document, key: str, entries: Sequence[Named]) -> dict[str, int]:
    """Return the number of each name; a name that stands twice is refused."""
    numbers: dict[str, int] = {}
    for i, entry in enumerate(entries):
        if entry.name in numbers:
            first = numbers[entry.name]
            problem = f"{entry.name!r} is already the name of {key}[{first}]; choose another"
            document.fail((key, i, "name"), problem)
        numbers[entry.name] = i
    return numbers


def matches(names: Mapping[str, int], pattern: str) -> list[int]:
    """Return the numbers of the names that a shell-style pattern stands for."""
    if pattern in names:  # a name may hold characters that are special in patterns
        return [names[pattern]]
    match = re.compile(translate(pattern)).match
    return [b for name, b in names.items() if match(name)]
