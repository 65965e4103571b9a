"""Chunk server: chunks from worker to worker over Unix sockets, one request a connection."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import final

from isocline.dispatch.engines.common.chunk_store import BLOCK, ChunkPart, NotHereError, Store
from isocline.dispatch.user_code_guard import words

_REQUEST = struct.Struct("<I")  # length of the chunk's name, which follows
_ANSWER = struct.Struct("<?Q")  # whether it comes, and its size; else why not, in so many bytes

_NAMES = "utf-8", "surrogatepass"  # of chunks: a file's name need not be UTF-8

_STEP = 0.05  # s of a slow link at once: never so long that it seems silent


class UnansweredError(Exception):
    """A node did not deliver a chunk; the message says why."""


class SilentError(UnansweredError):
    """The node is there, and sent nothing for too long."""


class GoneError(UnansweredError):
    """A node did not deliver a chunk as its process has ended; it may be started again."""


@contextmanager
def requested(path: str, chunk: str, silence: float) -> Iterator[ChunkPart]:
    """Request a chunk from the node at a socket.

    Raises UnansweredError, also while blocks of the chunk arrive, if the node refuses, is gone, or
    is silent for `silence` s.
    """
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(silence)
        try:
            channel.connect(path)
            name = chunk.encode(*_NAMES)
            channel.sendall(_REQUEST.pack(len(name)) + name)
        except OSError as error:
            raise GoneError(f"it is not there ({error})") from None
        comes, size = _ANSWER.unpack(b"".join(_received(channel, _ANSWER.size)))
        if not comes:
            raise UnansweredError(b"".join(_received(channel, size)).decode())
        yield ChunkPart(size, _received(channel, size))


def _received(channel: socket.socket, size: int) -> Iterator[bytes]:
    """Receive exactly so many bytes."""
    while size:
        try:
            block = channel.recv(min(size, BLOCK))
        except TimeoutError:
            raise SilentError("it fell silent") from None
        except OSError as error:
            raise GoneError(f"it broke off ({error})") from None
        if not block:
            raise GoneError("it broke off")
        size -= len(block)
        yield block


@final
class ChunkServer:
    """Server of chunks to other nodes, a thread each, as long as the process lives."""

    def __init__(self, path: str, store: Store, link: float | None) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        self._store = store
        self._link = link
        threading.Thread(target=self._listen, name="chunk server", daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                channel, _ = self._listener.accept()
            except OSError:  # too many open files, or the other end has given up
                time.sleep(0.1)
            else:
                threading.Thread(target=self._answer, args=(channel,), daemon=True).start()

    def _answer(self, channel: socket.socket) -> None:
        # A failure from the second block on breaks off; that, and one who gave up, is no error.
        with channel, ExitStack() as stack, suppress(OSError, UnansweredError):
            (length,) = _REQUEST.unpack(b"".join(_received(channel, _REQUEST.size)))
            chunk = b"".join(_received(channel, length)).decode(*_NAMES)
            try:
                part = stack.enter_context(self._store.sent(chunk))
            except NotHereError:
                _refuse(channel, "it no longer holds it")
            except BaseException as error:  # its loader's: for the one who asked
                _refuse(channel, words(error))
            else:
                channel.sendall(_ANSWER.pack(True, part.size))
                self._send(channel, part)

    def _send(self, channel: socket.socket, part: ChunkPart) -> None:
        if self._link is None:
            for block in part.blocks:
                channel.sendall(block)
            return
        step = max(1, int(_STEP * self._link))
        for block in part.blocks:
            for at in range(0, len(block), step):
                piece = block[at : at + step]
                time.sleep(len(piece) / self._link)
                channel.sendall(piece)


def _refuse(channel: socket.socket, why: str) -> None:
    text = why.encode("utf-8", "backslashreplace")
    channel.sendall(_ANSWER.pack(False, len(text)) + text)
