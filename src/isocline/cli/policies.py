"""`isocline policies`."""

import inspect
from typing import Any

import click

from isocline.cli import _output


@click.command("policies")
@_output.json_option
def command(as_json: bool) -> None:
    """List the routing policies and their options."""
    policies = _described()
    if as_json:
        _output.show_json({"kind": "routing", "policies": policies})
        return
    from isocline.report.policies_table import policies_report

    _output.show(policies_report(policies))


def _described() -> list[dict[str, Any]]:
    from isocline.policies.parse import options
    from isocline.policies.routing import ALL

    return [
        {
            "policy": name,
            "summary": inspect.cleandoc(policy.__doc__ or "").partition("\n")[0],
            "options": dict(options(policy)),
        }
        for name, policy in ALL.items()
    ]
