"""Reader of chunks: a node's own, those fetched before, or from a node that holds them."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import final

from isocline.dispatch.engines.base import Drops, Holds, Silent
from isocline.dispatch.engines.common.attempt import Read
from isocline.dispatch.engines.common.chunk_store import Store
from isocline.dispatch.engines.processes.chunk_server import (
    GoneError,
    SilentError,
    UnansweredError,
    requested,
)
from isocline.dispatch.engines.processes.interrupt import Interrupter
from isocline.dispatch.engines.processes.protocol import Setup
from isocline.dispatch.errors import AT_NODE, ChunkError, UnreadError

Notices = list[Holds | Drops]

# s for which holders whose processes have ended are asked again, and the interval. Restarts take
# longer, but by then the engine knows that those holders were lost, and can distinguish this from a
# chunk that is nowhere.
_PATIENCE, _AGAIN = 0.5, 0.05


@final
class _Fetch:
    """Fetch of a chunk under way, with the holders found silent."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.answers: dict[str, UnansweredError] = {}


@final
class ChunkReader:
    """Chunk reader of one node; `notices` collect changes of the chunks that it holds.

    `read` is called in the main thread, `fetch` in others.
    """

    def __init__(
        self,
        setup: Setup,
        store: Store,
        interrupter: Interrupter,
        tell: Callable[[Silent], None],
    ) -> None:
        """Initialise; `tell` is called with each silent holder."""
        self.notices: Notices = []
        self._name = setup.name
        self._store = store
        self._sockets: Mapping[str, str] = setup.sockets
        self._everywhere = setup.everywhere
        self._silence = setup.silence
        self._interrupter = interrupter
        self._tell = tell
        self._fetching: dict[str, _Fetch] = {}  # by chunk

    def read(self, chunk: str, holders: Sequence[str]) -> Read:
        """Read a chunk; raises ChunkError and the loader's exceptions."""
        store, named = self._store, self._name in holders
        if not store.fetches:
            return Read(store.load(chunk), named)
        store.in_use = chunk
        fetched = self._fetching.get(chunk)
        if fetched:
            self._await(fetched)
        if store.kept(chunk) or store.own(chunk, named):
            return Read(store.load(chunk), fetched is None)
        answers = dict(fetched.answers) if fetched else {}
        others = [holder for holder in holders if holder not in answers]
        value = self._fetch_from_any(chunk, others, answers)
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
            AT_NODE,
            f"chunk {chunk!r} cannot be read at {self._name}: "
            f"{reply or 'it has no locations'}; give its locations, or, if the loader can read it "
            "from every node, make the engine with everywhere=True",
        )

    def fetch(self, chunk: str, holders: Sequence[str], notices: Notices) -> None:
        """Fetch a chunk from a holder, and keep it if it fits.

        Changes are added to `notices`, even if an exception is raised.
        """
        if not self._store.fetches or self.holds(chunk, holders):
            return
        mine = _Fetch()
        fetched = self._fetching.setdefault(chunk, mine)
        if fetched is not mine:  # another thread is fetching it
            fetched.ended.wait()
            return
        try:
            for holder in holders:
                try:
                    self._fetch_from(chunk, holder, notices, to_keep=True)
                    break
                except SilentError as error:
                    mine.answers[holder] = error
                except UnansweredError:
                    """The next holder may deliver it."""
        finally:
            del self._fetching[chunk]
            mine.ended.set()

    def holds(self, chunk: str, holders: Sequence[str]) -> bool:
        """Whether the node holds a chunk."""
        return self._store.kept(chunk) or self._store.own(chunk, self._name in holders)

    def _await(self, fetch: _Fetch) -> None:
        """Wait for another thread's fetch; a wait in vain is not charged to the task."""
        asking, waiting = self._interrupter.asking, self._interrupter.waiting
        while not fetch.ended.is_set():
            try:
                with asking(self._silence), waiting():
                    if not fetch.ended.wait(self._silence) or fetch.answers:
                        raise TimeoutError
            except TimeoutError:
                """The fetch continues with the next holder, or has ended."""

    def _fetch_from_any(
        self, chunk: str, holders: Iterable[str], answers: dict[str, UnansweredError]
    ) -> Callable[[], object] | None:
        """Get a chunk from the first holder that delivers it; others' replies go to `answers`."""
        for holder in holders:
            try:
                with self._interrupter.asking(self._silence):
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
        waiting = nullcontext if to_keep else self._interrupter.waiting
        try:
            with requested(self._sockets[holder], chunk, self._silence, waiting) as part:
                if self._store.fits(part.size):
                    notices += [Drops(old, self._name) for old in self._store.room(part.size)]
                elif to_keep:
                    raise UnansweredError("it is too large to keep")
                value = self._store.receive(chunk, part)
        except SilentError:
            with nullcontext() if to_keep else self._interrupter.uninterrupted():
                self._tell(Silent(holder))
            raise
        if self._store.kept(chunk):
            notices.append(Holds(chunk, self._name))
        return value


def _ended(answers: Mapping[str, UnansweredError]) -> list[str]:
    return [holder for holder, error in answers.items() if isinstance(error, GoneError)]
