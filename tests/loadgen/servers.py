"""Servers that behave as a test wants, in a thread of their own."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

Reply = Callable[[socket.socket], None]


@contextmanager
def serving(reply: Reply) -> Iterator[str]:
    """The URL of a server that calls `reply` for each request that it has read."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    connections: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        try:
            while connection.recv(65536):
                reply(connection)
        except OSError:
            pass

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            connections.append(connection)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for connection in connections:
            connection.close()


def stalling(after: float, length: float) -> Reply:
    """Answers at once, but for one stop of all connections, `after` s from the first request."""
    began: list[float] = []

    def reply(connection: socket.socket) -> None:
        now = time.monotonic()
        if not began:
            began.append(now)
        stop = began[0] + after
        if stop <= now < stop + length:
            time.sleep(stop + length - now)
        connection.sendall(OK)

    return reply
