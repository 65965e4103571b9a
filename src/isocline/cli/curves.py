"""`isocline curves`."""

from pathlib import Path

import click

from isocline.cli import _options, _output


@click.command("curves", cls=_options.Verb)
@_options.file_argument
@_options.json_option
@_options.out_option
def command(file: Path, as_json: bool, out: Path | None) -> None:
    """Show the service curve of each backend.

    FILE is a system file, or one of learned curves, as `isocline serve` keeps.

    Points that were cut from measured tables are named on stderr, and crossed out in the picture.
    Learned curves come with 95 % intervals; beyond the workloads that were seen they are
    extrapolated, and the table and the picture say so.
    """
    import numpy as np

    from isocline.gateway.serve.learned_curves import learned_file

    learned = learned_file(file)
    system = learned.as_system() if learned else _output.load_and_say(file)
    from isocline.report.tables.curves import curves_document, curves_report

    frontends = learned.frontends if learned else []
    known = {one.name: one.known for one in learned.backends} if learned else None
    with np.errstate(all="ignore"):  # of numbers near the ends of doubles the table shows inf
        if as_json:
            _output.show_json(curves_document(system, frontends, known))
        else:
            _output.show(curves_report(system, frontends, known))
    if out:
        from isocline.report.export.files import write_curves

        _output.say_written(write_curves(system, out, known))
