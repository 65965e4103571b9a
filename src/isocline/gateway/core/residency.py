"""Models and adapters that backends hold, load and drop, as a router decides on them.

A request whose model is not resident at a backend costs its load there. All is counted in
job-seconds: of work w at a backend with N jobs and rate l(N), a request has a stay of

    w (N + 1) / l(N + 1),

and a load of L seconds, in which a server stands still, costs L (N + 1): its own request waits, and
so do the jobs there. Where its model is at several backends, a request goes to one of them by the
policy, with its prices. It waits for a load elsewhere, rather than go where its model is, once the
stays differ by more than a load costs; no threshold is to be set. Two further decisions are in the
same unit:

**More copies** are bought once they are paid for. Model and backend without it have an account, to
which each request adds by how much shorter its stay would have been there. A load begins when the
account reaches the cost of the load and of what is dropped for it, as in rent or buy, where this
costs at most twice as much as knowing the future (A. R. Karlin et al., Algorithmica 3, 1988). One
account for all backends was tried, and rejected: the best of many looks better than any one is.

A crowd that waits for a model adds nothing, and of one model there are at most as many loads at a
time as resident copies, and one if there is none: so a crowd causes one load.

**Eviction** is by price. A request adds to the account of the copy that serves it what it would
have cost more without: a reload, if there is no other copy. The least account for its memory goes
first. Pinned copies stay, and those with requests under way.

Accounts fade over a time of many loads, see `_LOADS`.
"""

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

from isocline.gateway.core.model_memory import (
    LONGEST_PAUSE,
    MOST_NAMES,
    Account,
    Copy,
    ModelCall,
    ModelMemory,
    State,
)
from isocline.gateway.core.running_ratio import RunningRatio

# A copy that is loaded should stay for many loads, or its load is a good part of its use. Accounts
# forget in 100 of them: what a load takes of the time between two is then 1 %.
_LOADS = 100.0
_SHORTEST = 0.01  # s of a load, in that time: one that takes nothing would make it 0
_STILL = 1e-9  # in place of a rate of 0, jobs/s
_ROUNDING = 1e-9  # of a memory, by which sums of sizes may exceed it


@final
@dataclass(frozen=True)
class KnownModel:
    """Models of one entry of the file.

    Attributes:
        size: Memory that each takes.
        load: s that a load takes, as given; 0: not known.
        fits: Whether a name is one of them.
    """

    size: float
    load: float
    fits: Callable[[str], bool]


@final
@dataclass(frozen=True)
class ResidencySetting:
    """Facts of B backends and their models.

    Attributes:
        entries: Entries of the file, of which the first that fits a model counts.
        capacities: Memory of each backend; None: it holds all models.
        pinned: Models that each backend has from the start, and keeps.
        by_call: Whether the router loads models, by calls; else backends do it themselves.
        unloads: Whether it unloads them; else a backend drops the least recently used.
    """

    entries: Sequence[KnownModel]
    capacities: Sequence[float | None]
    pinned: Sequence[Collection[str]] = ()
    by_call: bool = False
    unloads: bool = False


class Wait(NamedTuple):
    """Decision: the request waits until its model is loaded at a backend."""

    backend: int


class GoTo(NamedTuple):
    """Decision: the request goes to one of these backends, as the policy chooses."""

    backends: frozenset[int]


class Refuse(NamedTuple):
    """Decision: no backend can load the model, at least for so many seconds."""

    wait: float


Decision = Wait | GoTo | Refuse | None
"""None: all backends are alike to the request."""
Jobs = Callable[[int, int], tuple[int, float]]
"""Number of jobs at a backend with so many more than now, and the rate then, jobs/s."""


@final
class Residency:
    """Models at B backends.

    Attributes:
        memories: Memory of each backend.
        load_times: Mean time of a load of each entry, s, as learned; None: not known yet.
        waiting: Number of requests that wait for loads at each backend.
    """

    def __init__(self, setting: ResidencySetting, jobs: Jobs) -> None:
        """Initialise; nothing is resident but what is pinned."""
        self.memories = [ModelMemory(capacity) for capacity in setting.capacities]
        self.load_times = [
            RunningRatio(entry.load, 1.0) if entry.load > 0.0 else None for entry in setting.entries
        ]
        self.waiting = [0] * len(self.memories)
        self._entries = setting.entries
        self._by_call, self._unloads = setting.by_call, setting.unloads
        self._jobs = jobs
        self._numbers: dict[str, int] = {}  # of the entry, by model; -1: none
        # By model, and backend without it: what requests would have saved with a copy there.
        self._wanted: dict[str, dict[int, Account]] = {}
        self._parked: dict[tuple[int, str], list[int]] = {}  # requests that wait for a load
        self._scale = self._fading()
        for backend, names in enumerate(setting.pinned):
            for name in names:
                self._add(backend, name, State.RESIDENT, -math.inf).pinned = True

    # Decisions

    def manages(self, model: str) -> bool:
        """Whether a model is one of the file's."""
        return self._entry(model) >= 0

    def decide(
        self,
        model: str,
        backends: Sequence[int],
        work: Sequence[float],
        now: float,
        *,
        counts: bool = True,
    ) -> Decision:
        """Decide where a request may go.

        Args:
            model: The model that it asks for.
            backends: Backends that are open to it, at least one.
            work: Its work at each, in mean requests.
            now: s.
            counts: Whether another copy may be bought for it; not if it has waited for one.
        """
        if self._entry(model) < 0:
            return None
        warm = [b for b in backends if self._serves(b, model)]
        costs = {b: self._cost(b, w) for b, w in zip(backends, work, strict=True)}
        cold = [b for b in backends if self._lacks(b, model)]
        if not warm:
            return self._without_copy(model, backends, cold, costs, now)
        best = min(warm, key=costs.__getitem__)
        self._credit(model, warm, best, (cold, costs), now)
        if counts:
            better = self._better_place(model, best, cold, costs, now)
            if better is not None:
                return better
        moving = [b for b in warm if not self.memories[b].stands_still]
        return GoTo(frozenset(moving or warm))

    def holders(self, model: str) -> frozenset[int] | None:
        """Backends that serve a model at once; None: all are alike to it."""
        if self._entry(model) < 0:
            return None
        return frozenset(b for b in range(len(self.memories)) if self._serves(b, model))

    def take_calls(self, now: float) -> list[tuple[int, ModelCall]]:
        """Begin the calls that are due; returns backend and call of each."""
        if not self._by_call:
            return []
        begun = ((b, memory.begin(now)) for b, memory in enumerate(self.memories) if memory.calls)
        return [(backend, call) for backend, call in begun if call is not None]

    # Events of requests

    def park(self, backend: int, model: str, request: int) -> None:
        """Let a request wait for a model that is on its way to a backend."""
        self._parked.setdefault((backend, model), []).append(request)
        self.waiting[backend] += 1

    def unpark(self, backend: int, model: str, request: int) -> None:
        """Forget a request that waits."""
        waiting = self._parked[backend, model]
        waiting.remove(request)
        self.waiting[backend] -= 1
        if not waiting:
            del self._parked[backend, model]

    def release_all(self) -> list[int]:
        """Forget all requests that wait; returns them."""
        return [it for backend, model in list(self._parked) for it in self._release(backend, model)]

    def parked(self, backend: int, model: str) -> int:
        """Number of requests that wait for a model at a backend."""
        return len(self._parked.get((backend, model), ()))

    def sent(self, backend: int, model: str, now: float) -> Copy | None:
        """A request for a model goes to a backend; returns the copy that it uses, if any."""
        memory = self.memories[backend]
        if self._entry(model) < 0 or memory.capacity is None:
            return None
        copy = memory.copies.get(model)
        if copy is None:
            if self._by_call or not memory.loads_itself:
                return None  # it may be there, for all that is known
            copy = self._add(backend, model, State.LOADING, now)
            memory.loads += 1
        copy.in_use += 1
        copy.used = now
        return copy

    def served(self, backend: int, copy: Copy, now: float) -> None:
        """Record that a request was served by a copy: a backend that loads by itself has it now."""
        if copy.state is State.LOADING and self.memories[backend].copies.get(copy.model) is copy:
            copy.turn(State.RESIDENT, now)
            self._make_room(backend, 0.0, now)

    def missing(self, backend: int, model: str, now: float) -> None:
        """Record that a backend has answered that it has no such model."""
        memory = self.memories[backend]
        memory.surprises += 1
        memory.note_unloaded(model, now)
        if not self._by_call:
            memory.loads_itself = False
        state = memory.state(model)
        if state is State.RESIDENT or (state is State.LOADING and not self._by_call):
            del memory.copies[model]

    # Events of backends. Those that return requests say whether these have their model now: else
    # they have to go elsewhere.

    def ended(self, backend: int, call: ModelCall, now: float) -> tuple[list[int], bool]:
        """Record the success of a call; returns requests."""
        memory = self.memories[backend]
        if memory.finish(call.number) is not None:
            copy = memory.copies.get(call.model)
            if not call.loads:
                memory.note_unloaded(call.model, now)
                if copy is not None and copy.state is State.LEAVING:
                    del memory.copies[call.model]
            elif copy is not None and copy.state is State.LOADING:
                self._learn(call.model, now - copy.since)
                copy.turn(State.RESIDENT, now)
                memory.paused.pop(call.model, None)
        self._wanted.pop(call.model, None)  # what was lost meanwhile no further copy had saved
        return self._settled(backend, call.model)

    def failed(
        self, backend: int, call: ModelCall, now: float, *, unknown: bool
    ) -> tuple[list[int], bool]:
        """Record the failure of a call; returns requests.

        `unknown`: it was not answered, so that the model may be there, or come.
        """
        memory = self.memories[backend]
        if memory.finish(call.number) is not None:
            memory.failures += 1
            memory.pause(call.model, now)
            copy = memory.copies.get(call.model)
            if not call.loads:
                if copy is not None and copy.state is State.LEAVING:
                    copy.turn(State.RESIDENT, now)
                self._cancel_loads(memory, now)
            elif copy is not None and copy.state is State.LOADING:
                if unknown and self._unloads:  # whatever becomes of it, it is not there then
                    copy.turn(State.LEAVING, now)
                    memory.call(call.model, loads=False, first=True)
                else:
                    del memory.copies[call.model]
        gone: list[int] = []
        for at, model in [key for key in self._parked if key[0] == backend]:
            if memory.state(model) is None or memory.state(model) is State.LEAVING:
                gone += self._release(at, model)
        return gone, False

    def told(
        self, backend: int, names: Iterable[str], asked: float, now: float, *, complete: bool = True
    ) -> tuple[list[int], bool]:
        """Record which models a backend says it has; returns requests.

        Args:
            backend: Its number.
            names: Models that it has.
            asked: Time at which it was asked, s: what has changed since counts.
            now: s.
            complete: Whether it has no others.
        """
        memory = self.memories[backend]
        there = {name for name in names if self._entry(name) >= 0}
        if memory.capacity is None:
            return [], True
        for name in there:
            copy, gone = memory.copies.get(name), memory.unloaded.get(name)
            if copy is None and (gone is None or gone < asked):
                self._add(backend, name, State.RESIDENT, now)
                if gone is not None:  # perhaps its unload had no effect
                    memory.pause(name, now)
            elif copy is not None and copy.state is State.QUEUED:
                memory.calls = deque(it for it in memory.calls if it.model != name)
                copy.turn(State.RESIDENT, now)
        if complete:
            for name, copy in list(memory.copies.items()):
                if copy.state is State.RESIDENT and name not in there and copy.since < asked:
                    del memory.copies[name]
        return [it for name in there for it in self._settled(backend, name)[0]], True

    def lost(self, backend: int, now: float) -> tuple[list[int], bool]:
        """Record that a backend is down; returns requests.

        A server that starts again has what the file pins, and no more.
        """
        memory = self.memories[backend]
        memory.calls.clear()
        memory.under_way, memory.loads_itself = False, True
        memory.unloaded.clear()
        for name, copy in list(memory.copies.items()):
            if not copy.pinned:
                if copy.state in (State.QUEUED, State.LOADING):
                    memory.pause(name, now)
                del memory.copies[name]
        keys = [key for key in self._parked if key[0] == backend]
        return [it for at, model in keys for it in self._release(at, model)], False

    def take_over(self, before: "Residency", backends: Mapping[int, int]) -> None:
        """Take over the memories of backends: number here to number there.

        They are then those of both, as requests of the earlier core still use copies.
        """
        for backend, number in backends.items():
            memory, past = self.memories[backend], before.memories[number]
            if memory.capacity is None or past.capacity is None:
                continue
            past.capacity = memory.capacity
            for name, copy in memory.copies.items():  # what the file pins now
                past.copies.setdefault(name, copy).pinned = True
            self.memories[backend] = past

    # Observable state

    def load_time(self, model: str) -> float:
        """Expected time of a load, s."""
        known = self.load_times[self._entry(model)]
        return 0.0 if known is None else known.value

    def remaining(self, backend: int, model: str, now: float) -> float:
        """Expected time until a model that is on its way to a backend is there, s."""
        memory = self.memories[backend]
        total = 0.0
        for place, call in enumerate(it for it in memory.calls if it.loads):
            done = now - memory.copies[call.model].since if not place and memory.under_way else 0.0
            total += max(self.load_time(call.model) - done, 0.0)
            if call.model == model:
                return total
        return 0.0

    # Steps of decisions

    def _without_copy(
        self,
        model: str,
        backends: Sequence[int],
        cold: Sequence[int],
        costs: Mapping[int, float],
        now: float,
    ) -> Decision:
        """Decide where no open backend has the model."""
        on_way = [b for b in backends if self._comes(b, model)]
        if on_way:
            return Wait(min(on_way, key=lambda b: self.remaining(b, model, now)))
        place, _ = self._place(model, cold, costs, now)
        if place >= 0:
            return self._begin(place, model, now)
        if not self._by_call:
            return None  # one may have it for all that is known, or say that it has not
        size, pauses = self._size(model), [0.0]
        for memory in (self.memories[b] for b in backends):
            if memory.state(model) is not None or self._fits(memory, size):
                if not memory.is_paused(model, now):
                    return GoTo(frozenset())  # there is no room now: it waits at its frontend
                pauses.append(memory.paused[model][0] - now)
        return Refuse(min(pauses[1:], default=LONGEST_PAUSE))

    def _better_place(
        self,
        model: str,
        best: int,
        cold: Sequence[int],
        costs: Mapping[int, float],
        now: float,
    ) -> Decision:
        """Load another copy where that is paid for; a decision if the request is to have it.

        `best` is the best backend that has one.
        """
        better = [b for b in cold if costs[b] < costs[best]]
        if not better:
            return None
        accounts = self._accounts(model)
        ready: list[int] = []
        for backend in better:
            account = accounts.setdefault(backend, Account())
            account.add(costs[best] - costs[backend], now, self._scale)
            if account.value(now, self._scale) >= self._load_cost(backend, model):
                ready.append(backend)
        if not ready or not self._may_load(model):
            return None
        place, cost = self._place(model, ready, costs, now)
        paid = accounts[place].value(now, self._scale) if place >= 0 else 0.0
        if place < 0 or paid < cost:
            return None
        accounts.clear()
        begun = self._begin(place, model, now)
        bought = self.memories[place].copies.get(model)
        if bought is not None:
            bought.earned.add(paid, now, self._scale)
        waits = costs[best] - costs[place] > cost or not self._by_call
        return begun if waits else None

    def _accounts(self, model: str) -> dict[int, Account]:
        """Accounts of a model, by the backend at which there is no copy."""
        accounts = self._wanted.get(model)
        if accounts is None:
            if len(self._wanted) >= MOST_NAMES:
                self._wanted.clear()
            accounts = self._wanted[model] = {}
        return accounts

    def _begin(self, backend: int, model: str, now: float) -> Decision:
        """Begin a load: by a call, or by the request that is sent there."""
        if not self._by_call:
            return GoTo(frozenset((backend,)))
        self._make_room(backend, self._size(model), now)
        self._add(backend, model, State.QUEUED, now)
        self.memories[backend].call(model, loads=True)
        return Wait(backend)

    def _credit(
        self,
        model: str,
        warm: Sequence[int],
        best: int,
        elsewhere: tuple[Sequence[int], Mapping[int, float]],
        now: float,
    ) -> None:
        """Credit the best copy with what a request would cost more without it."""
        copy = self.memories[best].copies.get(model)
        if copy is None:
            return
        cold, costs = elsewhere
        other = costs[best] + self._load_cost(best, model)  # it could be loaded here again
        for backend in warm:
            if backend != best and costs[backend] < other:
                other = costs[backend]
        if cold:
            cheapest = min(cold, key=costs.__getitem__)
            other = min(other, costs[cheapest] + self._load_cost(cheapest, model))
        if other > costs[best]:
            copy.earned.add(other - costs[best], now, self._scale)

    def _place(
        self, model: str, cold: Sequence[int], costs: Mapping[int, float], now: float
    ) -> tuple[int, float]:
        """Return the best backend for a load, -1 if none, and the cost of it there.

        That is the load's and that of what is dropped for it, job-seconds.
        """
        found, least, its_load = -1, (math.inf, 0), math.inf
        size = self._size(model)
        for backend in cold:
            memory = self.memories[backend]
            if memory.is_paused(model, now) or not (self._by_call or memory.loads_itself):
                continue
            victims = self._victims(memory, size, now)
            if victims is None:
                continue
            loads = 1 + sum(call.loads for call in memory.calls)
            load = self._load_cost(backend, model) * loads
            load += sum(it.earned.value(now, self._scale) for it in victims)
            rank = costs[backend] + load, len(victims)
            if rank < least:
                found, least, its_load = backend, rank, load
        return found, its_load

    def _victims(self, memory: ModelMemory, size: float, now: float) -> list[Copy] | None:
        """Return the copies to drop for a size; None if there is no room for it."""
        assert memory.capacity is not None
        victims: list[Copy] = []
        lacks = memory.taken + size - memory.capacity
        if lacks <= _ROUNDING * memory.capacity:
            return victims
        if not self._fits(memory, size):
            return None
        free = [it for it in memory.copies.values() if self._may_go(memory, it, now)]
        if self._unloads:
            free.sort(key=lambda it: (it.earned.value(now, self._scale) / it.size, it.used))
        else:  # the server's choice
            free.sort(key=lambda it: it.used)
        for copy in free:
            victims.append(copy)
            lacks -= copy.size
            if lacks <= _ROUNDING * memory.capacity:
                return victims
        return None

    def _may_go(self, memory: ModelMemory, copy: Copy, now: float) -> bool:
        if copy.pinned or copy.in_use or memory.is_paused(copy.model, now):
            return False
        loads_itself = copy.state is State.LOADING and not self._by_call
        return copy.state is State.RESIDENT or loads_itself

    def _make_room(self, backend: int, size: float, now: float) -> None:
        memory = self.memories[backend]
        for copy in self._victims(memory, size, now) or ():
            memory.evictions += 1
            if self._unloads:
                copy.turn(State.LEAVING, now)
                memory.call(copy.model, loads=False)
            else:
                del memory.copies[copy.model]

    def _may_load(self, model: str) -> bool:
        """Whether another load of a model may begin: as many at a time as there are copies."""
        states = [memory.state(model) for memory in self.memories]
        coming = sum(state in (State.QUEUED, State.LOADING) for state in states)
        return coming < max(sum(state is State.RESIDENT for state in states), 1)

    # Steps of events

    def _settled(self, backend: int, model: str) -> tuple[list[int], bool]:
        """Return the requests that wait for a model at a backend, unless it is still to come."""
        there = self.memories[backend].state(model) is State.RESIDENT
        if not there and self._comes(backend, model):
            return [], there
        return self._release(backend, model), there

    def _cancel_loads(self, memory: ModelMemory, now: float) -> None:
        """Give up the loads that are queued, as there is no room for them."""
        for call in [it for it in memory.calls if it.loads]:
            memory.pause(call.model, now)
            del memory.copies[call.model]
        memory.calls = deque(it for it in memory.calls if not it.loads)

    def _release(self, backend: int, model: str) -> list[int]:
        released = self._parked.pop((backend, model), [])
        self.waiting[backend] -= len(released)
        return released

    def _learn(self, model: str, seconds: float) -> None:
        number = self._entry(model)
        known = self.load_times[number]
        if known is None:
            self.load_times[number] = RunningRatio(seconds, 1.0)
        else:
            known.add(seconds, 1.0)
        self._scale = self._fading()

    def _add(self, backend: int, model: str, state: State, now: float) -> Copy:
        copy = Copy(model, self._size(model), state, since=now, used=now)
        self.memories[backend].copies[model] = copy
        return copy

    # Facts

    def _entry(self, model: str) -> int:
        """Number of a model's entry; -1 if it has none."""
        number = self._numbers.get(model)
        if number is None:
            fitting = (i for i, entry in enumerate(self._entries) if entry.fits(model))
            if len(self._numbers) >= MOST_NAMES:  # clients choose the names
                self._numbers.clear()
            number = self._numbers[model] = next(fitting, -1)
        return number

    def _size(self, model: str) -> float:
        return self._entries[self._entry(model)].size

    def _fits(self, memory: ModelMemory, size: float) -> bool:
        """Whether a model fits beside what is pinned."""
        pinned = sum(it.size for it in memory.copies.values() if it.pinned)
        return memory.capacity is None or pinned + size <= memory.capacity * (1.0 + _ROUNDING)

    def _serves(self, backend: int, model: str) -> bool:
        """Whether a backend serves requests for a model at once."""
        memory = self.memories[backend]
        copy = memory.copies.get(model)
        if copy is None:
            return memory.capacity is None
        if copy.state is State.LOADING:
            return not self._by_call and copy.in_use > 0
        return copy.state is State.RESIDENT

    def _lacks(self, backend: int, model: str) -> bool:
        """Whether a backend would have to load a model."""
        memory = self.memories[backend]
        copy = memory.copies.get(model)
        if copy is None:
            return memory.capacity is not None
        return not self._by_call and copy.state is State.LOADING and not copy.in_use

    def _comes(self, backend: int, model: str) -> bool:
        """Whether a model is on its way to a backend by a call."""
        return self._by_call and self.memories[backend].state(model) in _COMING

    def _cost(self, backend: int, work: float) -> float:
        """Stay of so much work at a backend, behind the requests that wait there, s."""
        jobs, rate = self._jobs(backend, self.waiting[backend] + 1)
        return work * jobs / max(rate, _STILL)

    def _load_cost(self, backend: int, model: str) -> float:
        """Cost of a load at a backend, for all jobs there and the request, job-seconds."""
        jobs, _ = self._jobs(backend, self.waiting[backend] + 1)
        return self.load_time(model) * jobs

    def _fading(self) -> float:
        """Time in which accounts fade by 1/e, s."""
        known = [it.value for it in self.load_times if it is not None]
        return _LOADS * max(max(known, default=0.0), _SHORTEST)


_COMING = (State.QUEUED, State.LOADING)
