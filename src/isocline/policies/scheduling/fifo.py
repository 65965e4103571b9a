"""First in, first out: any idle server takes the oldest task, wherever its data is.

One queue for all, as Hadoop's first scheduler had. No server is idle while a task waits, and yet
with many servers nearly every task runs remotely: stable only while all of them together could run
all tasks from afar. Draws: one per arrival that finds an idle server.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, final

from isocline.compilation.compiled import inlined_as
from isocline.policies.scheduling.contract import (
    CALL,
    NOBODY,
    PICK,
    ROUTE,
    ClusterSetting,
    ClusterView,
    Rules,
    SchedulingPolicy,
    keep_nothing,
    never,
)
from isocline.policies.scheduling.state.common_queue import common, random_idle, waits_in_common


@inlined_as(ROUTE)
def to_common(local: Any, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """The common queue."""
    return common(view)


@inlined_as(CALL)
def random_idle_for_common(local: Any, queue: int, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """A random idle server while a task waits."""
    return random_idle(view, rng) if waits_in_common(view) else NOBODY


@inlined_as(PICK)
def from_common(server: int, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """The common queue."""
    return common(view) if waits_in_common(view) else NOBODY


@final
@dataclass(frozen=True)
class Fifo(SchedulingPolicy):
    """No options."""

    name: ClassVar[str] = "fifo"
    by_data: ClassVar[bool] = True

    def rules(self, setting: ClusterSetting) -> Rules:  # noqa: ARG002
        return Rules(to_common, random_idle_for_common, from_common, never, keep_nothing)

    def queues(self, setting: ClusterSetting) -> int:
        return setting.size + 1
