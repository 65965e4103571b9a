"""Calls that Dask cancels by itself, as it does when it loses a worker, end nothing of ours."""

import asyncio
from typing import Any, cast

import pytest

pytest.importorskip("distributed")

from distributed import Client, Future

from isocline.dispatch.engines.dask.connection import (
    CallCancelledError,
    Connection,
    foreign_cancellations,
)


class Cancelling:
    """A client whose first calls are cancelled from inside."""

    id = "client"

    def __init__(self, times: int) -> None:
        self.times = times

    async def gather(self, futures: list[str], errors: str) -> list[str]:
        assert errors == "skip"
        await self._cancelled()
        return futures

    async def run(self, *_: Any, workers: list[str], **__: Any) -> dict[str, str]:
        await self._cancelled()
        return dict.fromkeys(workers, "there")

    async def _cancelled(self) -> None:
        await asyncio.sleep(0)
        self.times -= 1
        if self.times >= 0:
            raise asyncio.CancelledError


def link(times: int) -> Connection:
    return Connection(cast("Client", Cancelling(times)))


def test_a_result_is_asked_for_again() -> None:
    future = cast("Future[Any]", "result")
    assert asyncio.run(link(3).result(future)) == ["result"]


def test_a_call_at_a_worker_is_made_again() -> None:
    assert asyncio.run(link(2).at("worker", len)) == "there"


def test_a_cancellation_of_our_own_ends_a_call() -> None:
    async def main() -> bool:
        connection = link(10**9)
        task = connection.spawn(connection.at("worker", len))
        await asyncio.sleep(0.01)
        connection.cut()
        await asyncio.wait([task], timeout=30.0)
        return task.cancelled()

    assert asyncio.run(main())


class Together:
    """A client that makes one call for all results that are asked for at a time, as Dask's does."""

    id = "client"

    def __init__(self) -> None:
        self.call: asyncio.Task[None] | None = None

    async def gather(self, futures: list[str], errors: str) -> list[str]:
        assert errors == "skip"
        if self.call is None:
            self.call = asyncio.ensure_future(asyncio.sleep(0.01))
        await self.call
        return futures


def test_a_cancellation_of_our_own_takes_no_result_from_others() -> None:
    async def main() -> list[Any]:
        connection = Connection(cast("Client", Together()))
        first, second = (
            asyncio.ensure_future(connection.result(cast("Future[Any]", name)))
            for name in ("first", "second")
        )
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        first.cancel()
        return await asyncio.wait_for(second, timeout=30.0)

    assert asyncio.run(main()) == ["second"]


def test_a_foreign_cancellation_is_an_error_with_words() -> None:
    async def main() -> None:
        with foreign_cancellations():
            raise asyncio.CancelledError

    with pytest.raises(CallCancelledError, match="Dask cancelled a call"):
        asyncio.run(main())
