"""`isocline serve`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isocline.cli import _options, _output
from isocline.cli._numbers import COUNT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isocline.gateway.serve.addresses import ListenAddress
    from isocline.gateway.serve.config import Serving


@click.command("serve", cls=_options.Verb)
@_options.file_argument
@_options.option("--listen", metavar="HOST:PORT", help="Address of the first listener.")
@_options.option("--policy", metavar="P", help="The routing policy; see isocline policies.")
@_options.option("--workers", type=COUNT, metavar="N", help="Processes.")
@_options.option("--admin", metavar="HOST:PORT", help="Address of /metrics and /statistics.")
@_options.option("--access-log", is_flag=True, help="Write a line for each request on stdout.")
@_options.option("--check", is_flag=True, help="Read the file, show all settings, and end.")
@partial(_options.json_option, needs="--check")
def command(
    file: Path,
    listen: str | None,
    policy: str | None,
    workers: int | None,
    admin: str | None,
    access_log: bool,
    check: bool,
    as_json: bool,
) -> None:
    """Route HTTP requests to the backends of a system file.

    Options override what the file says under `serve`. SIGHUP, or a change of the file, reads it
    again; SIGTERM or Ctrl-C lets requests under way end, a second one ends them.
    """
    from isocline.errors import UsageError
    from isocline.gateway.serve.config import Overrides
    from isocline.gateway.serve.from_file import read
    from isocline.gateway.serve.learned_curves_file import known_curves
    from isocline.gateway.serve.main import run

    log = "-" if access_log else None
    overrides = Overrides(listen, admin, policy, workers, log)
    if not check:
        if str(file) == "-":
            raise UsageError("serve reads its file again while it runs; give a path in place of -")
        run(file, overrides, _started)
        return
    serving = read(file, overrides)
    known_curves(serving)
    from isocline.report.tables.serving import serving_document, serving_report

    document = serving_document(serving)
    if as_json:
        _output.show_json(document)
    else:
        _output.show(serving_report(document))


def _started(
    serving: "Serving", addresses: "Sequence[tuple[str, str, int]]", admin: "ListenAddress | None"
) -> None:
    """Print addresses and routes on stderr; stdout may be the access log."""
    from isocline.gateway import hot_path
    from isocline.gateway.serve.addresses import ListenAddress
    from isocline.plural import counted

    tls = {listener.name for listener in serving.proxy.listeners if listener.tls}
    for name, host, port in addresses:
        scheme = "https" if name in tls else "http"
        _say(f"listening on {scheme}://{ListenAddress(host, port)} ({name})")
    if admin is not None:
        _say(f"admin on http://{admin}: /metrics /statistics /health /ready")
    system = serving.system
    for number, frontend in enumerate(system.frontends):
        names = [system.backends[b].name for b in system.graph.neighbours(number).tolist()]
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        _say(f"{frontend.name} -> {shown}")
    curves = "learned" if serving.learning else "as given"
    workers = counted(serving.workers, "worker")
    _say(f"policy {serving.policy}, curves {curves}, {workers}, {hot_path.kind()}")


def _say(text: str) -> None:
    click.echo(text, err=True)
