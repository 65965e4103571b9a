"""Remote calls between two processes of one router, over a pair of sockets."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import Any, Self, final

from isocline.errors import IsoclineError, UsageError
from isocline.gateway.serve.log import LOG
from isocline.subprocesses.framing import FramingError, packed, received


class GoneError(IsoclineError):
    """The other process has ended."""


def _send(writer: asyncio.StreamWriter, message: Any) -> None:
    data = packed(message)
    if not writer.is_closing():  # uvloop raises where the other end has gone, asyncio does not
        writer.write(data)


@final
class RpcClient:
    """Calling end; answers may come in another order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.get_running_loop().create_task(self._read_answers(reader))

    @classmethod
    async def connect(cls, end: socket.socket) -> Self:
        """Initialise from one end of the pair."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    async def call(self, method: str, argument: Any = None, timeout: float | None = None) -> Any:
        """Call a method, and wait for the answer for `timeout` s at most.

        Raises:
            GoneError: The other process has ended.
            TimeoutError: There was no answer in time.
            UsageError: The other process reports an error.
        """
        if self._reading.done():
            raise GoneError("the process has ended")
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            _send(self._writer, (number, method, argument))
            async with asyncio.timeout(timeout):
                return await answer
        finally:
            del self._waiting[number]

    def close(self) -> None:
        """Close the pair, which the other end notices."""
        self._writer.close()
        self._reading.cancel()

    async def _read_answers(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                number, succeeded, answer = await received(reader)
                future = self._waiting.get(number)
                if future is None or future.done():
                    continue
                if succeeded:
                    future.set_result(answer)
                else:
                    future.set_exception(UsageError(answer))
        except (OSError, EOFError, FramingError):
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(GoneError("the process has ended"))


async def answer_all(end: socket.socket, answer: Callable[[str, Any], Awaitable[Any]]) -> None:
    """Answer calls until the other end closes; several at a time.

    An exception is answered with its message, so that no caller waits for ever; one that is not an
    IsoclineError is a defect, and is logged with its traceback.
    """
    reader, writer = await asyncio.open_unix_connection(sock=end)
    busy: set[asyncio.Task[None]] = set()

    async def one(number: int, method: str, argument: Any) -> None:
        try:
            message = (number, True, await answer(method, argument))
        except IsoclineError as error:
            message = (number, False, str(error))
        except Exception as error:
            LOG.exception("%s failed", method)
            message = (number, False, f"{type(error).__name__}: {error}")
        _send(writer, message)

    try:
        while True:
            task = asyncio.get_running_loop().create_task(one(*await received(reader)))
            busy.add(task)
            task.add_done_callback(busy.discard)
    except (OSError, EOFError, FramingError):
        pass
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()  # what was answered last is on its way
