"""Messages between an engine and its worker processes: pickles, each after its length.

A worker says `Ready` first, and then events of the contract.
"""

import pickle
import socket
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from isocline.dispatch.engines.base import WorkItem

BLOCK = 1 << 16  # bytes read at once
_LENGTH = struct.Struct("<Q")


class Setup(NamedTuple):
    """To a worker, first: its settings."""

    name: str
    path: list[str]  # sys.path, so that it finds the modules that the parent finds
    loader: bytes | None  # cloudpickled
    root: str  # directory of its data; empty: none
    scratch: str  # directory of its own
    peers: dict[str, str]  # the socket of each node
    cache: int  # bytes
    everywhere: bool
    silence: float  # s
    link: float | None  # bytes/s


class Function(NamedTuple):
    """To a worker: a function of later tasks, or large arguments that they share."""

    number: int
    code: bytes  # cloudpickled


class Forget(NamedTuple):
    """To a worker: no later task has this function, or these arguments."""

    function: int


class Run(NamedTuple):
    """To a worker: run an attempt, sent without its function's code."""

    function: int
    work: WorkItem
    arguments: int | None = None  # the number of its arguments, if they have one


class Cancel(NamedTuple):
    """To a worker: stop an attempt."""

    attempt: int


class Fetch(NamedTuple):
    """To a worker: fetch a chunk and keep it, while tasks run."""

    chunk: str
    holders: tuple[str, ...]


class Ready(NamedTuple):
    """From a worker: it is ready for tasks."""


Messages = Iterator[Any]


def packed(message: object) -> bytes:
    """Encode a message."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


class Unpacker:
    """Decoder of messages from bytes in pieces of any size."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Messages:
        """Decode the messages that are complete with these bytes."""
        self._data += data
        at, end = 0, len(self._data)
        while end - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data, at)
            if end - at - _LENGTH.size < length:
                break
            at += _LENGTH.size
            yield pickle.loads(memoryview(self._data)[at : at + length])
            at += length
        del self._data[:at]


def messages(channel: socket.socket) -> Messages:
    """Yield the messages of a blocking socket, until its other end is closed."""
    unpacker = Unpacker()
    while data := _received(channel):
        yield from unpacker.feed(data)


def _received(channel: socket.socket) -> bytes:
    try:
        return channel.recv(BLOCK)
    except ConnectionError:
        return b""
