"""`isocline policies`."""

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import click

from isocline.cli import _options, _output

if TYPE_CHECKING:
    from isocline.report.tables.policies import KnownPolicy


@click.command("policies", cls=_options.Verb)
@_options.json_option
def command(as_json: bool) -> None:
    """List the policies and their options, of both jobs."""
    from isocline.policies import routing, scheduling

    policies = _described(routing.ALL, inspect.getdoc)
    # What a scheduling policy does stands above its rules, at the head of its file.
    near_data = _described(scheduling.ALL, lambda policy: inspect.getdoc(inspect.getmodule(policy)))
    if as_json:
        kinds = {"policies": policies, "near-data": near_data}
        rows = {key: [policy._asdict() for policy in known] for key, known in kinds.items()}
        _output.show_json({"kind": "routing"} | rows)
        return
    from isocline.report.tables.policies import policies_report

    _output.show(policies_report(policies, near_data))


def _described(
    known: Mapping[str, type], words: Callable[[type], str | None]
) -> "list[KnownPolicy]":
    from isocline.policies.parse import options
    from isocline.report.tables.policies import KnownPolicy

    return [
        KnownPolicy(name, (words(policy) or "").partition("\n")[0], dict(options(policy)))
        for name, policy in known.items()
    ]
