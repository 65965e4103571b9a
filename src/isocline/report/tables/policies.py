"""Table of the package's policies."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.policies import routing, scheduling
from isocline.policies.parse import options, word
from isocline.report.tables.style import Column, names, table

_YOUR_OWN = (
    "Your own, for routing: --policy package.module:function. Options: --policy power_of_d:d=3"
)


class KnownPolicy(NamedTuple):
    """A policy, as an entry of the JSON document."""

    policy: str  # name
    summary: str  # one line
    options: Mapping[str, Any]  # with their defaults
    description: str  # formula, reasons and source: the text of the policy's module


def routing_policies() -> list[KnownPolicy]:
    """The routing policies of the package."""
    return _described(routing.ALL, inspect.getdoc)


def scheduling_policies() -> list[KnownPolicy]:
    """The scheduling policies of the package."""
    # The description of a policy is the docstring of its module.
    return _described(scheduling.ALL, lambda policy: inspect.getdoc(inspect.getmodule(policy)))


def _described(known: Mapping[str, type], words: Callable[[type], str | None]) -> list[KnownPolicy]:
    return [
        KnownPolicy(
            name,
            (words(policy) or "").partition("\n")[0],
            dict(options(policy)),
            inspect.getdoc(inspect.getmodule(policy)) or "",
        )
        for name, policy in known.items()
    ]


def policies_report(
    of_routing: Sequence[KnownPolicy], of_scheduling: Sequence[KnownPolicy]
) -> RenderableType:
    """Tables of names, summaries, and options with their defaults."""
    tables = (_table("kind: routing", of_routing), _table("kind: near-data", of_scheduling))
    return Group(tables[0], Text(), tables[1], Text(), Text(_YOUR_OWN, style="dim"))


def policy_report(title: str, policy: KnownPolicy) -> RenderableType:
    """Table of one policy, and its description."""
    return Group(_table(title, [policy]), Text(), Text(policy.description))


def _table(title: str, policies: Sequence[KnownPolicy]) -> Table:
    columns: list[Column[KnownPolicy]] = [
        names("policy", "policy"),
        names("what it does", "summary"),
        names("options", lambda p: ", ".join(f"{k}={word(v)}" for k, v in p.options.items())),
    ]
    return table(title, columns, policies)
