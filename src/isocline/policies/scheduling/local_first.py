"""Local tasks first: the near-data paper's own policy.

Section 2.1: a task joins the shortest of its local queues; an idle server takes the first task of
its own queue, else of the longest queue, if that length exceeds a threshold, alpha / gamma: then a
remote start is sooner done than waiting, in expectation. With racks (Section 1.1 leaves it as
straightforward): own queue, else the longest of the rack, else the longest anywhere, each with its
threshold. Queues of which no task waits are passed over. Draws: one per tie, one per call.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numba import int64, uint32

from isocline.compilation.compiled import inlined_as
from isocline.errors import PolicyError
from isocline.policies.scheduling.contract import (
    CALL,
    CHANGED,
    NOBODY,
    NOTHING,
    PICK,
    RACK,
    REMOTE,
    ClusterSetting,
    ClusterView,
    CountingPolicy,
    FloatArray,
    Rules,
    never,
)
from isocline.policies.scheduling.state.columns import IDLE, LENGTH, SERVING, WAITING
from isocline.policies.scheduling.state.idle_servers import member_count, random_member
from isocline.policies.scheduling.state.longest_queue import any_longest, set_key, top_key
from isocline.policies.scheduling.state.shortest_queue import shortest_route

# Option 0 is what keys are counted from: no queue of this length is of interest. Options RACK and
# REMOTE are the thresholds.
BASE = 0


@inlined_as(CALL)
def own_else_helper(local: Any, queue: int, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """The queue's server if it is idle, else an idle one that the queue is long enough for."""
    q = uint32(queue)
    if view.columns[q, SERVING] == IDLE:
        return queue
    if member_count(view.idle, 0) == 0 or view.columns[q, WAITING] == 0:
        return NOBODY
    length = view.columns[q, LENGTH]
    if view.racks > 1 and length > view.option[RACK]:
        group = 1 + int64(view.rack[q])
        if member_count(view.idle, group) > 0:
            return random_member(view.idle, group, rng)
    if length > view.option[REMOTE]:
        return random_member(view.idle, 0, rng)
    return NOBODY


@inlined_as(PICK)
def own_else_longest(server: int, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """Its own queue, else the longest of its rack, else the longest anywhere."""
    if view.columns[uint32(server), WAITING] > 0:
        return server
    longest = top_key(view.columns, view.longest, 0)
    if longest == 0:
        return NOBODY
    base = view.option[BASE]
    if view.racks > 1:
        group = 1 + int64(view.rack[uint32(server)])
        key = top_key(view.columns, view.longest, group)
        if key > 0 and base + key > view.option[RACK]:
            return any_longest(view.columns, view.longest, group, rng)
    if base + longest > view.option[REMOTE]:
        return any_longest(view.columns, view.longest, 0, rng)
    return NOTHING


@inlined_as(CHANGED)
def keep_longest(queue: int, view: ClusterView) -> None:
    """The key of a queue of which a task waits is its length over the base."""
    q = uint32(queue)
    over: int = view.columns[q, LENGTH] - int64(view.option[BASE])
    key = over if over > 0 and view.columns[q, WAITING] > 0 else 0
    rack = int64(view.rack[q]) if view.racks > 1 else -1
    set_key(view.columns, view.longest, queue, key, rack)


@final
@dataclass(frozen=True)
class LocalFirst(CountingPolicy):
    """`threshold` and `rack_threshold` in tasks; by default local over remote, and rack, rate."""

    name: ClassVar[str] = "local_first"
    relieves: ClassVar[bool] = True
    threshold: float | None = None
    rack_threshold: float | None = None
    count: str = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("threshold", "rack_threshold"):
            value = getattr(self, option)
            if value is not None and not value >= 0:
                raise PolicyError(f"{self.name}:{option}={value:g}: give 0 or more tasks")

    def rules(self, setting: ClusterSetting) -> Rules:
        return Rules(
            shortest_route(setting), own_else_helper, own_else_longest, never, keep_longest
        )

    def option(self, setting: ClusterSetting) -> FloatArray:
        local, rack, remote = setting.rate
        far = local / remote if self.threshold is None else self.threshold
        near = local / rack if self.rack_threshold is None else self.rack_threshold
        least = min(near, far) if setting.racks > 1 else far
        return np.array([np.floor(min(least, 2.0**30)), near, far])

    def keeps_longest(self, setting: ClusterSetting) -> bool:  # noqa: ARG002
        return True

    @property
    def reading(self) -> str:
        far = "local / remote rate" if self.threshold is None else f"{self.threshold:g}"
        return f"{super().reading}; threshold {far}"
