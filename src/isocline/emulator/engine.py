"""Engine of one server: requests in service, on a clock that it is given."""

import random
from collections.abc import Callable
from dataclasses import replace
from math import inf
from time import time
from typing import final

import numpy as np

from isocline.emulator.completion_request import CompletionRequest
from isocline.emulator.faults import Faults
from isocline.emulator.generation import Generation, Generations
from isocline.emulator.metrics import Metrics
from isocline.emulator.models import ModelStore
from isocline.emulator.prefix_cache import PrefixCache
from isocline.emulator.settings import Settings
from isocline.event_loop.clock import Clock
from isocline.model.curves import Curve

# Tokens less than this apart, in s, are sent together; ends of requests are never put off.
_STEP = 0.001
_SIZES_AHEAD = 1024


@final
class Engine:
    """Serves requests; all calls come from its event loop."""

    def __init__(
        self, settings: Settings, clock: Clock, unix_time: Callable[[], float] = time
    ) -> None:
        """Make it on the running event loop; `unix_time`, s since 1970, is what answers tell."""
        self.now = clock.now
        self.unix_time = unix_time
        self.started = int(unix_time())
        self.settings = settings
        self.faults = settings.faults
        self.curve = settings.curve
        self.random = random.Random(settings.seed)
        self._rates = Rates(self.curve)
        self._generations = Generations(self._rate_at, settings.max_num_seqs, self.now())
        self.sharing = self._generations.sharing
        self.models: ModelStore | None = None
        if settings.loadable:
            known = settings.loadable, settings.models, settings.on_demand
            self.models = ModelStore(inf if settings.memory is None else settings.memory, *known)
        self.metrics = Metrics(settings.metrics_model, self.sharing, self._adapters())
        self._in_service: list[tuple[str, Generation]] = []  # where models are loaded
        self._numpy = np.random.default_rng(settings.seed)
        held = settings.cache_tokens
        self._cache = None if held is None else PrefixCache(held, settings.block_size)
        self._sizes: list[float] = []
        self._last = -inf  # when tokens were sent
        self._alarm = clock.alarm(self.wake)

    def read(self, completion: CompletionRequest) -> CompletionRequest:
        """Read a prompt into the cache; returns the request with what was there before."""
        if self._cache is None:
            return completion
        tokens = completion.prompt_tokens
        cached = self._cache.read(completion.prompt, tokens, completion.model)
        self.metrics.prefix_queries.inc(tokens)
        self.metrics.prefix_hits.inc(cached)
        return replace(completion, cached_tokens=cached)

    def work(self, completion: CompletionRequest) -> tuple[float, float]:
        """Work of a request and, of that, its prefill; draws its size."""
        read = completion.prompt_tokens - (completion.cached_tokens or 0)
        prefill = self.settings.prefill * read
        total = prefill + self.settings.decode * completion.output_tokens
        if not self._sizes:
            self._sizes = self.settings.sizes.sample(self._numpy, _SIZES_AHEAD).tolist()
        size = self._sizes.pop()
        work = size * (total if self.settings.unit == "tokens" else 1.0)
        return work, work * prefill / total

    def note_use(self, model: str, generation: Generation) -> None:
        """Note the model that a request uses as long as it is served."""
        if self.models is not None:
            self._in_service = [it for it in self._in_service if not it[1].gone]
            self._in_service.append((model, generation))

    def submit(self, generation: Generation) -> None:
        """Serve a request from now on."""
        self._generations.advance(self.now())
        self._generations.admit(generation)
        self._set()

    def withdraw(self, generation: Generation) -> None:
        """Its client is gone."""
        if not generation.gone:
            self._generations.advance(self.now())
            self.sharing.withdraw(generation)
            self._set()

    def wake(self) -> None:
        """Do what is due."""
        self._last = now = self.now()
        self._generations.advance(now)
        if self.models is not None and self.models.ends <= now:
            loaded = self.models.advance(now)
            self.sharing.change(self._rate_at)
            for then in loaded:
                then()
        self._set()

    def models_in_use(self) -> set[str]:
        """Models of the requests in service."""
        return {model for model, it in self._in_service if not it.gone}

    def load(self, name: str, then: Callable[[], None], on_demand: bool) -> None:
        """Load a model, and call `then`; raises ApiError if that cannot be."""
        assert self.models is not None
        now = self.now()
        self._generations.advance(now)
        if on_demand:
            self.models.demand(name, now, then, self.models_in_use())
        else:
            self.models.load(name, now, then)
        self.sharing.change(self._rate_at)
        self._set()

    def set_faults(self, faults: Faults) -> None:
        """Go wrong in these ways from now on."""
        self._generations.advance(self.now())
        self.faults = faults
        self.sharing.change(self._rate_at)
        self._set()

    def set_curve(self, curve: Curve) -> None:
        """Serve at another curve from now on, also what is in service."""
        self._generations.advance(self.now())
        self.curve, self._rates = curve, Rates(curve)
        self.sharing.change(self._rate_at)
        self._set()

    def close(self) -> None:
        """Serve no more."""
        self._alarm.close()

    def _adapters(self) -> Callable[[], tuple[set[str], int, float]] | None:
        """Facts for the metrics: models in service, how many are loaded, and s since 1970."""
        store = self.models
        if store is None:
            return None
        return lambda: (self.models_in_use(), len(store.resident), self.unix_time())

    def _rate_at(self, jobs: int) -> float:
        if self.models is not None and self.models.ends < inf:
            return 0.0  # it loads a model
        return self._rates.at(jobs) / self.faults.slow

    def _set(self) -> None:
        token = max(self._generations.next_token(), self._last + _STEP)
        loaded = inf if self.models is None else self.models.ends
        self._alarm.set(min(self.sharing.next_end(), token, loaded))


@final
class Rates:
    """Rates l(0), l(1), ... of a curve, computed ahead in blocks that double."""

    def __init__(self, curve: Curve) -> None:
        self._curve = curve
        self._rates: list[float] = []

    def at(self, jobs: int) -> float:
        """l(jobs), in work per second."""
        while jobs >= len(self._rates):
            known = len(self._rates)
            ahead = np.arange(known, max(2 * known, 64))
            self._rates += self._curve.rate(ahead).tolist()
        return self._rates[jobs]
