"""JSON that people read: indented by two, with null in place of numbers that are not finite.

`json` indents in Python, which takes seconds for a document of 10^5 entries. Here its encoder in C
writes whole rows, with a separator that breaks lines: a mapping or list without others inside, or a
list of such mappings. Within a JSON string there is no line break, so that all of them are
separators. The text is that of `json.dumps(finite(document), indent=2)`.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, final

_STEP = "  "
_PLAIN = (str, int, float, type(None))


def json_text(document: Any, *, ascii_only: bool = False) -> str:
    """Write a document; with `ascii_only` other characters are escaped.

    Raises:
        TypeError: It holds what JSON has no form for.
    """
    return _Writer(ascii_only).text(document, "\n")


def finite(value: Any) -> Any:
    """A JSON document with None in place of nan and inf."""
    if isinstance(value, Mapping):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@final
class _Writer:
    def __init__(self, ascii_only: bool) -> None:
        self._ascii_only = ascii_only
        self._encoders: dict[str, Callable[[Any], str]] = {}

    def text(self, value: Any, end: str) -> str:
        """Text of a value; `end` is a line break and the indent of its closing bracket."""
        inside = end + _STEP
        if isinstance(value, Mapping):
            return f"{{{inside}{self._of_mapping(value, inside)}{end}}}" if value else "{}"
        if isinstance(value, list | tuple) and value:
            return f"[{inside}{self._of_list(value, inside)}{end}]"
        return self._encoded(value, inside)

    def _of_mapping(self, value: Mapping[Any, Any], inside: str) -> str:
        """Entries, without the brackets."""
        if _are_plain(value.values()):
            return self._encoded(dict(value), inside)[1:-1]
        # Keys as `json` writes them, which takes them in a mapping alone.
        keys = (self._encoded({key: 0}, inside)[1:-2] for key in value)
        entries = (
            key + self.text(it, inside) for key, it in zip(keys, value.values(), strict=True)
        )
        return f",{inside}".join(entries)

    def _of_list(self, value: Sequence[Any], inside: str) -> str:
        """Entries, without the brackets."""
        if _are_plain(value):
            return self._encoded(value, inside)[1:-1]
        if not _are_rows(value):
            return f",{inside}".join(self.text(entry, inside) for entry in value)
        within = inside + _STEP
        rows = self._encoded(value, within)[2:-2]
        between = f"{inside}}},{inside}{{{within}"
        return f"{{{within}" + rows.replace(f"}},{within}{{", between) + f"{inside}}}"

    def _encoded(self, value: Any, inside: str) -> str:
        """As the encoder in C writes it, with a line break and this indent between entries."""
        if inside not in self._encoders:
            self._encoders[inside] = json.JSONEncoder(
                ensure_ascii=self._ascii_only,
                check_circular=False,
                allow_nan=False,
                separators=(f",{inside}", ": "),
            ).encode
        encode = self._encoders[inside]
        try:
            return encode(value)
        except ValueError:  # of nan and inf
            return encode(finite(value))


def _are_plain(values: Iterable[Any]) -> bool:
    """Whether no value is a list or mapping."""
    return all(issubclass(kind, _PLAIN) for kind in set(map(type, values)))


def _are_rows(values: Iterable[Any]) -> bool:
    """Whether all are mappings of plain values, and none is empty."""
    return (
        set(map(type, values)) == {dict}
        and all(values)
        and _are_plain(chain.from_iterable(row.values() for row in values))
    )
