"""Servers that behave as a test wants, in a thread of their own."""

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

Reply = Callable[[socket.socket], None]


@contextmanager
def serving(reply: Reply) -> Iterator[str]:
    """The URL of a server that calls `reply` for each request that it has read."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with suppress(OSError):
            while connection.recv(65536):
                reply(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                connections.append(connection)
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        accepting.join()
        listening.close()
        for connection in connections:
            with suppress(OSError):  # closed by now
                connection.shutdown(socket.SHUT_RDWR)  # a thread that reads it goes on
        for thread in threads:
            thread.join()
        for connection in connections:
            connection.close()


def answer_and_close(connection: socket.socket) -> None:
    """Without saying so beforehand, as llama.cpp's server does after a stream."""
    connection.sendall(OK)
    connection.shutdown(socket.SHUT_RDWR)


def answer_and_close_on_the_next(connection: socket.socket) -> None:
    """The next request is read, and not answered."""
    connection.sendall(OK)
    connection.recv(65536)
    connection.shutdown(socket.SHUT_RDWR)


def answer_and_reset_on_the_next(connection: socket.socket) -> None:
    """The next request arrives and is not read: the kernel resets the connection."""
    connection.sendall(OK)
    select.select([connection], [], [])
    connection.close()
