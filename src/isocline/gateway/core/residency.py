"""Models and adapters that backends hold, load and drop, as a router decides on them.

A request whose model is not resident at a backend costs its load there, which `load_decisions` adds
to its work; so the policy sends it to the backend of least work x price, cold or not. If it goes
where the model is not, and the router loads models, the load begins with it: it waits for that at
the backend, counted among the jobs there, as do all that follow it there until the model is
resident. A policy that does not look at models is shown the backends that have the model alone,
and if there are none those that can load it.
"""

import math
import zlib
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from isocline.gateway.core.load_decisions import Jobs, LoadDecisions
from isocline.gateway.core.load_waiters import LoadWaiters, Waits
from isocline.gateway.core.model_catalogue import KnownModel, ModelCatalogue
from isocline.gateway.core.model_memory import (
    LONGEST_PAUSE,
    Copy,
    ModelCall,
    ModelMemory,
    State,
)


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


@final
class Residency:
    """Models at B backends.

    Attributes:
        catalogue: Models that there are.
        memories: Memory of each backend.
        waiters: Requests that wait for loads.
    """

    def __init__(self, setting: ResidencySetting, jobs: Jobs, waits: Waits) -> None:
        """Initialise; nothing is resident but what is pinned.

        Args:
            setting: Facts of backends and models.
            jobs: Jobs at a backend.
            waits: Called when so many more requests wait at a backend, or fewer.
        """
        by_call, unloads = setting.by_call, setting.unloads
        self.memories = [ModelMemory(capacity, by_call) for capacity in setting.capacities]
        self.catalogue = ModelCatalogue(setting.entries)
        self.waiters = LoadWaiters(len(self.memories), waits)
        self._decisions = LoadDecisions(self.memories, self.catalogue, jobs, unloads=unloads)
        self._by_call, self._unloads = by_call, unloads
        for backend, names in enumerate(setting.pinned):
            for name in names:
                self._add(backend, name, State.RESIDENT, -math.inf).pinned = True

    # Decisions

    def manages(self, model: str) -> bool:
        """Whether a model is one of the file's."""
        return self.catalogue.has(model)

    def work(self, model: str, backends: Sequence[int], now: float) -> list[float]:
        """Work of a mean request at each backend, see `LoadDecisions.work`.

        Where backends load by themselves, and none can load a model as far as is known, one may
        have it for all that: then they are alike.
        """
        found = self._decisions.work(model, backends, now)
        return found if self._by_call or min(found) < math.inf else [1.0] * len(found)

    def holders(self, model: str) -> frozenset[int] | None:
        """Backends that serve a model at once; None: all are alike to it."""
        if not self.manages(model):
            return None
        return frozenset(b for b, memory in enumerate(self.memories) if memory.serves(model))

    def best(self, model: str, backends: list[int]) -> list[int]:
        """Backends of these that have a model, or soon will; else those with free memory for it.

        If there are none of either, all.
        """
        size = self.catalogue.size(model)
        found = [(b, self.memories[b]) for b in backends]
        have = [b for b, memory in found if memory.serves(model) or memory.comes(model)]
        return have or [b for b, memory in found if memory.lacks(size) <= 0.0] or backends

    def must_wait(self, backend: int, model: str, now: float) -> bool:
        """Whether a request that goes to a backend waits there; begins its load if none comes."""
        memory = self.memories[backend]
        if not (self._by_call and self.manages(model)) or memory.serves(model):
            return False
        if not memory.comes(model):
            self._make_room(backend, self.catalogue.size(model), now)
            self._add(backend, model, State.QUEUED, now)
            memory.call(model, loads=True)
        return True

    def refusal(self, model: str, backends: Sequence[int], now: float) -> float | None:
        """Return for how long no backend can load a model, s; None: it may wait for room."""
        size, pauses = self.catalogue.size(model), [LONGEST_PAUSE]
        for memory in (self.memories[b] for b in backends):
            if memory.state(model) is not None or memory.ever_fits(size):
                if not memory.is_paused(model, now):
                    return None
                pauses.append(memory.paused[model][0] - now)
        return min(pauses)

    def take_calls(self, now: float) -> list[tuple[int, ModelCall]]:
        """Begin the calls that are due; returns backend and call of each."""
        if not self._by_call:
            return []
        begun = ((b, memory.begin(now)) for b, memory in enumerate(self.memories) if memory.calls)
        return [(backend, call) for backend, call in begun if call is not None]

    # Events of requests

    def park(self, backend: int, model: str, request: int, now: float) -> None:
        """Let a request wait for a model that is on its way to a backend."""
        self.memories[backend].copies[model].ask(now)
        self.waiters.park(backend, model, request)

    def sent(self, backend: int, model: str, now: float, *, asked: bool) -> Copy | None:
        """A request for a model goes to a backend; returns the copy that it uses, if any.

        `asked`: it has waited for it there, and so has asked for it before.
        """
        memory = self.memories[backend]
        if not self.manages(model) or memory.capacity is None:
            return None
        copy = memory.copies.get(model)
        if copy is None:
            if self._by_call or not memory.loads_itself:
                return None  # it may be there, for all that is known
            copy = self._add(backend, model, State.LOADING, now)
            memory.loads += 1
        copy.begin_use()
        if not asked:
            copy.ask(now)
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
            memory.remove(model)

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
                    memory.remove(call.model)
            elif copy is not None and copy.state is State.LOADING:
                self.catalogue.learn(call.model, now - copy.since)
                copy.turn(State.RESIDENT, now)
                memory.paused.pop(call.model, None)
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
                    memory.remove(call.model)
        gone: list[int] = []
        for model in self.waiters.models(backend):
            if memory.state(model) is None or memory.state(model) is State.LEAVING:
                gone += self.waiters.release(backend, model)
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
        there = {name for name in names if self.manages(name)}
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
                    memory.remove(name)
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
                memory.remove(name)
        models = self.waiters.models(backend)
        return [it for model in models for it in self.waiters.release(backend, model)], False

    def take_over(self, before: "Residency", backends: Mapping[int, int]) -> None:
        """Take over the memories of backends: number here to number there.

        They are then those of both, as requests of the earlier core still use copies.
        """
        for backend, number in backends.items():
            memory, past = self.memories[backend], before.memories[number]
            if memory.capacity is None or past.capacity is None:
                continue
            past.capacity = memory.capacity
            past.changed()
            for name, copy in memory.copies.items():  # what the file pins now
                past.copies.setdefault(name, copy).pinned = True
                past.copies[name].home = past
            self.memories[backend] = past

    # Observable state

    def load_time(self, model: str) -> float:
        """Expected time of a load, s."""
        return self.catalogue.load_time(model)

    def remaining(self, backend: int, model: str, now: float) -> float:
        """Expected time until a model that is on its way to a backend is there, s."""
        return self._decisions.remaining(backend, now, model)

    # Steps

    def _make_room(self, backend: int, size: float, now: float) -> None:
        memory = self.memories[backend]
        for copy in self._decisions.victims(backend, size, now) or ():
            memory.evictions += 1
            if self._unloads:
                copy.turn(State.LEAVING, now)
                memory.call(copy.model, loads=False)
            else:
                memory.remove(copy.model)

    def _settled(self, backend: int, model: str) -> tuple[list[int], bool]:
        """Return the requests that wait for a model at a backend, unless it is still to come."""
        there = self.memories[backend].state(model) is State.RESIDENT
        if not there and self.memories[backend].comes(model):
            return [], there
        return self.waiters.release(backend, model), there

    def _cancel_loads(self, memory: ModelMemory, now: float) -> None:
        """Give up the loads that are queued, as there is no room for them."""
        for call in [it for it in memory.calls if it.loads]:
            memory.pause(call.model, now)
            memory.remove(call.model)
        memory.calls = deque(it for it in memory.calls if not it.loads)

    def _add(self, backend: int, model: str, state: State, now: float) -> Copy:
        return self.memories[backend].add(model, self.catalogue.size(model), state, now)


def number_of(model: str) -> int:
    """Number by which policies know a model, the same in all processes."""
    return zlib.crc32(model.encode())
