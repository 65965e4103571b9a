"""One replication of one policy: its record, and the loop over its blocks.

A `Recorder` has an engine advance, batch by batch, and collects the figures of the blocks.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Event
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar, final

import numpy as np
import numpy.typing as npt

from isocline.errors import PolicyError
from isocline.simulate.common.growth_limit import ExplodedError
from isocline.simulate.common.kernels.latency_histogram import emptied
from isocline.simulate.common.run_settings import BATCH, SharedSettings

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

S_co = TypeVar("S_co", covariant=True)
P_co = TypeVar("P_co", covariant=True)
L_co = TypeVar("L_co", covariant=True, bound=SharedSettings)


@final
@dataclass(frozen=True, eq=False)
class Run(Generic[S_co, P_co, L_co]):
    """One replication of one policy: its outcome depends on nothing else."""

    prepared: S_co  # the system
    policy: P_co
    settings: L_co
    replication: int = 0  # with the settings' seed, key of all randomness

    def numbered(self, replication: int) -> Self:
        """Another replication of the same."""
        return replace(self, replication=replication)


@dataclass(frozen=True, eq=False, kw_only=True)
class Figures(ABC):
    """Figures of one replication in n blocks of equal length; B backends, or servers.

    Times are seconds, or slots on the slotted clock of a cluster.
    """

    arrivals: IndexArray  # (n,)
    completions: IndexArray  # (n,)
    timed: IndexArray  # (n,) completions whose latency is known
    sojourn: FloatArray  # (n,) sum of their latencies
    latencies: tuple[tuple[int, npt.NDArray[np.int32]], ...]  # per batch: first bucket, counts
    after: float  # from the horizon to the last departure, of a run that is drained
    events: int
    seconds: float  # s, that the run took
    exploded: bool  # more jobs than the machine can keep: unstable

    @property
    @abstractmethod
    def number(self) -> FloatArray:
        """(n,) mean number in the system in each block."""

    @property
    @abstractmethod
    def number_after(self) -> float:
        """Integral of the number in the system over `after`."""

    @property
    @abstractmethod
    def last_quarters(self) -> FloatArray:
        """(2, B) mean number at each in the third and in the last quarter of the run."""


class Engine(Protocol):
    """State of one run, as it is recorded."""

    @property
    def count(self) -> IndexArray:
        """(C,) counters."""
        ...

    @property
    def gauge(self) -> FloatArray:
        """(G,) sums."""
        ...

    @property
    def histogram(self) -> npt.NDArray[np.int32]:
        """Latencies since it was last emptied."""
        ...

    def drain(self) -> None:
        """Run until the last job has left, as none comes any more."""

    def rehearse(self) -> None:
        """Compile everything that a run calls."""


E = TypeVar("E", bound=Engine)
F = TypeVar("F", bound=Figures)


@final
class Columns(NamedTuple):
    """Columns of the counters and sums that both simulators record."""

    # Of `count`:
    present: int
    arrivals: int
    completions: int
    timed: int
    events: int
    # Of `gauge`:
    clock: int
    sojourn: int


class Recorder(ABC, Generic[E, F]):
    """Counters and sums of a run by block, whatever its engine."""

    columns: ClassVar[Columns]

    def __init__(self, engine: E, settings: SharedSettings, counts: IndexArray, gauges: FloatArray):
        self.engine, self.settings = engine, settings
        self.counts, self.gauges = counts, gauges  # (n, C) and (n, G)
        # What is counted after the horizon.
        self.rest = np.zeros(counts.shape[1], np.int64), np.zeros(gauges.shape[1])
        self.latencies: list[tuple[int, npt.NDArray[np.int32]]] = []
        self.after = 0.0

    @abstractmethod
    def advance(self, batch: int) -> None:
        """Run to the end of a batch of blocks, and note each block."""

    @abstractmethod
    def figures(self, **shared: Any) -> F:
        """All figures; `shared` are those of `Figures`."""

    @abstractmethod
    def left_over(self, number: int) -> str:
        """Message on a policy under which jobs are left when all others have gone."""

    def replicate(self, stop: Event | None = None) -> F | None:
        """Run to the end; None if `stop` was set meanwhile.

        Raises:
            PolicyError: The policy made a choice that it does not have, or leaves jobs for ever.
        """
        began, columns, exploded = time.perf_counter(), self.columns, False
        try:
            for batch in range(self.counts.shape[0] // BATCH):
                if stop is not None and stop.is_set():
                    return None
                self.advance(batch)
                self.latencies.append(emptied(self.engine.histogram))
            if self.settings.drain:
                self._drain()
        except ExplodedError:
            exploded = True
        return self.figures(
            arrivals=self.counted(columns.arrivals),
            completions=self.counted(columns.completions),
            timed=self.counted(columns.timed),
            sojourn=self.summed(columns.sojourn),
            latencies=tuple(self.latencies),
            after=self.after,
            events=int(self.engine.count[columns.events]),
            seconds=time.perf_counter() - began,
            exploded=exploded,
        )

    def _drain(self) -> None:
        """Run to the last departure: jobs that leave now count in the last block."""
        self.engine.drain()
        count, gauge = self.engine.count, self.engine.gauge
        if left := int(count[self.columns.present]):
            raise PolicyError(self.left_over(left))
        self.after = float(gauge[self.columns.clock]) - self.settings.horizon
        self.rest = count.copy(), gauge.copy()
        self.latencies.append(emptied(self.engine.histogram))

    def counted(self, counter: int) -> IndexArray:
        """(n,) a counter in each block, with what was counted after the horizon in the last."""
        found = self.counts[:, counter].copy()
        found[-1] += self.rest[0][counter]
        return found

    def summed(self, gauge: int) -> FloatArray:
        """(n,) likewise a sum."""
        found = self.gauges[:, gauge].copy()
        found[-1] += self.rest[1][gauge]
        return found


R = TypeVar("R")


def rehearse(run: R, engine_for: Callable[[R], Engine]) -> None:
    """Compile everything that a replication calls, so that it measures no compilation."""
    with suppress(ExplodedError):
        engine_for(run).rehearse()
