"""Documents with their places: fields of JSON objects and table rows, checked as they are read."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, final

from isocline.arguments import is_number
from isocline.errors import UsageError

_REMEDY = "correct it, or leave the file out"
_DECIMAL_COMMA = re.compile(r"\s*-?\d+,\d+\s*")


@final
class UnknownFormatError(UsageError):
    """A file is of no known format."""


@final
class Fields:
    """A JSON object, or a row of a table, of a file.

    Args:
        value: Names and values.
        source: Its place: the file, and the line of a row.
        path: Within the document, as "benchmarks[2].metrics".
        texts: Numbers may be written as text, as in a CSV; "" is then no value.
    """

    def __init__(
        self, value: Mapping[str, Any], source: str, path: str = "", *, texts: bool = False
    ):
        self.value, self.source, self.path = value, source, path
        self._texts = texts

    def __contains__(self, name: str) -> bool:
        value = self.value.get(name)
        return not (value is None or (self._texts and value == ""))

    def fail(self, name: str, problem: str) -> NoReturn:
        """Raise UsageError with the place of a field."""
        place = " ".join(self.place(name).split())  # names of others are in it
        raise UsageError(f"{self.source}: {place} {problem}")

    def place(self, name: str) -> str:
        """The field's place within the document."""
        return f"{self.path}.{name}" if self.path else name

    def child(self, name: str) -> "Fields":
        """The object of this name.

        Raises:
            UsageError: There is none, or it is no object.
        """
        value = self._required(name)
        if not isinstance(value, Mapping):
            self.fail(name, f"is {_brief(value)}, expected an object; {_REMEDY}")
        return Fields(value, self.source, self.place(name), texts=self._texts)

    def below(self, *names: str) -> "Fields | None":
        """The object at the end of a path of names; None where there is none."""
        found: Fields = self
        for name in names:
            value = found.value.get(name)
            if not isinstance(value, Mapping):
                return None
            found = found.child(name)
        return found

    def children(self, name: str) -> Iterator["Fields"]:
        """The objects of a list.

        Raises:
            UsageError: It is no list, is empty, or an entry is no object.
        """
        values = self.entries(name)
        if not values:
            self.fail(name, f"is empty; {_REMEDY}")
        for i, value in enumerate(values):
            if not isinstance(value, Mapping):
                self.fail(f"{name}[{i}]", f"is {_brief(value)}, expected an object; {_REMEDY}")
            yield Fields(value, self.source, self.place(f"{name}[{i}]"), texts=self._texts)

    def entries(self, name: str) -> list[Any]:
        """A list.

        Raises:
            UsageError: There is none.
        """
        value = self._required(name)
        if not isinstance(value, list):
            self.fail(name, f"is {_brief(value)}, expected a list; {_REMEDY}")
        return value

    def numbers(self, name: str) -> list[float]:
        """A list of finite numbers.

        Raises:
            UsageError: An entry is none.
        """
        values = self.entries(name)
        for i, value in enumerate(values):
            if not _finite(value):
                self.fail(
                    f"{name}[{i}]", f"is {_brief(value)}, expected a finite number; {_REMEDY}"
                )
        return [float(value) for value in values]

    def text(self, name: str) -> str:
        """A string, or a number as one; "" where there is none."""
        value = self.value.get(name)
        if value is None or isinstance(value, Mapping | list):
            return ""
        return str(value).strip()

    def above_0(self, name: str) -> float:
        """A finite number above 0.

        Raises:
            UsageError: It is none.
        """
        value = self._number(name)
        if value is None or value <= 0:
            self._refuse(name, "a finite number above 0")
        return value

    def least_0(self, name: str) -> float:
        """A finite number, 0 or more.

        Raises:
            UsageError: It is none.
        """
        value = self._number(name)
        if value is None or value < 0:
            self._refuse(name, "a finite number, 0 or more")
        return value

    def maybe_above_0(self, name: str) -> float | None:
        """The same, where it is there."""
        return self.above_0(name) if name in self else None

    def maybe_least_0(self, name: str) -> float | None:
        """The same, where it is there."""
        return self.least_0(name) if name in self else None

    def require_unit(self, *units: str) -> None:
        """Check the field `unit`, where there is one.

        Raises:
            UsageError: It is another one.
        """
        unit = self.text("unit")
        if unit and unit not in units:
            self.fail("unit", f"is {unit!r:.40}, expected {units[0]!r}; {_REMEDY}")

    def _number(self, name: str) -> float | None:
        value = self._required(name)
        if self._texts and isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                return None
        return float(value) if _finite(value) else None

    def _required(self, name: str) -> Any:
        if name not in self:
            self.fail(name, f"is missing; {_REMEDY}")
        return self.value[name]

    def _refuse(self, name: str, expected: str) -> NoReturn:
        value = self.value[name]
        remedy = _REMEDY
        if self._texts and isinstance(value, str) and _DECIMAL_COMMA.fullmatch(value):
            remedy = f"write decimals with a point, as {value.strip().replace(',', '.')}"
        self.fail(name, f"is {_brief(value)}, expected {expected}; {remedy}")


def _finite(value: object) -> bool:
    if type(value) is float:
        return math.isfinite(value)
    try:
        return is_number(value) and math.isfinite(value)  # type: ignore[arg-type]
    except OverflowError:  # an integer beyond doubles
        return False


def _brief(value: object) -> str:
    """A value in a message, whatever it is."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**20:
        return "an integer beyond doubles" if abs(value) > 10**308 else f"{float(value):g}"
    return " ".join(f"{value!r:.40}".split())
