"""Backends under processor sharing before a core, on virtual time."""

from collections.abc import Sequence

import numpy as np

from isocline.gateway.core.actions import Send
from isocline.gateway.core.core import Core
from isocline.gateway.core.request_cost import Usage
from isocline.gateway.metrics import Recorder
from isocline.model.curves import Curve
from tests.gateway.metrics.seeing import access


class Shared:
    """Backends with curves in tokens/s, shared by what a core sends them; exact."""

    def __init__(self, core: Core, curves: Sequence[Curve], statistics: Recorder) -> None:
        self.now = 0.0
        self.most = 0  # jobs anywhere at a time
        self._core = core
        self._curves = curves
        self._statistics = statistics
        # Of each backend: request, tokens left, tokens, frontend, when it came.
        self._held: list[list[tuple[int, float, int, int, float]]] = [[] for _ in curves]

    def run(self, arrivals: Sequence[tuple[float, int, int]]) -> None:
        """Serve (time, frontend, tokens) of each request to its end."""
        for time, frontend, tokens in arrivals:
            self._until(time)
            self._core.tick(time)
            action = self._core.arrived(time, frontend)
            assert isinstance(action, Send)
            job = (action.request, float(tokens), tokens, frontend, time)
            self._held[action.backend].append(job)
            self.most = max(self.most, sum(map(len, self._held)))
        self._until(np.inf)
        self._core.tick(self.now)

    def _until(self, time: float) -> None:
        while True:
            ends = [self._next(b) for b in range(len(self._curves))]
            backend = int(np.argmin(ends))
            if ends[backend] > time:
                break
            if not np.isfinite(ends[backend]):
                return
            self._serve(ends[backend])
            jobs = self._held[backend]
            request, _, tokens, frontend, came = jobs.pop(
                int(np.argmin([left for _, left, *_ in jobs]))
            )
            self._core.finished(request, self.now, usage=Usage(0, tokens))
            self._statistics.observer(
                access(frontend, backend, at=came, wait=0.0, duration=self.now - came)
            )
        self._serve(time)

    def _rate(self, backend: int) -> float:
        jobs = len(self._held[backend])
        return float(self._curves[backend].rate(jobs)) / jobs

    def _next(self, backend: int) -> float:
        jobs = self._held[backend]
        if not jobs:
            return np.inf
        return self.now + max(min(left for _, left, *_ in jobs), 0.0) / self._rate(backend)

    def _serve(self, time: float) -> None:
        for backend, jobs in enumerate(self._held):
            if jobs:
                done = self._rate(backend) * (time - self.now)
                jobs[:] = [(r, left - done, *rest) for r, left, *rest in jobs]  # type: ignore[misc]
        self.now = time


def poisson(
    rate: float, requests: int, frontends: int, tokens: tuple[int, int], seed: int
) -> list[tuple[float, int, int]]:
    """So many requests, of uniform length, at random among the frontends."""
    rng = np.random.default_rng(seed)
    times = rng.exponential(1.0 / rate, requests).cumsum()
    return [
        (float(time), int(rng.integers(frontends)), int(rng.integers(*tokens))) for time in times
    ]
