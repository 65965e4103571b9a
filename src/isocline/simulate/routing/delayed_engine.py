"""Engine of delays: every frontend has its own, late, view of its backends."""

from typing import Any, final

import numpy as np

from isocline.simulate.common.random_streams import PHASES, random_stream
from isocline.simulate.routing.delay import Delay
from isocline.simulate.routing.engines import JobEngine, RoutingRun
from isocline.simulate.routing.kernels.delay_queue import is_full, ring, widened
from isocline.simulate.routing.kernels.delayed import Network, run_delayed


@final
class DelayedEngine(JobEngine):
    """Engine of travelling jobs and late reports; Poisson arrivals and exponential sizes."""

    def __init__(self, run: RoutingRun):
        self.delay = run.prepared.delay or Delay()
        self.phases = random_stream(run.settings.seed, run.replication, PHASES)
        super().__init__(run)

    @property
    def workload(self) -> Any:
        return self.net.workload

    def _counts(self) -> Any:
        return self.net.workload

    def _fill(self) -> None:
        super()._fill()
        graph, delay = self.prepared.system.graph, self.delay
        phase = self.phases.random(graph.sinks) * delay.every
        turn = np.argsort(phase, kind="stable")
        self.net = Network(
            self.start.copy(),
            self.view.row,
            graph.sink.copy(),
            graph.sink_first.copy(),
            graph.edge_into.copy(),
            np.zeros(graph.edges, np.int32),
            phase[turn],
            turn.astype(np.int32),
            np.zeros(1, np.int64),
            np.zeros(1),
            ring(),
            ring(),
            delay.travel,
            delay.report,
            delay.every,
            delay.own,
        )
        for backend in np.flatnonzero(self.start):  # news of their end needs an edge to go by
            first, count = self.jobs.start[backend], self.start[backend]
            self.jobs.edge[first : first + count] = graph.edge_into[graph.sink_first[backend]]
        self.view = self.view._replace(
            backend=np.arange(graph.edges, dtype=np.int32),
            workload=self.start[graph.sink],
            row=self.view.row[graph.sink],
        )

    def rehearse(self) -> None:
        super().rehearse()
        is_full(self.net.news, 1)

    def _enlarge_arena(self) -> None:
        news, travelling = self.net.news, self.net.travelling
        if is_full(news, 1) or is_full(travelling, 1):
            self.net = self.net._replace(
                news=widened(news) if is_full(news, 1) else news,
                travelling=widened(travelling) if is_full(travelling, 1) else travelling,
            )
        else:
            super()._enlarge_arena()

    def _kernel(self, until: float) -> int:
        return run_delayed(
            self.choose,
            self.observe,
            self.view,
            self.net,
            self.system,
            self.streams,
            self.jobs,
            self.count,
            self.gauge,
            self.histogram,
            until,
            self.policy.needs_latency,
        )
