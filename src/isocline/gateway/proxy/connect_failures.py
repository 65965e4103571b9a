"""Causes of failed connections to a backend, with words for the log."""

import errno
import socket
import ssl

from isocline.gateway.actions import Cause
from isocline.gateway.settings import BackendAddress

# What this machine has run out of, or forbids: no backend is to blame.
_LOCAL = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EACCES,
     errno.EPERM)
)  # fmt: skip
_UNREACHABLE = frozenset((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN))


def too_slow(address: BackendAddress, seconds: float) -> str:
    """Words for a connection that was not there within `seconds`."""
    return f"no connection to {_place(address)} within {seconds:g} s (times.connect)"


def failure_of(error: Exception, address: BackendAddress) -> tuple[Cause, str]:
    """The cause, and what is wrong where, with a remedy; `error` is what connecting raised."""
    place, said = _place(address), _said(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        words = f"{place} has a certificate that is not trusted ({said}); check url and ca_file"
        return Cause.TLS, words
    over_tls = isinstance(error, ConnectionResetError) and address.url.startswith("https")
    if isinstance(error, ssl.SSLError) or over_tls:
        return Cause.TLS, f"{place} does not speak TLS as expected ({said}); check the url's scheme"
    if isinstance(error, (socket.gaierror, ValueError)):  # ValueError: no name has this form
        words = f"the name {address.host!r} cannot be resolved ({said}); check the backend's url"
        return Cause.UNRESOLVED, words
    number = error.errno if isinstance(error, OSError) else None
    if number in _LOCAL:
        words = f"{said} on this machine, when connecting to {place}; raise its limits"
        return Cause.LOCAL, words
    if number in _UNREACHABLE:
        return Cause.UNREACHABLE, f"{place}: {said}; check the network and the url"
    return Cause.CONNECT, f"{place}: {said}; check that the backend is up, and its url"


def _place(address: BackendAddress) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"


def _said(error: Exception) -> str:
    words = error.strerror if isinstance(error, OSError) else None
    return " ".join((words or str(error) or type(error).__name__).split())
