"""Framing of messages between two of our processes: pickles, each after its length.

One format for every kind of reader: a `Channel` blocks, `received` awaits, and an `Unpacker` takes
bytes as they come, as from a non-blocking socket. `multiprocessing.connection` has only the first,
and does not document its format, so that the others could not be built beside it.

Both ends are our own, so messages are unpickled as they come. A length has a bound all the same:
the tasks of users run in some of these processes, and may write where only we should.
"""

import errno
import pickle
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, final

from isocline.errors import IsoclineError
from isocline.subprocesses.descriptors import DescriptorError, OwnDescriptor

if TYPE_CHECKING:
    from asyncio import StreamReader

# Bytes of a message: more than any memory has, and less than any 8 characters of text say.
LONGEST = 1 << 40
_LENGTH = struct.Struct("<Q")
_BLOCK = 1 << 16  # bytes read at once


class FramingError(IsoclineError):
    """What came from the other process is no message."""


def packed(message: object) -> bytes:
    """Encode a message."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


@final
class Unpacker:
    """Decoder of messages from bytes in pieces of any size."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Decode the messages that are complete with these bytes.

        Raises:
            FramingError: The bytes are no message; nothing can be read after them.
        """
        self._data += data
        at, end = 0, len(self._data)
        while end - at >= _LENGTH.size:
            length = _length(memoryview(self._data)[at : at + _LENGTH.size])
            if end - at - _LENGTH.size < length:
                break
            at += _LENGTH.size
            yield _message(memoryview(self._data)[at : at + length])
            at += length
        del self._data[:at]


async def received(reader: "StreamReader") -> Any:
    """Receive one message.

    Raises:
        EOFError: The other end was closed, also in the midst of a message.
        FramingError: What came is no message.
        OSError: The connection broke.
    """
    length = _length(await reader.readexactly(_LENGTH.size))
    return _message(await reader.readexactly(length))


@final
class Channel:
    """Blocking end of a connection. One thread receives, any thread sends."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._sending = threading.Lock()
        self._messages = self._receive_all()
        self._descriptor = OwnDescriptor(end.fileno())

    def fileno(self) -> int:
        """Return the descriptor, for a selector: readable if a message comes, or the end."""
        return self._socket.fileno()

    @property
    def cut_off(self) -> bool:
        """Whether user code in this process has closed the connection."""
        return not self._descriptor.ours

    def send(self, message: object) -> None:
        """Send a message.

        Raises:
            DescriptorError: User code in this process has closed the connection.
            OSError: The other end was closed.
        """
        data = packed(message)
        with self._sending, _named_errors():
            self._descriptor.require()
            self._socket.sendall(data)

    def receive(self) -> Any:
        """Wait for a message.

        Raises:
            DescriptorError: User code in this process has closed the connection.
            EOFError: The other end was closed, also in the midst of a message.
            FramingError: What came is no message.
        """
        for message in self._messages:
            return message
        raise EOFError

    def __iter__(self) -> Iterator[Any]:
        """Receive messages until the other end is closed; raises like `receive` otherwise."""
        return self._messages

    def close(self) -> None:
        """Close this end, which the other one notices."""
        self._socket.close()

    def _receive_all(self) -> Iterator[Any]:
        unpacker = Unpacker()
        while data := self._read():
            yield from unpacker.feed(data)

    def _read(self) -> bytes:
        with _named_errors():
            self._descriptor.require()
            try:
                return self._socket.recv(_BLOCK)
            except ConnectionError:
                return b""


@contextmanager
def _named_errors() -> Iterator[None]:
    """Raise a DescriptorError where the descriptor was closed since it was looked at."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.EBADF, errno.ENOTSOCK}:
            raise DescriptorError(error.errno, "closed by user code") from error
        raise


def _length(data: bytes | memoryview) -> int:
    length: int = _LENGTH.unpack(data)[0]
    if length > LONGEST:
        raise FramingError(f"a message would have {length} bytes")
    return length


def _message(data: bytes | memoryview) -> Any:
    try:
        return pickle.loads(data)
    except Exception as error:  # pickle raises nearly anything for what is no pickle
        raise FramingError(f"a message cannot be read ({error})") from error
