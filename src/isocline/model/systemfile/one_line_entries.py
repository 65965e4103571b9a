"""Entries of a YAML list that stand on a line each, as large files have them, read as JSON.

    frontends:
      - {name: f0, rate: 0.8, backends: [b17, b4]}

Such lines differ from JSON in that words have no quotes. PyYAML makes an object of each word, its
line and column included, and takes six times as long. Read here are lines of words, numbers and
brackets that mean the same in both; all else, and every mistake, is left to YAML.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple, final

_ENTRY = r"-[ ]\{[\w .,:\[\]{}+-]*\}[ ]*(?:\n|\Z)"
# A key at the top, and the lines of its entries that have one indent.
_SECTION = re.compile(
    rf"^([A-Za-z_]+):[ ]*\n(?P<lines>(?P<indent>[ ]*){_ENTRY}(?:(?P=indent){_ENTRY})*+)",
    re.MULTILINE | re.ASCII,
)
# No part of a number, and begins as none.
_WORD = re.compile(r"(?<![\w.+-])([A-Za-z_][\w.-]*)", re.ASCII)
_GLUED = re.compile(r":(?! )")  # a:b is one word to YAML
_CONSTANTS = ("true", "false", "null")  # in any case, words or parts of words


@final
class Shortened(NamedTuple):
    """A text without the entries of some keys, and these."""

    text: str
    entries: dict[str, list[Any]]


def shortened(text: str, read_json: Callable[[str], Any]) -> Shortened:
    """Take out what can be read as JSON.

    Args:
        text: A YAML document.
        read_json: Reader of JSON; raises ValueError where YAML should read instead.
    """
    left, entries, at = [], {}, 0
    for section in _SECTION.finditer(text):
        found = _entries(section["lines"], section["indent"], read_json)
        if found is None:
            continue
        left.append(text[at : section.start("lines")])
        entries[section[1]] = found
        at = section.end("lines")
    return Shortened("".join([*left, text[at:]]), entries)


def _entries(lines: str, indent: str, read_json: Callable[[str], Any]) -> list[Any] | None:
    """The entries of a section; None where JSON is not sure to mean the same as YAML."""
    lowered = lines.lower()
    if any(word in lowered for word in _CONSTANTS) or _GLUED.search(lines):
        return None
    rows = lines.removeprefix(f"{indent}- ").replace(f"\n{indent}- ", "\n,")
    # Split at words, which take turns with what is between them.
    quoted = '"'.join(_WORD.split(rows))
    try:
        found: list[Any] = read_json(f"[{quoted}]")
    except ValueError:
        return None
    return found
