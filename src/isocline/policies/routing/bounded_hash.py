"""Bounded hash: consistent hashing by prefix, past backends that have more than their bound.

V. Mirrokni, M. Thorup and M. Zadimoghaddam, *Consistent Hashing with Bounded Loads*, SODA 2018:
no backend gets more than `bound` times its share of all jobs, those over theirs are passed over.
The order of the backends is by rendezvous (Thaler and Ravishankar, 1998), weighted by capacity
(`weighted`) as shares are: each key finds the same backends in the same order, and one that leaves
moves no other key.

Where all jobs are alike none has a prefix: each is a key of its own, so it goes by lot, within the
bounds. Draws: one if there is no prefix. Memory: none.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numba import uint64

from isocline.compilation.compiled import inlinable, value_as
from isocline.errors import PolicyError
from isocline.policies.routing.contract import (
    CHOOSE,
    PREFIX,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
    no_table,
)
from isocline.randomness.draws import bits, unit


@inlinable
def mixed(key: Any) -> Any:
    """A hash of 64 bits: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    key = uint64(key) + uint64(0x9E3779B97F4A7C15)
    key = (key ^ (key >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> uint64(27))) * uint64(0x94D049BB133111EB)
    return key ^ (key >> uint64(31))


@inlinable
def place_in_order(key: Any, backend: Any, weight: float) -> float:
    """Place of a backend in the order of a key: the greatest comes first.

    An exponential race: the least -log(u) / weight wins with chances as the weights.
    """
    draw = unit(mixed(key ^ mixed(backend)))
    return weight / -math.log1p(-draw) if draw > 0.0 else np.inf


@value_as(CHOOSE)
def first_in_bounds(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """The first backend in the order of the key that is below its bound."""
    if view.job.shape[0] > 0:
        key = mixed(int(view.job[PREFIX]))
    else:
        key = bits(rng)
    jobs, weight = 1.0, 0.0  # this job counts
    for edge in candidates:
        jobs += view.workload[view.backend[edge]]
        weight += view.parameter[edge, 0]
    best, longest = candidates[0], -1.0
    for edge in candidates:
        backend = view.backend[edge]
        share = view.parameter[edge, 0] / weight
        # Rounded up, so that one is always below its bound: together the bounds exceed the jobs.
        if view.workload[backend] + 1.0 > math.ceil(view.option[0] * jobs * share):
            continue
        value = place_in_order(key, backend, share)
        if value > longest:
            best, longest = edge, value
    return best  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class BoundedHash(RoutingPolicy):
    """By the hash of the prefix, among backends with at most `bound` times their share of jobs."""

    name: ClassVar[str] = "bounded_hash"
    choose = first_in_bounds
    reads_tokens: ClassVar[bool] = True
    shares_kernel: ClassVar[bool] = True
    bound: float = 1.25
    weighted: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.bound) and self.bound > 1):
            raise PolicyError(f"bounded_hash:bound={self.bound:g}: bound is a number above 1")

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return no_table(setting, workloads)

    def parameter(self, setting: Setting) -> FloatArray:
        """(E, 1) weight of the backend: its capacity, jobs/s, or 1."""
        weight = setting.capacities[setting.graph.sink]
        return (weight if self.weighted else np.ones_like(weight))[:, None].copy()

    def option(self) -> FloatArray:
        return np.array([self.bound])
