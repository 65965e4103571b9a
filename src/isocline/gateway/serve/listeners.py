"""Listeners, frontends, backends and their checks from a system file's entries."""

from pathlib import Path
from typing import get_args

from isocline.gateway.config import BackendAddress, FrontendRule, Listener, Tls
from isocline.gateway.health_checks import Checks, Poll
from isocline.gateway.serve.addresses import read_address
from isocline.gateway.serve.secret import read_authorization
from isocline.model.systemfile.backend_schema import REPORTS, BackendEntry
from isocline.model.systemfile.serving import Served
from isocline.model.systemfile.serving_schema import TlsEntry


def listeners_of(served: Served) -> tuple[Listener, ...]:
    """Read the listeners; raises SystemFileError."""
    made: list[Listener] = []
    folder = served.document.path.parent
    for i, entry in enumerate(served.serve.listen):
        with served.document.blaming("serve", "listen", i, "address"):
            address = read_address(entry.address)
        if entry.name in (listener.name for listener in made):
            problem = f"{entry.name!r} is already the name of a listener; choose another"
            served.document.fail(("serve", "listen", i, "name"), problem)
        made.append(Listener(address.host, address.port, entry.name, _tls(entry.tls, folder)))
    return tuple(made)


def frontends_of(served: Served) -> tuple[FrontendRule, ...]:
    """Read the frontends and their conditions."""
    return tuple(
        FrontendRule(entry.name, entry.match, entry.resend_unanswered)
        for entry in served.entries.frontends
    )


def backends_of(served: Served) -> tuple[BackendAddress, ...]:
    """Read the backends' addresses; raises SystemFileError."""
    return tuple(_backend(served, b, entry) for b, entry in enumerate(served.entries.backends))


def _backend(served: Served, b: int, entry: BackendEntry) -> BackendAddress:
    folder = served.document.path.parent
    authorization = None
    if entry.authorization is not None:
        with served.document.blaming("backends", b, "authorization"):
            authorization = read_authorization(entry.authorization, folder)
    assert entry.url is not None  # by load_served
    with served.document.blaming("backends", b, "url"):
        return BackendAddress(
            entry.name,
            entry.url,
            ca_file=None if entry.ca_file is None else str(folder / entry.ca_file),
            keep_host=entry.keep_host,
            authorization=authorization,
            reports="ignore" if entry.report == "none" else "ask",
            http2=entry.http2,
        )


def _tls(entry: TlsEntry | None, folder: Path) -> Tls | None:
    if entry is None:
        return None
    return Tls(str(folder / entry.certificate), entry.key and str(folder / entry.key))


def checks_of(served: Served) -> Checks:
    """Read the health checks, if any, and a poll for each backend whose report allows one.

    Raises:
        SystemFileError: A path is invalid, or is given for a backend that is not polled.
    """
    entries = enumerate(served.entries.backends)
    return Checks(served.serve.health, tuple(_poll(served, b, backend) for b, backend in entries))


_NOT_POLLED = ("orca", "none")


def _poll(served: Served, b: int, backend: BackendEntry) -> Poll | None:
    if backend.report in _NOT_POLLED:
        if backend.metrics is not None:
            problem = f"is {backend.metrics!r}, but report: {backend.report} reads no metrics; "
            known = ", ".join(kind for kind in get_args(REPORTS) if kind not in _NOT_POLLED)
            served.document.fail(("backends", b, "metrics"), f"{problem}give report: {known}")
        return None
    server = "llama.cpp" if backend.report == "llamacpp" else backend.report
    with served.document.blaming("backends", b, "metrics"):
        return Poll(server, backend.metrics or "", served.serve.poll.every)
