"""The policies that come with the package."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.policies.parse import word
from isocline.report.tables.style import table

_YOUR_OWN = (
    "Your own, for routing: --policy package.module:function. Options: --policy power_of_d:d=3"
)


def policies_report(
    routing: Iterable[Mapping[str, Any]], near_data: Iterable[Mapping[str, Any]]
) -> RenderableType:
    """Name, one line, and options with their defaults."""
    tables = (_table("kind: routing", routing), _table("kind: near-data", near_data))
    return Group(tables[0], Text(), tables[1], Text(), Text(_YOUR_OWN, style="dim"))


def _table(title: str, policies: Iterable[Mapping[str, Any]]) -> Table:
    made = table(title, [("policy", "left"), ("what it does", "left"), ("options", "left")])
    for policy in policies:
        options = ", ".join(f"{key}={word(value)}" for key, value in policy["options"].items())
        made.add_row(policy["policy"], policy["summary"], options)
    return made
