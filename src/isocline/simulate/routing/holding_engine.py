"""Engine of policies that may hold jobs at their frontends, in continuous time."""

from typing import final

import numpy as np

from isocline.simulate.routing.engines import ListEngine
from isocline.simulate.routing.kernels.held_jobs import held, with_room
from isocline.simulate.routing.kernels.holding import onlookers, share_held


@final
class HoldEngine(ListEngine):
    """Any arrivals and sizes, given as a list, and queues at the frontends."""

    def _fill(self) -> None:
        super()._fill()
        graph = self.prepared.system.graph
        self.held = held(graph.sources)
        self.onlookers = onlookers(graph)

    def _enlarge_arena(self) -> None:
        if np.any(self.held.waiting >= self.held.jobs.room):
            self.held = with_room(self.held)
        else:
            super()._enlarge_arena()

    def _kernel(self, until: float) -> int:
        return share_held(
            self.choose,
            self.observe,
            self.view,
            self.system,
            self.streams,
            self.jobs,
            self.held,
            self.onlookers,
            self.clocks,
            self.race,
            self.arriving,
            self.count,
            self.gauge,
            self.histogram,
            until,
            self.policy.needs_latency,
        )
