"""How a node comes by a chunk: its own, kept from before, or from a node that holds it."""

from collections.abc import Mapping, Sequence
from typing import final

from isocline.dispatch.engines.attempt import Read
from isocline.dispatch.engines.contract import Drops, Holds
from isocline.dispatch.engines.errors import ChunkError
from isocline.dispatch.engines.processes.peers import UnansweredError, asked
from isocline.dispatch.engines.processes.store import Store


@final
class Reader:
    """Reads for one node; `notices` are what has changed of what the node holds."""

    def __init__(
        self, name: str, store: Store, peers: Mapping[str, str], everywhere: bool, silence: float
    ) -> None:
        self.notices: list[Holds | Drops] = []
        self._name = name
        self._store = store
        self._peers = peers
        self._everywhere = everywhere
        self._silence = silence  # s

    def read(self, chunk: str, holders: Sequence[str]) -> Read:
        """Raises ChunkError, and what the loader raises."""
        store, named = self._store, self._name in holders
        if not store.fetches:
            return Read(store.load(chunk), named)
        if store.kept(chunk) or store.own(chunk, named):
            return Read(store.load(chunk), True)
        answers: list[str] = []
        for holder in holders:
            try:
                return Read(self._fetched(chunk, holder), False)
            except UnansweredError as error:
                answers.append(f"{holder}: {error}")
        if self._everywhere:
            return Read(store.load(chunk), False)
        raise ChunkError(
            f"chunk {chunk!r} cannot be had at {self._name}: "
            f"{'; '.join(answers) or 'no node is said to hold it'}; say where it is, or, if the "
            "loader reaches it from every node, make the engine with everywhere=True"
        )

    def _fetched(self, chunk: str, holder: str) -> object:
        if holder == self._name:
            raise UnansweredError("it is not there")
        if holder not in self._peers:
            raise UnansweredError("no node of this engine")
        with asked(self._peers[holder], chunk, self._silence) as parcel:
            if self._store.fits(parcel.size):
                self.notices += [Drops(old, self._name) for old in self._store.room(parcel.size)]
            value = self._store.receive(chunk, parcel)
        if self._store.kept(chunk):
            self.notices.append(Holds(chunk, self._name))
        return value
