"""Reader of chunks: a node's own, kept from before, or from a node that holds them."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import final

from isocline.dispatch.engines.base import Drops, Holds
from isocline.dispatch.engines.common.attempt import Read
from isocline.dispatch.engines.common.chunk_store import Store
from isocline.dispatch.engines.common.errors import ChunkError, UnreadError
from isocline.dispatch.engines.processes.chunk_server import (
    GoneError,
    SilentError,
    UnansweredError,
    requested,
)

Notices = list[Holds | Drops]

# s for which holders whose processes have ended are asked again, and how often. They need longer to
# be started again; but the engine knows by then that they were lost, so that it can tell this from
# a chunk which is nowhere.
_PATIENCE, _AGAIN = 0.5, 0.05


@final
class ChunkReader:
    """Reader of one node; `notices` are the changes of the chunks that it holds.

    `read` is called in the main thread, `fetch` in another.
    """

    def __init__(
        self, name: str, store: Store, sockets: Mapping[str, str], everywhere: bool, silence: float
    ) -> None:
        self.notices: Notices = []
        self._name = name
        self._store = store
        self._sockets = sockets
        self._everywhere = everywhere
        self._silence = silence  # s
        self._fetching: dict[str, threading.Event] = {}  # chunks that are being fetched, until then

    def read(self, chunk: str, holders: Sequence[str]) -> Read:
        """Read a chunk; raises ChunkError, and the loader's exceptions."""
        store, named = self._store, self._name in holders
        if not store.fetches:
            return Read(store.load(chunk), named)
        store.in_use = chunk
        fetched = self._fetching.get(chunk)
        if fetched:
            fetched.wait()
        if store.kept(chunk) or store.own(chunk, named):
            return Read(store.load(chunk), fetched is None)
        answers: dict[str, UnansweredError] = {}
        value = self._fetch_from_any(chunk, holders, answers)
        if value is None and self._everywhere:
            return Read(store.load(chunk), False)
        until = time.monotonic() + _PATIENCE
        while value is None and (gone := _ended(answers)) and time.monotonic() < until:
            time.sleep(_AGAIN)
            value = self._fetch_from_any(chunk, gone, answers)
        if value is not None:
            return Read(value(), False)
        reply = "; ".join(f"{holder}: {error}" for holder, error in answers.items())
        later = any(isinstance(error, GoneError | SilentError) for error in answers.values())
        raise (UnreadError if later else ChunkError)(
            f"chunk {chunk!r} cannot be had at {self._name}: "
            f"{reply or 'no node is said to hold it'}; say where it is, or, if the loader reaches "
            "it from every node, make the engine with everywhere=True"
        )

    def fetch(self, chunk: str, holders: Sequence[str], notices: Notices) -> None:
        """Fetch a chunk and keep it, if a holder delivers it and it fits.

        `notices` get what that changes, also where something is raised.
        """
        if not self._store.fetches or self.holds(chunk, holders):
            return
        mine = threading.Event()
        fetched = self._fetching.setdefault(chunk, mine)
        if fetched is not mine:  # for another task
            fetched.wait()
            return
        try:
            for holder in holders:
                with suppress(UnansweredError):
                    self._fetch_from(chunk, holder, notices, to_keep=True)
                    break
        finally:
            del self._fetching[chunk]
            mine.set()

    def holds(self, chunk: str, holders: Sequence[str]) -> bool:
        """Whether the node holds a chunk."""
        return self._store.kept(chunk) or self._store.own(chunk, self._name in holders)

    def _fetch_from_any(
        self, chunk: str, holders: Iterable[str], answers: dict[str, UnansweredError]
    ) -> Callable[[], object] | None:
        """Get a chunk from the first holder that delivers it; `answers` get the others' replies."""
        for holder in holders:
            try:
                return self._fetch_from(chunk, holder, self.notices)
            except UnansweredError as error:
                answers[holder] = error
        return None

    def _fetch_from(
        self, chunk: str, holder: str, notices: Notices, to_keep: bool = False
    ) -> Callable[[], object]:
        """Get a chunk from a node, `to_keep` only if it fits; returns a loader of its value."""
        if holder == self._name:
            raise UnansweredError("it is not there")
        if holder not in self._sockets:
            raise UnansweredError("no node of this engine")
        with requested(self._sockets[holder], chunk, self._silence) as part:
            if self._store.fits(part.size):
                notices += [Drops(old, self._name) for old in self._store.room(part.size)]
            elif to_keep:
                raise UnansweredError("it is too large to be kept")
            value = self._store.receive(chunk, part)
        if self._store.kept(chunk):
            notices.append(Holds(chunk, self._name))
        return value


def _ended(answers: Mapping[str, UnansweredError]) -> list[str]:
    return [holder for holder, error in answers.items() if isinstance(error, GoneError)]
