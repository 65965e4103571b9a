"""`isocline policies`."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import click

from isocline.cli import _options, _output


@click.command("policies", cls=_options.Verb)
@_options.json_option
def command(as_json: bool) -> None:
    """List the policies and their options, of both jobs."""
    from isocline.policies import routing, scheduling

    policies = _described(routing.ALL, inspect.getdoc)
    # What a scheduling policy does stands above its rules, at the head of its file.
    near_data = _described(scheduling.ALL, lambda policy: inspect.getdoc(inspect.getmodule(policy)))
    if as_json:
        _output.show_json({"kind": "routing", "policies": policies, "near-data": near_data})
        return
    from isocline.report.tables.policies import policies_report

    _output.show(policies_report(policies, near_data))


def _described(
    known: Mapping[str, type], words: Callable[[type], str | None]
) -> list[dict[str, Any]]:
    from isocline.policies.parse import options

    return [
        {
            "policy": name,
            "summary": (words(policy) or "").partition("\n")[0],
            "options": dict(options(policy)),
        }
        for name, policy in known.items()
    ]
