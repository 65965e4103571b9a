"""Listeners, frontends and backends from a system file's entries."""

from pathlib import Path
from typing import Any

from isocline.gateway.config import BackendAddress, FrontendRule, Listener, Match, Tls
from isocline.gateway.serve.addresses import read_address
from isocline.gateway.serve.secret import read_authorization
from isocline.model.systemfile import Served
from isocline.model.systemfile.schema import BackendEntry
from isocline.model.systemfile.serving_schema import TlsEntry, given


def listeners_of(served: Served) -> tuple[Listener, ...]:
    """Read the listeners; raises SystemFileError."""
    made: list[Listener] = []
    folder = served.document.path.parent
    for i, entry in enumerate(served.serve.listen or ()):
        with served.document.blaming("serve", "listen", i, "address"):
            place = read_address(entry.address)
        if entry.name in (listener.name for listener in made):
            problem = f"{entry.name!r} is the name of another listener; choose another"
            served.document.fail(("serve", "listen", i, "name"), problem)
        made.append(Listener(place.host, place.port, entry.name, _tls(entry.tls, folder)))
    return tuple(made) or (Listener(),)


def frontends_of(served: Served) -> tuple[FrontendRule, ...]:
    """Read the frontends and their conditions."""
    return tuple(
        FrontendRule(entry.name, Match(**given(entry.match)), entry.resend_unanswered)
        for entry in served.entries.frontends
    )


def backends_of(served: Served) -> tuple[BackendAddress, ...]:
    """Read the backends' addresses; raises SystemFileError."""
    return tuple(_backend(served, b, entry) for b, entry in enumerate(served.entries.backends))


def _backend(served: Served, b: int, entry: BackendEntry) -> BackendAddress:
    folder = served.document.path.parent
    more: dict[str, Any] = {"reports": "ignore" if entry.report == "none" else "ask"}
    if entry.keep_host is not None:
        more["keep_host"] = entry.keep_host
    if entry.ca_file is not None:
        more["ca_file"] = str(folder / entry.ca_file)
    if entry.authorization is not None:
        with served.document.blaming("backends", b, "authorization"):
            more["authorization"] = read_authorization(entry.authorization, folder)
    assert entry.url is not None  # by load_served
    with served.document.blaming("backends", b, "url"):
        return BackendAddress(entry.name, entry.url, **more)


def _tls(entry: TlsEntry | None, folder: Path) -> Tls | None:
    if entry is None:
        return None
    return Tls(str(folder / entry.certificate), entry.key and str(folder / entry.key))
