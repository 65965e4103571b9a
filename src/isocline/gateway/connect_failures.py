"""Causes of failed connections to a backend, with words for the log.

The words are the same for requests, health checks, polls and questions for models.
"""

import errno
import os
import re
import socket
import ssl

from isocline.gateway.config import BackendAddress
from isocline.gateway.core.actions import Cause

# Errors of this machine (resources, permissions): no backend is to blame.
_LOCAL = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EACCES,
     errno.EPERM)
)  # fmt: skip
# Where a name has several addresses, asyncio and uvloop tell of all attempts in one text.
_NUMBER = re.compile(r"\[Errno (\d+)\]")
_UNREACHABLE = frozenset((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN))


def too_slow(address: BackendAddress, seconds: float) -> str:
    """Message for a connection that was not established within `seconds`."""
    return f"no connection to {_host_and_port(address)} within {seconds:g} s (times.connect)"


def no_answer(address: BackendAddress, seconds: float) -> str:
    """Message for an answer that was not complete within `seconds`."""
    remedy = "check that the backend is not stuck, or give it a longer timeout"
    return f"{_host_and_port(address)}: no answer within {seconds:g} s; {remedy}"


def broken(address: BackendAddress) -> str:
    """Message for a connection that ended before the answer did."""
    place = _host_and_port(address)
    return f"{place}: the connection broke before the answer was complete; see the backend's log"


def malformed(address: BackendAddress) -> str:
    """Message for an answer that is not HTTP."""
    place = _host_and_port(address)
    return f"{place}: the answer is not valid HTTP; check the url's port and scheme"


def head_too_long(address: BackendAddress) -> str:
    """Message for an answer of which a line of the head is longer than the HTTP client reads."""
    place = _host_and_port(address)
    return f"{place}: a line of the answer's head is too long; shorten it at the backend"


def failure_of(error: Exception, address: BackendAddress) -> tuple[Cause, str]:
    """Return the cause, and a message with a remedy; `error` is what connecting raised."""
    place, number = _host_and_port(address), _number(error)
    text = _system_text(error, number)
    if isinstance(error, ssl.SSLCertVerificationError):
        words = f"{place} has a certificate that is not trusted ({text}); check url and ca_file"
        return Cause.TLS, words
    over_tls = isinstance(error, ConnectionResetError) and address.url.startswith("https")
    if isinstance(error, ssl.SSLError) or over_tls:
        return Cause.TLS, f"{place} does not speak TLS as expected ({text}); check the url's scheme"
    if isinstance(error, (socket.gaierror, ValueError)):  # ValueError: no name has this form
        words = f"the name {address.host!r} cannot be resolved ({text}); check the backend's url"
        return Cause.UNRESOLVED, words
    if number in _LOCAL:
        words = f"{text} on this machine, when connecting to {place}; raise its limits"
        return Cause.LOCAL, words
    if number in _UNREACHABLE:
        return Cause.UNREACHABLE, f"{place}: {text}; check the network and the url"
    return Cause.CONNECT, f"{place}: {text}; check that the backend is up, and its url"


def _host_and_port(address: BackendAddress) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"


def _number(error: Exception) -> int | None:
    """Return the errno of an exception, that of the last attempt if there were several."""
    if not isinstance(error, OSError) or isinstance(error, (socket.gaierror, ssl.SSLError)):
        return None  # theirs are of their own kind
    if error.errno is not None:
        return error.errno
    numbers = _NUMBER.findall(str(error))
    return int(numbers[-1]) if numbers else None


def _system_text(error: Exception, number: int | None) -> str:
    """Return the system's own text; event loops have others ("Connect call failed (...)")."""
    if number is not None:
        return os.strerror(number)
    words = error.strerror if isinstance(error, OSError) else None
    return " ".join((words or str(error) or type(error).__name__).split())[:200]
