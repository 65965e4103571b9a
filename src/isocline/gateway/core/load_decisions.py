"""Decisions on loads: which work they add to a request at each backend, and what makes way for one.

They are made by `policies.routing.model_loads`, as in the simulator, from the copies that backends
have and the jobs there as policies see them. In place of a load out of turn, which no server does,
a request waits at its frontend until there is room.
"""

import math
from collections.abc import Callable, Sequence
from typing import final

from isocline.gateway.core.model_catalogue import ModelCatalogue
from isocline.gateway.core.model_memory import Copy, ModelMemory, State
from isocline.policies.routing.model_loads import (
    drain_price,
    loads_needed,
    loss,
    work_with_loads,
)

_STILL = 1e-9  # in place of a rate of 0, jobs/s
Jobs = Callable[[int, int], tuple[int, float]]
"""Number of jobs at a backend with so many more than now, and the rate then, jobs/s."""


@final
class LoadDecisions:
    """Decisions on the models of B backends."""

    def __init__(
        self,
        memories: Sequence[ModelMemory],
        catalogue: ModelCatalogue,
        jobs: Jobs,
        *,
        unloads: bool,
    ) -> None:
        """Initialise.

        Args:
            memories: Memory of each backend.
            catalogue: Models that there are.
            jobs: Jobs at a backend.
            unloads: Whether the router chooses what makes way; else the server does, by last use.
        """
        self._memories = memories
        self._catalogue = catalogue
        self._jobs = jobs
        self._unloads = unloads

    def work(self, model: str, backends: Sequence[int], now: float) -> list[float]:
        """Work of a mean request at each backend, in mean requests; inf where it cannot go."""
        if not model or not self._catalogue.has(model):
            return [self._work(b, 0.0, 0.0, 0.0, math.inf, now) for b in backends]
        size, seconds = self._catalogue.size(model), self._catalogue.load_time(model)
        loads = [self._loads(self._memories[b], model, size, now) for b in backends]
        elsewhere = math.inf
        if len(loads) > loads.count(0.0):
            holders = [b for b, needed in zip(backends, loads, strict=True) if not needed]
            elsewhere = min([self._price(b)[0] for b in holders], default=math.inf)
        return [
            self._work(b, needed, size, seconds, elsewhere, now)
            for b, needed in zip(backends, loads, strict=True)
        ]

    def remaining(self, backend: int, now: float, model: str = "") -> float:
        """Expected time until a backend has done its loads, or that of a model, s."""
        memory, total = self._memories[backend], 0.0
        for place, call in enumerate(memory.calls):
            if not call.loads:
                continue
            begun = not place and memory.under_way
            done = now - memory.copies[call.model].since if begun else 0.0
            total += max(self._catalogue.load_time(call.model) - done, 0.0)
            if call.model == model:
                break
        return total

    def victims(self, backend: int, size: float, now: float) -> list[Copy] | None:
        """Return the copies to drop for a size; None if there is no room for it."""
        memory = self._memories[backend]
        lacking = memory.lacks(size)
        if lacking <= 0.0:
            return []
        free = [it for it in memory.copies.values() if memory.may_go(it, now)]
        if self._unloads:
            free.sort(key=lambda it: (self._loss(backend, it, now) / it.size, it.used))
        else:
            free.sort(key=lambda it: it.used)
        victims: list[Copy] = []
        for copy in free:
            victims.append(copy)
            if memory.lacks(size - sum(it.size for it in victims)) <= 0.0:
                return victims
        return None

    def _work(
        self, backend: int, loads: float, size: float, seconds: float, elsewhere: float, now: float
    ) -> float:
        memory = self._memories[backend]
        if not loads and not memory.calls:
            return 1.0
        jobs, rate = self._jobs_and_rate(backend)
        makes_way = loads > 0.0 and memory.capacity is not None and memory.lacks(size) > 0.0
        still = self.remaining(backend, now)
        return work_with_loads(loads, seconds, jobs, rate, elsewhere, makes_way, still)

    def _loads(self, memory: ModelMemory, model: str, size: float, now: float) -> float:
        """Loads that a request costs at a backend; inf where it cannot go."""
        copy = memory.copies.get(model)
        if copy is not None:
            if copy.state is State.LEAVING:
                return math.inf
            return 0.0 if memory.serves(model) or memory.comes(model) else 1.0
        if memory.capacity is None:
            return 0.0
        if memory.is_paused(model, now) or not (memory.by_call or memory.loads_itself):
            return math.inf
        needed = loads_needed(False, memory.room(now), size)
        return math.inf if needed > 1.0 and memory.by_call else needed

    def _loss(self, backend: int, copy: Copy, now: float) -> float:
        """Cost of the loss of a copy, s of delay per s."""
        here, rate = self._price(backend)
        others = (
            self._price(b)[0]
            for b, memory in enumerate(self._memories)
            if b != backend and (memory.serves(copy.model) or memory.comes(copy.model))
        )
        seconds = self._catalogue.load_time(copy.model)
        elsewhere = min(others, default=math.inf)
        return loss(seconds, here, rate, elsewhere, float(copy.uses), now - copy.loaded)

    def _price(self, backend: int) -> tuple[float, float]:
        """Drain price at a backend, s, and its rate with one more job, jobs/s."""
        jobs, rate = self._jobs_and_rate(backend)
        return drain_price(jobs, rate), rate

    def _jobs_and_rate(self, backend: int) -> tuple[int, float]:
        """Jobs at a backend with one more, and its rate then, jobs/s."""
        jobs, rate = self._jobs(backend, 1)
        return jobs, max(rate, _STILL)
