"""Measured part of the replications of one policy, and the figures that both simulators take of it.

Estimates of a policy, its trend and its warm-up are all read from here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar, final

import numpy as np
import numpy.typing as npt

from isocline.simulate.common.replication import Figures

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

F = TypeVar("F", bound=Figures)


class Blocks(NamedTuple):
    """R replications of one policy, in n blocks each."""

    number: FloatArray  # (R, n) mean number in the system
    completions: IndexArray  # (R, n)
    arrivals: IndexArray  # (R, n)
    timed: IndexArray  # (n,) completions whose latency is known, of all replications
    sojourn: FloatArray  # (n,) sum of their latencies


def blocks_of(reps: Sequence[Figures]) -> Blocks:
    """Block means for the warm-up and the verdict on stability."""
    return Blocks(
        np.array([rep.number for rep in reps]),
        np.array([rep.completions for rep in reps]),
        np.array([rep.arrivals for rep in reps]),
        np.sum([rep.timed for rep in reps], axis=0),
        np.sum([rep.sojourn for rep in reps], axis=0),
    )


@final
@dataclass(frozen=True, eq=False)
class Measured(Generic[F]):
    """R replications of one policy from the end of the warm-up on.

    Times are seconds, or slots on the slotted clock of a cluster.
    """

    reps: Sequence[F]
    ends: FloatArray  # (n,) the end of each block
    skip: int  # blocks of the warm-up
    uneven: bool = False  # blocks may differ in length, as those of whole slots do

    @property
    def begin(self) -> float:
        """End of the warm-up."""
        return float(self.ends[self.skip - 1]) if self.skip else 0.0

    @property
    def length(self) -> float:
        """Length of the measured part."""
        return float(self.ends[-1] - self.begin)

    def total(self, name: str) -> Any:
        """(R,) the sum over the measured blocks of a figure that each block has, or two."""
        return np.array([getattr(rep, name)[self.skip :].sum() for rep in self.reps])

    def time_mean(self, values: FloatArray) -> float:
        """Mean over time of (n,) block means."""
        if not self.uneven:
            return float(values[self.skip :].mean())
        return float(
            np.average(values[self.skip :], weights=np.diff(self.ends, prepend=0.0)[self.skip :])
        )

    @property
    def arrived(self) -> FloatArray:
        """(R,) arrivals per unit of time."""
        return np.array([rep.arrivals[self.skip :].sum() / self.length for rep in self.reps])

    @property
    def completed(self) -> int:
        """Completions in all replications."""
        return sum(int(rep.completions[self.skip :].sum()) for rep in self.reps)

    @property
    def numbers(self) -> FloatArray:
        """(R,) mean number in the system.

        What is spent there after the horizon of a drained run counts, too, as it does in latencies.
        So L = lambda W exactly, and L orders policies as W does.
        """
        after = np.array([rep.number_after for rep in self.reps]) / self.length
        return np.array([self.time_mean(rep.number) for rep in self.reps]) + after

    def latencies(self, rate: float | FloatArray) -> FloatArray:
        """(R,) mean latency: of those timed, or by Little's law, at this `rate`, where none was."""
        timed = self.total("timed")
        if timed.min() == 0:
            return np.asarray(self.numbers / rate)
        return np.asarray(self.total("sojourn") / timed)

    def littles_law(self, rate: float, left: int, waited: float) -> float:
        """|L - lambda W| / L, where `left` spent `waited` in the system together; nan without W."""
        number = float(self.numbers.mean())
        if left == 0 or not number:
            return float("nan")
        return abs(number - rate * (waited / left)) / number


def speed_of(reps: Sequence[Figures]) -> dict[str, Any]:
    """Numbers over time, and events, of any replications; those of `PolicyFigures`."""
    seconds, events = sum(rep.seconds for rep in reps), sum(rep.events for rep in reps)
    return {
        "total_over_time": np.mean([rep.number for rep in reps], axis=0) if reps else np.empty(0),
        "events": events,
        "events_per_second": events / max(seconds, 1e-9),
    }


def growing(reps: Sequence[Figures], names: Sequence[str]) -> list[str]:
    """Backends or servers whose number in the last quarter is well above that in the third."""
    third, last = np.mean([rep.last_quarters for rep in reps], axis=0)
    # A quarter of linear growth from an empty start raises the mean by 7/5.
    return [name for name, a, b in zip(names, third, last, strict=True) if b > 1.15 * a + 1.0]


def differences(values: FloatArray, others: FloatArray) -> FloatArray:
    """(R,) values - others, paired; 0 where only the rounding of their sums differs."""
    found = values - others
    return np.where(np.abs(found) <= 1e-12 * np.abs(others), 0.0, found)
