"""Settings as fields of plain frozen data classes, with default, unit, bounds and description.

`systemfile.record` derives from such a class what a file may say, and
`gateway.serve.settings_table` the documentation. The data class itself is what the gateway reads:
attribute access costs no more than that of any other object, and compiled modules need not know
pydantic.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, final

from isocline.errors import UsageError

_KEY = "setting"


@final
@dataclass(frozen=True)
class Setting:
    """Description of one setting, beside its name, type and default.

    Attributes:
        description: One phrase, for the documentation.
        unit: `s`, `bytes`, or what is counted; empty: none.
        bounds: As pydantic's Field has them: gt, ge, lt, le; pattern or min_length of a text.
        remedy: Text of errors in place of the one that follows from the bounds.
    """

    description: str
    unit: str
    bounds: Mapping[str, Any]
    remedy: str

    def allows(self, value: object) -> bool:
        """Whether a number is finite and within the bounds; other values are not looked at."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return True
        bounds = self.bounds
        return (
            math.isfinite(value)
            and value > bounds.get("gt", -math.inf)
            and value >= bounds.get("ge", -math.inf)
            and value < bounds.get("lt", math.inf)
            and value <= bounds.get("le", math.inf)
        )

    @property
    def wanted(self) -> str:
        """What to give instead of a value that is not allowed."""
        if self.remedy:
            return self.remedy
        if "le" in self.bounds:
            return f"give a share from {self.bounds['ge']} to {self.bounds['le']}"
        what = {"": "", "s": "a time in seconds"}.get(self.unit, f"a number of {self.unit}")
        if "gt" in self.bounds:
            return f"give {what or 'a number'} above {self.bounds['gt']}"
        return f"give {what}, {self.bounds['ge']} or more".replace(" ,", "")


def described(description: str, *, unit: str = "", remedy: str = "", **bounds: Any) -> Any:
    """Metadata of the data class's field for a setting that has no default."""
    return {_KEY: Setting(description, unit, MappingProxyType(bounds), remedy)}


def setting(default: Any, description: str, **more: Any) -> Any:
    """Field of a data class: a setting with its default, see `described`."""
    metadata = described(description, **more)
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def settings_of(kind: Any) -> dict[str, Setting]:
    """Return the settings of a data class, or of an instance, by name."""
    return {it.name: it.metadata[_KEY] for it in fields(kind) if _KEY in it.metadata}


def outside(record: Any) -> Iterator[tuple[str, Any, str]]:
    """Yield name, value and remedy of each number that is out of its setting's bounds."""
    for name, it in settings_of(record).items():
        value = getattr(record, name)
        if not it.allows(value):
            yield name, value, it.wanted


def require_within_bounds(group: str, record: Any) -> None:
    """Raise UsageError for the first number that is out of bounds; `group` begins the message."""
    for name, value, wanted in outside(record):
        raise UsageError(f"{group}: {name} is {value}; {wanted}")
