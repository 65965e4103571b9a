"""Dask clusters in this process, for tests of the plugin."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple

import dask
from distributed import Client, LocalCluster, Scheduler

from isocline.integrations.dask.plugin import NAME, NearDataPlugin

_SETTINGS = {"distributed.scheduler.validate": True}  # Dask checks its own state at each step


class Inside(NamedTuple):
    """A cluster in this process, seen from its event loop."""

    client: Any
    scheduler: Scheduler
    workers: list[str]  # addresses, in order of their names 0, 1, ...

    def plugin(self) -> NearDataPlugin:
        found = self.scheduler.plugins[NAME]
        assert isinstance(found, NearDataPlugin)
        return found


def inside(
    test: Callable[[Inside], Coroutine[Any, Any, None]],
    workers: int = 3,
    threads: int = 1,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Run a coroutine in a cluster in this process."""

    async def main() -> None:
        async with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=threads,
                processes=False,
                protocol="tcp://",
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
                asynchronous=True,
            ) as cluster,
            Client(cluster, asynchronous=True) as client,
        ):
            scheduler = cluster.scheduler
            by_name = sorted(scheduler.workers.values(), key=lambda ws: ws.name)
            await test(Inside(client, scheduler, [ws.address for ws in by_name]))
            scheduler.validate_state()

    with dask.config.set(_SETTINGS | dict(settings or {})):
        asyncio.run(main())
