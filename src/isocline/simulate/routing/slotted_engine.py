"""Engine of the slotted clock."""

import math
from typing import Any, final

import numpy as np
import numpy.typing as npt

from isocline.randomness.draws import stream
from isocline.simulate.common.random_streams import ARRIVALS
from isocline.simulate.routing.engines import JobEngine, RoutingRun
from isocline.simulate.routing.kernels.departures import LARGEST, Departures, departures
from isocline.simulate.routing.kernels.held_jobs import held, with_room
from isocline.simulate.routing.kernels.slotted import LOOKED, Slotted, run_slots

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


@final
class SlottedEngine(JobEngine):
    """Arrivals, routing and departures slot by slot; a policy may hold jobs."""

    def __init__(self, run: RoutingRun):
        settings, system = run.settings, run.prepared.system
        assert settings.slots is not None  # else the choice of engines is wrong
        self.slots = slots = settings.slots
        self.timed = settings.percentiles or run.policy.needs_latency
        super().__init__(run)
        graph = system.graph
        self.held = held(graph.sources)
        mean = float(system.rates.sum()) * slots.length
        self.slotted = Slotted(
            slots.length,
            mean,
            math.exp(-mean) if mean <= LARGEST else 0.0,
            self._law(),
            stream(settings.seed, run.replication, ARRIVALS),
            np.zeros(graph.sinks, np.int32),
            np.array([-1, 0, 0], np.int64),
            np.empty(0),
            np.empty((0, graph.sinks), np.int32),
        )

    def look(self, times: FloatArray) -> IntArray:
        seen = np.empty((times.size, self.start.size), np.int32)
        self.slotted.left[LOOKED] = 0
        self.slotted = self.slotted._replace(times=times, seen=seen)
        self.advance(float(times[-1]))
        return seen

    def _law(self) -> Departures:
        return departures(self.slots.law, self.system.rate * self.slots.length)

    def _enlarge_tables(self) -> None:
        super()._enlarge_tables()
        self.slotted = self.slotted._replace(law=self._law())

    def _enlarge_arena(self) -> None:
        if np.any(self.held.waiting >= self.held.jobs.room):
            self.held = with_room(self.held)
        else:
            super()._enlarge_arena()

    def _counts(self) -> Any:
        return self.view.workload + self.slotted.arrived

    def _kernel(self, until: float) -> int:
        return run_slots(
            self.choose,
            self.observe,
            self.view,
            self.system,
            self.streams,
            self.jobs,
            self.held,
            self.slotted,
            self.count,
            self.gauge,
            self.histogram,
            until,
            self.timed,
            self.policy.needs_latency,
        )
