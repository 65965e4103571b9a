"""Table of the policies that come with the package."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.policies.parse import word
from isocline.report.tables.style import Column, names, table

_YOUR_OWN = (
    "Your own, for routing: --policy package.module:function. Options: --policy power_of_d:d=3"
)


class KnownPolicy(NamedTuple):
    """A policy, as an entry of the JSON document."""

    policy: str  # name
    summary: str  # one line
    options: Mapping[str, Any]  # with their defaults


def policies_report(
    routing: Sequence[KnownPolicy], near_data: Sequence[KnownPolicy]
) -> RenderableType:
    """Name, one line, and options with their defaults."""
    tables = (_table("kind: routing", routing), _table("kind: near-data", near_data))
    return Group(tables[0], Text(), tables[1], Text(), Text(_YOUR_OWN, style="dim"))


def _table(title: str, policies: Sequence[KnownPolicy]) -> Table:
    columns: list[Column[KnownPolicy]] = [
        names("policy", "policy"),
        names("what it does", "summary"),
        names("options", lambda p: ", ".join(f"{k}={word(v)}" for k, v in p.options.items())),
    ]
    return table(title, columns, policies)
