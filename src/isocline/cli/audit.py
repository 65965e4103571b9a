"""`isocline audit`."""

from pathlib import Path
from typing import Any

import click

from isocline.cli import _options, _output
from isocline.cli._imports import uncollected
from isocline.cli._numbers import Number
from isocline.cli._waiting import waiting


@click.command("audit", cls=_options.Verb)
@click.argument("logs", nargs=-1, required=True, metavar="LOG...", type=click.Path(path_type=Path))
@_options.option(
    "--format",
    metavar="F",
    help="The format of the lines, where it is none in common use: that of log_format in quotes, "
    "or the file of nginx's configuration that has it.  [default: found by content]",
)
@_options.option(
    "--edges",
    multiple=True,
    metavar="ORIGIN=BACKEND,...",
    help="Backends that requests of an origin may go to, both shell-style patterns; repeat for "
    "more.  [default: those they went to]",
    excludes=("--system",),
)
@_options.option(
    "--system",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A system file that says so, whose backends have the names or urls of the log.",
)
@_options.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="P",
    help="A policy to simulate on the same arrivals; repeat for more.  [default: Isocline's, and "
    "those of usual routers]",
)
@_options.option(
    "--draws",
    type=Number("20", least=3, below=1001, whole=True),
    default=20,
    show_default=True,
    metavar="R",
    help="Draws of what the log leaves open; intervals are over them.",
)
@_options.seed_option
@_options.json_option
@_options.out_option
def command(logs: tuple[Path, ...], as_json: bool, out: Path | None, **given: Any) -> None:
    """Judge another router by its access log.

    LOG is one of nginx, HAProxy, Envoy or Isocline, in text or JSON, or a CSV with the columns
    start, duration and upstream; packed by gzip or not, and - for stdin. Several are one log.

    Learns the service curves of the backends, says how far the mean latency is above the optimum
    and why, what other policies would have given, and what would help. --out also writes
    system.yaml, the system file with these curves.
    """
    with uncollected():
        from isocline.audit import audit_log
        from isocline.audit.replayed import POLICIES

    with waiting("auditing"):
        found = audit_log(list(logs), **given | {"policies": given["policies"] or POLICIES})
    if as_json:
        _output.show_json(found.to_dict())
    else:
        from isocline.report.tables.audit import audit_report

        _output.show(audit_report(found))
    if out:
        from isocline.report.export.files import write_audit

        _output.list_written(write_audit(found, out))
