"""Memory of one backend for models: its copies of them, and the calls that load and drop these."""

import math
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, final

from isocline.policies.routing.model_loads import fits

# s without another attempt after a load has failed; doubled with each failure, up to the second.
_FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
MOST_NAMES = 1 << 16  # models of which facts are kept, as clients choose the names


class State(Enum):
    """State of a copy."""

    QUEUED = "queued"  # its memory is reserved, its load has not begun
    LOADING = "loading"
    RESIDENT = "resident"
    LEAVING = "leaving"  # to be unloaded, or being so; it still takes memory


class ModelCall(NamedTuple):
    """Call to a backend: load a model, or unload it. Its end comes back as an event."""

    number: int  # among those of the backend
    model: str
    loads: bool


@final
@dataclass(slots=True, eq=False)
class Copy:
    """One model at one backend.

    Attributes:
        home: Memory that it is in.
        in_use: Requests under way that need it.
        since: Time of the last change of its state, s.
        loaded: Time at which its load was decided on, s.
        used: Time of its last use, s.
        uses: Requests that asked for it since it was loaded.
    """

    home: "ModelMemory"
    model: str
    size: float
    state: State
    pinned: bool = False
    in_use: int = 0
    since: float = -math.inf
    loaded: float = -math.inf
    used: float = -math.inf
    uses: int = 0

    def ask(self, now: float) -> None:
        """A request asks for it."""
        self.uses += 1
        self.used = now

    def begin_use(self) -> None:
        """A request that needs it is sent to the backend."""
        self.in_use += 1
        self.home.changed()

    def left(self) -> None:
        """A request that used it has left the backend."""
        self.in_use -= 1
        self.home.changed()

    def turn(self, state: State, now: float) -> None:
        """Change its state."""
        self.state, self.since = state, now
        self.home.changed()


@final
@dataclass(slots=True, eq=False)
class ModelMemory:
    """Memory of one backend for models, shared by the cores before and after a reload.

    Attributes:
        capacity: Memory, in the unit of sizes; None: it holds all models.
        by_call: Whether it loads by calls; else as requests ask for models.
        copies: By model.
        calls: Calls to make, one after the other; the first may be under way.
        under_way: Whether it is.
        loads_itself: Whether it loads what a request asks for, as far as is known.
        paused: Until when, s, a call for a model is not repeated, and the length of the pause, s.
        unloaded: Time at which each model was found to be gone, s.
        loads, evictions, failures: Numbers of loads begun, copies dropped for others, and calls
            that failed, ever.
        surprises: Number of requests whose model was not there, against what was known.
    """

    capacity: float | None
    by_call: bool
    copies: dict[str, Copy] = field(default_factory=dict)
    calls: deque[ModelCall] = field(default_factory=deque)
    under_way: bool = False
    loads_itself: bool = True
    paused: dict[str, tuple[float, float]] = field(default_factory=dict)
    unloaded: dict[str, float] = field(default_factory=dict)
    loads: int = 0
    evictions: int = 0
    failures: int = 0
    surprises: int = 0
    _numbers: int = 0
    # As of the last change; None: not known.
    _free: float | None = None
    _room: float | None = None

    @property
    def taken(self) -> float:
        """Memory that is taken or reserved, without what is to be unloaded."""
        return sum(it.size for it in self.copies.values() if it.state is not State.LEAVING)

    @property
    def stands_still(self) -> bool:
        """Whether it loads a model now."""
        return self.under_way and self.calls[0].loads

    def add(self, model: str, size: float, state: State, now: float) -> Copy:
        """Add a copy of a model."""
        copy = Copy(self, model, size, state, since=now, loaded=now, used=now)
        self.copies[model] = copy
        self.changed()
        return copy

    def remove(self, model: str) -> None:
        """Remove a copy that is no longer there."""
        del self.copies[model]
        self.changed()

    def changed(self) -> None:
        """Note that copies, or their uses, have changed."""
        self._free = self._room = None

    @property
    def free(self) -> float:
        """Memory that nothing takes; below 0 if a backend has too much."""
        if self._free is None:
            assert self.capacity is not None
            self._free = self.capacity - self.taken
        return self._free

    def room(self, now: float) -> float:
        """Memory that is free, or taken by what may make way."""
        if self._room is None or self.paused:
            idle = sum(copy.size for copy in self.copies.values() if self.may_go(copy, now))
            self._room = self.free + idle
        return self._room

    def lacks(self, size: float) -> float:
        """Memory that is lacking for a size; 0 or less: none is."""
        return 0.0 if fits(self.free, size) else size - self.free

    def ever_fits(self, size: float) -> bool:
        """Whether a model fits beside what is pinned."""
        pinned = sum(it.size for it in self.copies.values() if it.pinned)
        return self.capacity is None or fits(self.capacity - pinned, size)

    def may_go(self, copy: Copy, now: float) -> bool:
        """Whether a copy may make way for another."""
        if copy.pinned or copy.in_use or self.is_paused(copy.model, now):
            return False
        loads_itself = copy.state is State.LOADING and not self.by_call
        return copy.state is State.RESIDENT or loads_itself

    def serves(self, model: str) -> bool:
        """Whether requests for a model are served at once."""
        copy = self.copies.get(model)
        if copy is None:
            return self.capacity is None
        if copy.state is State.LOADING:
            return not self.by_call and copy.in_use > 0
        return copy.state is State.RESIDENT

    def comes(self, model: str) -> bool:
        """Whether a model is on its way by a call."""
        return self.by_call and self.state(model) in _COMING

    def state(self, model: str) -> State | None:
        """State of its copy of a model; None: it has none."""
        copy = self.copies.get(model)
        return None if copy is None else copy.state

    def call(self, model: str, *, loads: bool, first: bool = False) -> None:
        """Queue a call, as the next one if it is to be the first."""
        self._numbers += 1
        made = ModelCall(self._numbers, model, loads)
        if first:
            self.calls.appendleft(made)
        else:
            self.calls.append(made)

    def begin(self, now: float) -> ModelCall | None:
        """Begin the next call; None: there is none, or one is under way."""
        if not self.calls or self.under_way:
            return None
        self.under_way = True
        call = self.calls[0]
        if call.loads:
            self.loads += 1
            self.copies[call.model].turn(State.LOADING, now)
        return call

    def finish(self, number: int) -> ModelCall | None:
        """Take the call under way off, if it has this number."""
        if not self.under_way or self.calls[0].number != number:
            return None
        self.under_way = False
        return self.calls.popleft()

    def pause(self, model: str, now: float) -> None:
        """Make no call for a model for a while, longer each time."""
        if len(self.paused) >= MOST_NAMES:
            self.paused.clear()
        _, last = self.paused.get(model, (0.0, 0.0))
        length = min(max(2.0 * last, _FIRST_PAUSE), LONGEST_PAUSE)
        self.paused[model] = now + length, length

    def note_unloaded(self, model: str, now: float) -> None:
        """Note that a model is gone: what was asked before does not count."""
        if len(self.unloaded) >= MOST_NAMES:
            self.unloaded.clear()
        self.unloaded[model] = now

    def is_paused(self, model: str, now: float) -> bool:
        """Whether no call is made for a model."""
        return model in self.paused and self.paused[model][0] > now


_COMING = (State.QUEUED, State.LOADING)
