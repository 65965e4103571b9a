"""A backend that notes each request it has executed, and then goes wrong as the path asks.

    python counting_backend.py PORT FILE

A request is executed once all of it has been read. The note, a line of its X-Id, is in FILE before
anything is answered, so it is there even if the process is killed. Only the standard library, as it
is started often.
"""

import asyncio
import os
import socket
import struct
import sys

END = b"\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)
EVENT = b"9\r\ndata: x\n\n\r\n"
STREAM_STEP = 0.005  # s between two events


def field(head: bytes, name: bytes) -> bytes:
    """The value of a field, b"" if it is not there."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return b""


async def body_of(head: bytes, reader: asyncio.StreamReader) -> bytes:
    if field(head, b"transfer-encoding") != b"chunked":
        return await reader.readexactly(int(field(head, b"content-length") or b"0"))
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    while await reader.readline() != b"\r\n":
        pass
    return body


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST, and lose what has not been sent."""
    lingering = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)
    writer.transport.abort()


async def answer(path: str, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
    """What the path asks for."""
    match path.removeprefix("/plain").strip("/").split("/"):
        case ["slow", seconds]:
            await asyncio.sleep(float(seconds))
            writer.write(OK)
        case ["hang"]:
            await asyncio.Event().wait()
        case ["reset"]:
            reset(writer)
        case ["garbage"]:
            writer.write(b"\x16\x03 this is no HTTP" + END)
        case ["short"]:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
            await writer.drain()
            await asyncio.sleep(STREAM_STEP)
            reset(writer)
        case ["cut"]:
            writer.write(CHUNKED + EVENT)
            await writer.drain()
            await asyncio.sleep(STREAM_STEP)
            reset(writer)
        case ["events"]:
            writer.write(CHUNKED)
            while not writer.transport.is_closing():
                writer.write(EVENT)
                await asyncio.sleep(STREAM_STEP)
        case ["trailers"]:
            writer.write(CHUNKED.replace(b"\r\n", b"\r\nTrailer: X-End\r\n", 1) + EVENT)
            writer.write(b"0\r\nX-End: yes" + END)
        case ["echo"]:
            expected = field(head, b"expect").lower() == b"100-continue"
            writer.write(b"HTTP/1.1 200 OK\r\nX-Expected: %d\r\n" % expected)
            writer.write(b"Content-Length: %d" % len(body) + END)
            writer.write(b"" if head.startswith(b"HEAD") else body)
        case _:
            writer.write(OK)
    await writer.drain()


async def main(port: int, file: str) -> None:
    notes = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(words: bytes) -> None:
        if words:
            os.write(notes, words + b"\n")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = b""
        try:
            while True:
                head = await reader.readuntil(END)
                if field(head, b"expect"):
                    writer.write(b"HTTP/1.1 100 Continue" + END)
                body = await body_of(head, reader)
                number = field(head, b"x-id")
                note(number)
                await answer(head.split(b" ")[1].decode(), head, body, writer)
                if writer.transport.is_closing():
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            if number:
                note(b"left " + number)
            writer.close()

    # Shared with who keeps the port for it while it is down.
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=1024, reuse_port=True)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
