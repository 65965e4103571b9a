"""The policies that come with the package."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from isocline.report.table_style import table

_YOUR_OWN = "Your own: --policy package.module:function. Options: --policy power_of_d:d=3"


def policies_report(policies: Iterable[Mapping[str, Any]]) -> RenderableType:
    """Name, one line, and options with their defaults."""
    made = table("", [("policy", "left"), ("what it does", "left"), ("options", "left")])
    for policy in policies:
        options = ", ".join(f"{key}={_word(value)}" for key, value in policy["options"].items())
        made.add_row(policy["policy"], policy["summary"], options)
    return Group(made, Text(), Text(_YOUR_OWN, style="dim"))


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
