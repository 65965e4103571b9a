"""`isocline serve`."""

import signal
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, final

import click

from isocline.cli import _options, _output
from isocline.cli._numbers import COUNT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isocline.gateway.serve.addresses import ListenAddress
    from isocline.gateway.serve.config import Fit, LogFormat, Overrides, Serving
    from isocline.model.endpoint import Found


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
@_options.option(
    "--plane",
    type=click.Choice(["built-in", "envoy", "picker"]),
    help="What carries the requests: itself, Envoy, or a gateway that asks where to send them.",
)
@_options.option(
    "--envoy",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Envoy's program.",
    needs="--plane envoy",
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
    plane: str | None,
    envoy: Path | None,
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

    log = "-" if access_log else None
    plane = plane or "built-in"
    carrier = _PLANES[plane]
    overrides = Overrides(
        listen, admin, policy, workers, log, log_format, plane, fit=carrier.fit and carrier.fit()
    )
    if not check:
        if str(file) == "-":
            raise UsageError("serve reads its file again while it runs; give a path in place of -")
        carrier.run(file, overrides, envoy)
        return
    given = opened(file)
    serving = serving_of(given, overrides)
    discovered: dict[str, Any] = {}
    found: Found = {}
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
    notes = carrier.check(file, serving, found, envoy)
    for note in (*serving.notes, *notes):
        _show(f"note: {note}")
    from isocline.report.tables.serving import serving_document, serving_report

    if as_json:
        document = serving_document(serving, carrier.lacking())
        _output.show_json(document | {"discover": discovered})
    else:
        _output.show(serving_report(serving, carrier.lacking(), carrier.scheme))


@final
class _Plane(NamedTuple):
    """Program that carries requests.

    Attributes:
        run: Serves.
        check: Returns remarks of `--check` on a file.
        lacking: Settings that it does not have, as `serving_document` takes them.
        scheme: Of the addresses at which it listens without TLS.
        fit: Returns what fits the settings of a file to it; None: it takes them as they are.
    """

    run: "Callable[[Path, Overrides, Path | None], None]"
    check: "Callable[[Path, Serving, Found, Path | None], Sequence[str]]"
    lacking: "Callable[[], Collection[str]]" = lambda: ("picker",)
    scheme: str = "http"
    fit: "Callable[[], Fit] | None" = None


def _run_built_in(file: Path, overrides: "Overrides", _envoy: Path | None) -> None:
    from isocline.gateway.serve.main import run

    run(file, overrides, _started)


def _run_envoy(file: Path, overrides: "Overrides", envoy: Path | None) -> None:
    from isocline.planes.envoy.binary import find_envoy
    from isocline.planes.envoy.plane import run

    run(file, overrides, find_envoy(envoy), _started)


def _run_picker(file: Path, overrides: "Overrides", _envoy: Path | None) -> None:
    from isocline.gateway.serve.main import run
    from isocline.gateway.serve.single_worker import SingleWorker
    from isocline.planes.picker import Picker

    run(file, overrides, partial(_started, scheme="grpc"), partial(SingleWorker, plane=Picker))


def _fit_envoy() -> "Fit":
    from isocline.planes.envoy.support import fit

    return fit


def _fit_picker() -> "Fit":
    from isocline.planes.picker import fit

    return fit


def _check_envoy(
    file: Path, serving: "Serving", found: "Found", envoy: Path | None
) -> "Sequence[str]":
    from isocline.planes.envoy.binary import find_envoy
    from isocline.planes.envoy.plane import check

    return check(file, serving, found, find_envoy(envoy))


def _lacking_envoy() -> "Collection[str]":
    from isocline.planes.envoy.support import LACKING

    return LACKING


def _lacking_picker() -> "Collection[str]":
    from isocline.planes.picker.support import LACKING

    return LACKING


_PLANES = {
    "built-in": _Plane(_run_built_in, lambda *_: ()),
    "envoy": _Plane(_run_envoy, _check_envoy, _lacking_envoy, fit=_fit_envoy),
    "picker": _Plane(_run_picker, lambda *_: (), _lacking_picker, "grpc", _fit_picker),
}


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
    serving: "Serving",
    addresses: "Sequence[tuple[str, str, int]]",
    admin: "ListenAddress | None",
    carrier: str = "",
    scheme: str = "http",
) -> None:
    """Print addresses and routes on stderr; stdout may be the access log."""
    from isocline.gateway.serve.addresses import ListenAddress
    from isocline.plural import counted, first_of
    from isocline.structured_log import log_event

    tls = {listener.name for listener in serving.proxy.listeners if listener.tls}
    listening = {
        name: f"{scheme}{'s' if name in tls else ''}://{ListenAddress(host, port)}"
        for name, host, port in addresses
    }
    curves = "learned" if serving.learning else "as given"
    how = carrier or _hot_path()
    if serving.log_format == "json":
        log_event(
            "serving",
            "started",
            listeners=listening,
            admin=f"http://{admin}" if admin else None,
            policy=serving.policy,
            curves=curves,
            workers=serving.workers,
            hot_path=how,
        )
        return
    for name, url in listening.items():
        _show(f"listening on {url} ({name})")
    if admin is not None:
        page = "" if carrier else " (live page)"
        _show(f"admin on http://{admin}/{page}: /metrics /statistics /health /ready")
    system = serving.system
    for number, frontend in enumerate(system.frontends):
        names = [system.backends[b].name for b in system.graph.neighbours(number).tolist()]
        _show(f"{frontend.name} -> {first_of(names, 8) or 'none yet'}")
    workers = counted(serving.workers, "worker")
    _show(f"policy {serving.policy}, curves {curves}, {workers}, {how}")


def _hot_path() -> str:
    from isocline.gateway import hot_path

    return hot_path.kind()


def _show(text: str) -> None:
    click.echo(text, err=True)
