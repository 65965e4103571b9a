"""`isocline plan`."""

from pathlib import Path

import click

from isocline.cli import _output


@click.command("plan")
@_output.file_argument
@_output.json_option
@_output.out_option
@click.pass_context
def command(ctx: click.Context, file: Path, as_json: bool, out: Path | None) -> None:
    """Find the best possible split of the load, with a certificate.

    Exit status 1 if no split can serve it; then the overloaded set is shown as the proof.
    """
    system = _output.load_and_say(file)
    from isocline.theory.equilibrium import plan

    document = plan(system).to_dict()
    if as_json:
        _output.show_json(document)
    else:
        from isocline.report.plan_table import plan_report

        _output.show(plan_report(document, system))
    if out:
        from isocline.report.files import write_plan

        _output.say_written(write_plan(document, system, out))
    if document["status"] != "optimal":
        ctx.exit(1)
