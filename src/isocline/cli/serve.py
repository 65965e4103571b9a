"""`isocline serve`."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isocline.cli import _options, _output
from isocline.cli._numbers import COUNT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isocline.gateway.serve.addresses import ListenAddress
    from isocline.gateway.serve.config import LogFormat, Serving


@click.command("serve", cls=_options.Verb)
@_options.file_argument
@_options.option("--listen", metavar="HOST:PORT", help="Address of the first listener.")
@_options.option("--policy", metavar="P", help="The routing policy; see isocline policies.")
@_options.option("--workers", type=COUNT, metavar="N", help="Processes.")
@_options.option("--admin", metavar="HOST:PORT", help="Address of /metrics and /statistics.")
@_options.option("--access-log", is_flag=True, help="Write a line for each request on stdout.")
@_options.option(
    "--log-format", type=click.Choice(["text", "json"]), help="Form of the log on stderr."
)
@_options.option("--check", is_flag=True, help="Read the file, show all settings, and end.")
@partial(_options.json_option, needs="--check")
def command(
    file: Path,
    listen: str | None,
    policy: str | None,
    workers: int | None,
    admin: str | None,
    access_log: bool,
    log_format: "LogFormat | None",
    check: bool,
    as_json: bool,
) -> None:
    """Route HTTP requests to the backends of a system file.

    Options override what the file says under `serve`. SIGHUP, or a change of the file, reads it
    again; SIGTERM or Ctrl-C lets requests under way end, a second one ends them.
    """
    click.get_current_context().with_resource(_stoppable())
    from isocline.errors import UsageError
    from isocline.gateway.serve.config import Overrides
    from isocline.gateway.serve.from_file import opened, serving_of
    from isocline.gateway.serve.learned_curves_file import known_curves
    from isocline.gateway.serve.main import run

    log = "-" if access_log else None
    overrides = Overrides(listen, admin, policy, workers, log, log_format)
    if not check:
        if str(file) == "-":
            raise UsageError("serve reads its file again while it runs; give a path in place of -")
        run(file, overrides, _started)
        return
    given = opened(file)
    serving = serving_of(given, overrides)
    discovered: dict[str, Any] = {}
    if serving.discover:
        from isocline.gateway.discovery.discovery import look_once

        found, problems = look_once(serving.discover, file.parent)
        serving = serving_of(given, overrides, found)
        for entry in serving.discover:
            names = [endpoint.name for endpoint in found.get(entry.name, ())]
            problem = problems.get(entry.name)
            discovered[entry.name] = {"endpoints": names, "problem": problem}
            _show(f"discover {entry.name}: {problem or ', '.join(names) or 'no endpoint'}")
    known_curves(serving)
    for note in serving.notes:
        _show(f"note: {note}")
    from isocline.report.tables.serving import serving_document, serving_report

    if as_json:
        _output.show_json(serving_document(serving) | {"discover": discovered})
    else:
        _output.show(serving_report(serving))


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGTERM end a start, with status 0; the router has its own handler once it serves.

    Process 1 of a container gets no signal that it has no handler for: one that came during the
    start was lost, and the router went on until it was killed.
    """
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _started(
    serving: "Serving", addresses: "Sequence[tuple[str, str, int]]", admin: "ListenAddress | None"
) -> None:
    """Print addresses and routes on stderr; stdout may be the access log."""
    from isocline.gateway import hot_path
    from isocline.gateway.serve.addresses import ListenAddress
    from isocline.plural import counted, first_of
    from isocline.structured_log import log_event

    tls = {listener.name for listener in serving.proxy.listeners if listener.tls}
    listening = {
        name: f"{'https' if name in tls else 'http'}://{ListenAddress(host, port)}"
        for name, host, port in addresses
    }
    curves = "learned" if serving.learning else "as given"
    if serving.log_format == "json":
        log_event(
            "serving",
            "started",
            listeners=listening,
            admin=f"http://{admin}" if admin else None,
            policy=serving.policy,
            curves=curves,
            workers=serving.workers,
            hot_path=hot_path.kind(),
        )
        return
    for name, url in listening.items():
        _show(f"listening on {url} ({name})")
    if admin is not None:
        _show(f"admin on http://{admin}/ (live page): /metrics /statistics /health /ready")
    system = serving.system
    for number, frontend in enumerate(system.frontends):
        names = [system.backends[b].name for b in system.graph.neighbours(number).tolist()]
        _show(f"{frontend.name} -> {first_of(names, 8) or 'none yet'}")
    workers = counted(serving.workers, "worker")
    _show(f"policy {serving.policy}, curves {curves}, {workers}, {hot_path.kind()}")


def _show(text: str) -> None:
    click.echo(text, err=True)
