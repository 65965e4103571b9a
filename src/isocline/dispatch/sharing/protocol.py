"""Messages between a driver and the scheduler that it shares, over `multiprocessing.connection`.

A driver sends `Hello` and gets `Welcome`; then it sends tasks, and gets one `Ended` for each.
Both ends prove that they know the key before anything is unpickled. What they send is neither
encrypted nor, after that, authenticated.
"""

import os
import socket
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from isocline.dispatch.core.resources import Need
from isocline.dispatch.user_code_guard import shown
from isocline.errors import UsageError
from isocline.model.endpoint import port_problem
from isocline.plural import counted

# A machine that has gone without a word is noticed after 60 s.
_LEAST_KEY = 16  # bytes
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


class Hello(NamedTuple):
    """From a driver: its job."""

    name: str
    weight: float


class Welcome(NamedTuple):
    """To a driver."""

    first_input: int  # from which it numbers inputs, so that no two drivers' are equal
    window: int  # tasks that it should keep submitted at a time


class SentInput(NamedTuple):
    """Input of a task: the result of another task, or data; nothing if it was sent before."""

    number: int
    of: int | None = None  # number of the task whose result it is
    data: bytes | None = None  # pickled
    shared: bool = False


class Submit(NamedTuple):
    """From a driver: a task."""

    number: int
    key: str
    function: int  # number of its function
    name: str  # of its function
    code: bytes | None  # cloudpickled function, at its first use
    arguments: bytes
    chunk: str | None
    limit: float | None
    need: Need
    inputs: tuple[SentInput, ...]
    keep: int | None  # number under which its result is an input of other tasks


class Cancel(NamedTuple):
    """From a driver: cancel these tasks."""

    numbers: tuple[int, ...]
    waiting: bool  # only those that never started


class Forget(NamedTuple):
    """From a driver: it has heard of the end of this task."""

    number: int


class Drop(NamedTuple):
    """From a driver: none of its later tasks gets this input."""

    number: int


class Ended(NamedTuple):
    """To a driver: a task has ended; with neither value nor error, it was cancelled."""

    number: int
    node: str | None
    value: bytes | None = None  # pickled
    error: bytes | None = None  # pickled


def address_of(text: str) -> tuple[str, int]:
    """Parse HOST:PORT; raises UsageError."""
    host, _, port = str(text).rpartition(":")
    problem = port_problem(f":{port}")
    if not host or problem or not (port.isdecimal() and port.isascii()):
        raise UsageError(
            f"address {shown(str(text))}: {problem or 'it is no address'}; give HOST:PORT"
        )
    return host, int(port)


def key_of(key: str | bytes) -> bytes:
    """Key as bytes; raises UsageError if it is empty."""
    if not isinstance(key, str | bytes) or not key:
        raise UsageError("key: give a secret that the scheduler and its drivers share")
    return key.encode() if isinstance(key, str) else key


def secret_of(key: str | bytes) -> bytes:
    """Key of a scheduler as bytes; raises UsageError if it can be guessed."""
    found = key_of(key)
    if len(found) < _LEAST_KEY:
        raise UsageError(
            f"key: has {counted(len(found), 'byte')}, and who guesses it may run code; give at "
            f"least {_LEAST_KEY}, as of secrets.token_hex()"
        )
    return found


def set_options(connection: "Connection[Any, Any]") -> None:
    """Have small messages sent at once, and the other end checked if it is silent for long."""
    with socket.socket(fileno=os.dup(connection.fileno())) as end, suppress(OSError):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):  # not on every system
                end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def cut(connection: "Connection[Any, Any]") -> None:
    """End a connection for both sides, and for a thread of this one that waits for a message."""
    with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)
