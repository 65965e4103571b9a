"""Requests that wait until their model is loaded at the backend to which they will go."""

from collections.abc import Callable
from typing import final

Waits = Callable[[int, int], None]
"""Note that so many more requests wait at a backend, or fewer."""


@final
class LoadWaiters:
    """Waiting requests by backend and model.

    Attributes:
        counts: Number of them at each backend.
    """

    def __init__(self, backends: int, waits: Waits) -> None:
        """Initialise; `waits` is called with each change of a count."""
        self.counts = [0] * backends
        self._waits = waits
        self._parked: dict[tuple[int, str], list[int]] = {}

    def park(self, backend: int, model: str, request: int) -> None:
        """Let a request wait for a model that is on its way to a backend."""
        self._parked.setdefault((backend, model), []).append(request)
        self._count(backend, 1)

    def unpark(self, backend: int, model: str, request: int) -> None:
        """Forget a request that waits."""
        waiting = self._parked[backend, model]
        waiting.remove(request)
        self._count(backend, -1)
        if not waiting:
            del self._parked[backend, model]

    def number(self, backend: int, model: str) -> int:
        """Number of requests that wait for a model at a backend."""
        return len(self._parked.get((backend, model), ()))

    def models(self, backend: int) -> list[str]:
        """Models that requests wait for at a backend."""
        return [model for at, model in self._parked if at == backend]

    def release(self, backend: int, model: str) -> list[int]:
        """Forget the requests that wait for a model at a backend; returns them."""
        released = self._parked.pop((backend, model), [])
        self._count(backend, -len(released))
        return released

    def release_all(self) -> list[int]:
        """Forget all requests that wait; returns them."""
        return [it for key in list(self._parked) for it in self.release(*key)]

    def _count(self, backend: int, more: int) -> None:
        if more:
            self.counts[backend] += more
            self._waits(backend, more)
