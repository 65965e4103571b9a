"""`isocline policies`."""

import click

from isocline.cli import _options, _output


@click.command("policies", cls=_options.Verb)
@_options.json_option
def command(as_json: bool) -> None:
    """List all policies, and their options."""
    from isocline.report.tables.policies import (
        policies_report,
        routing_policies,
        scheduling_policies,
    )

    policies, near_data = routing_policies(), scheduling_policies()
    if as_json:
        kinds = {"policies": policies, "near-data": near_data}
        rows = {key: [policy._asdict() for policy in known] for key, known in kinds.items()}
        _output.show_json({"kind": "routing"} | rows)
        return
    _output.show(policies_report(policies, near_data))
