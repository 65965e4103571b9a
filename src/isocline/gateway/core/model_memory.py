"""Memory of one backend for models: its copies of them, and the calls that load and drop these."""

import math
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, final

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
class Account:
    """Sum that fades in time."""

    __slots__ = ("_at", "_sum")

    def __init__(self) -> None:
        self._sum, self._at = 0.0, -math.inf

    def add(self, amount: float, now: float, scale: float) -> None:
        """Add an amount at `now`, s; sums fade by 1/e in `scale`, s."""
        self._sum, self._at = self.value(now, scale) + amount, now

    def value(self, now: float, scale: float) -> float:
        """The sum at `now`, s."""
        return self._sum * math.exp(-max(now - self._at, 0.0) / scale) if self._sum else 0.0

    def clear(self) -> None:
        """Begin again."""
        self._sum = 0.0


@final
@dataclass(slots=True, eq=False)
class Copy:
    """One model at one backend.

    Attributes:
        in_use: Requests under way that need it.
        since: Time of the last change of its state, s.
        used: Time of its last use, s.
        earned: What requests would have cost more without it, job-seconds.
    """

    model: str
    size: float
    state: State
    pinned: bool = False
    in_use: int = 0
    since: float = -math.inf
    used: float = -math.inf
    earned: Account = field(default_factory=Account)

    def left(self) -> None:
        """A request that used it has left the backend."""
        self.in_use -= 1

    def turn(self, state: State, now: float) -> None:
        """Change its state."""
        self.state, self.since = state, now


@final
@dataclass(slots=True, eq=False)
class ModelMemory:
    """Memory of one backend for models, shared by the cores before and after a reload.

    Attributes:
        capacity: Memory, in the unit of sizes; None: it holds all models.
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

    @property
    def taken(self) -> float:
        """Memory that is taken or reserved, without what is to be unloaded."""
        return sum(it.size for it in self.copies.values() if it.state is not State.LEAVING)

    @property
    def stands_still(self) -> bool:
        """Whether it loads a model now."""
        return self.under_way and self.calls[0].loads

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
