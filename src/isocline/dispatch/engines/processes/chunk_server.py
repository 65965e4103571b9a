"""Chunk server: sends chunks between workers over Unix sockets, one request per connection."""

import pickle
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import final

from isocline.dispatch.engines.common.chunk_store import BLOCK, ChunkPart, NotHereError, Store
from isocline.dispatch.user_code_guard import words

_REQUEST = struct.Struct("<I")  # length of the chunk's pickled name, which follows
_ANSWER = struct.Struct("<?Q")  # whether the chunk follows, not a reason; its size

_STEP = 0.05  # s that a slow link is simulated at a time, short enough not to seem silent


class UnansweredError(Exception):
    """A node did not deliver a chunk; the message gives the reason."""


class SilentError(UnansweredError):
    """A node is up, but sent nothing for too long."""


class GoneError(UnansweredError):
    """A node did not deliver a chunk because its process has ended; it may be restarted."""


@contextmanager
def requested(
    path: str,
    chunk: str,
    silence: float,
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[ChunkPart]:
    """Request a chunk from the node at a socket.

    Raises UnansweredError, also while the chunk is being received, if the node refuses, is gone, or
    is silent for `silence` s. `waiting` is entered as a context manager around each wait.
    """
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(silence)
        try:
            channel.connect(path)
            name = pickle.dumps(chunk)  # it may be a path's or a tuple's, of any characters
            channel.sendall(_REQUEST.pack(len(name)) + name)
        except (TimeoutError, BlockingIOError):  # its backlog is full
            raise SilentError("it does not answer") from None
        except OSError as error:
            raise GoneError(f"it is not there ({error})") from None
        comes, size = _ANSWER.unpack(b"".join(_received(channel, _ANSWER.size, waiting)))
        if not comes:
            raise UnansweredError(b"".join(_received(channel, size, waiting)).decode())
        yield ChunkPart(size, _received(channel, size, waiting))


def _received(
    channel: socket.socket,
    size: int,
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[bytes]:
    """Receive exactly `size` bytes."""
    while size:
        try:
            with waiting():
                block = channel.recv(min(size, BLOCK))
        except TimeoutError:
            raise SilentError("it fell silent") from None
        except OSError as error:
            raise GoneError(f"the connection broke ({error})") from None
        if not block:
            raise GoneError("the connection broke")
        size -= len(block)
        yield block


@final
class ChunkServer:
    """Server of chunks for other nodes, with a thread per request, while the process lives."""

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
            except OSError:  # too many open files, or the other end disconnected
                time.sleep(0.1)
            else:
                threading.Thread(target=self._answer, args=(channel,), daemon=True).start()

    def _answer(self, channel: socket.socket) -> None:
        # A failure after the first block breaks the connection; that is no error here, and
        # neither is a client that disconnected.
        with channel, ExitStack() as stack, suppress(OSError, UnansweredError):
            (length,) = _REQUEST.unpack(b"".join(_received(channel, _REQUEST.size)))
            chunk = pickle.loads(b"".join(_received(channel, length)))
            try:
                part = stack.enter_context(self._store.sent(chunk))
            except NotHereError:
                _refuse(channel, "it no longer holds it")
            except BaseException as error:  # of the loader, reported to the client
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
