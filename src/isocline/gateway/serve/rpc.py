"""Remote calls between two processes of a router, over a socket pair."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import Any, Self, final

from isocline.errors import IsoclineError, UsageError
from isocline.gateway.serve.log import LOG
from isocline.structured_log import event
from isocline.subprocesses.framing import FramingError, packed, received


class GoneError(IsoclineError):
    """The other process has ended."""


def _send(writer: asyncio.StreamWriter, message: Any) -> None:
    data = packed(message)
    if not writer.is_closing():  # uvloop raises if the other end is closed, asyncio does not
        writer.write(data)


@final
class RpcClient:
    """Calling end; answers may arrive in any order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.get_running_loop().create_task(self._read_answers(reader))

    @classmethod
    async def connect(cls, end: socket.socket) -> Self:
        """Make a client of one end of the pair."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    async def call(self, method: str, argument: Any = None, timeout: float | None = None) -> Any:
        """Call a method, and wait at most `timeout` s for the answer.

        Raises:
            GoneError: The other process has ended.
            TimeoutError: No answer arrived in time.
            UsageError: The other process reported an error.
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
        """Close this end, which ends `answer_all` at the other."""
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
    """Answer calls concurrently until the other end closes.

    An exception is answered with its message, so that no caller waits forever. One that is not an
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
            LOG.exception("%s failed", method, extra=event("worker.call_failed", method=method))
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
            await writer.wait_closed()  # so that the last answer is sent
