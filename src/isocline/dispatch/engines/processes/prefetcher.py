"""Prefetcher: threads of a worker that fetch chunks while its main thread runs tasks."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import final

from isocline.dispatch.engines.base import Drops, Fetched, Holds
from isocline.dispatch.engines.processes.chunk_reader import ChunkReader, Notices
from isocline.dispatch.engines.processes.protocol import Fetch

_MOST = 16  # most fetches at a time


@final
class Prefetcher:
    """Fetching threads of one node, which live as long as its process."""

    def __init__(
        self, name: str, reader: ChunkReader, send: Callable[[Holds | Drops | Fetched], None]
    ) -> None:
        self._name = name
        self._reader = reader
        self._send = send
        self._threads = ThreadPoolExecutor(_MOST, "fetcher")

    def put(self, wanted: Fetch) -> None:
        """Queue a fetch; returns at once, in any thread."""
        self._threads.submit(self._fetch, wanted)

    def _fetch(self, wanted: Fetch) -> None:
        chunk, holders = wanted
        start, held = time.perf_counter(), False
        notices: Notices = []
        # The task that reads the chunk will report errors such as a full disk or a wrong name.
        with suppress(Exception):
            self._reader.fetch(chunk, holders, notices)
            held = self._reader.holds(chunk, holders)
        for notice in notices:
            self._send(notice)
        self._send(Fetched(chunk, self._name, held, time.perf_counter() - start))
