"""`isocline policies`."""

from typing import TYPE_CHECKING

import click

from isocline.cli import _options, _output
from isocline.errors import UsageError

if TYPE_CHECKING:
    from isocline.report.tables.policies import KnownPolicy


@click.command("policies", cls=_options.Verb)
@click.argument("name", required=False)
@_options.json_option
def command(name: str | None, as_json: bool) -> None:
    """List all policies and options, or describe one."""
    from isocline.report.tables.policies import (
        policies_report,
        policy_report,
        routing_policies,
        scheduling_policies,
    )

    known = {"routing": routing_policies(), "near-data": scheduling_policies()}
    if name is None and not as_json:
        _output.show(policies_report(*known.values()))
        return
    found = known if name is None else _named(name, known)
    if as_json:
        rows = {kind: [it._asdict() for it in found.get(kind, [])] for kind in known}
        _output.show_json(
            {"kind": "routing", "policies": rows["routing"], "near-data": rows["near-data"]}
        )
        return
    for kind, policies in found.items():
        _output.show(policy_report(f"kind: {kind}", policies[0]))


def _named(name: str, known: "dict[str, list[KnownPolicy]]") -> "dict[str, list[KnownPolicy]]":
    """Return the policies of this name, by kind of system; raises UsageError."""
    found = {kind: [it for it in policies if it.policy == name] for kind, policies in known.items()}
    found = {kind: policies for kind, policies in found.items() if policies}
    if not found:
        from isocline.model.systemfile.problems import choice

        names = [it.policy for policies in known.values() for it in policies]
        raise UsageError(f"unknown policy {name!r}; {choice(name, names)}")
    return found
