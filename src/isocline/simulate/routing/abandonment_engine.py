"""Engine of jobs that may leave unfinished: they give up, or their backend fails."""

import numpy as np

from isocline.simulate.common.kernels import counters
from isocline.simulate.common.random_streams import PATIENCE, random_stream
from isocline.simulate.routing.engines import Change, ListEngine
from isocline.simulate.routing.failure import BackendFailure
from isocline.simulate.routing.kernels.abandonment import (
    LEFT,
    TO_COME,
    Fates,
    share_with_abandonment,
)
from isocline.simulate.routing.kernels.job_arena import place
from isocline.simulate.routing.kernels.prefix_caching import Caches, Prompts
from isocline.simulate.routing.kernels.processor_sharing import Arriving, reschedule


class AbandonmentEngine(ListEngine):
    """Any arrivals, sizes and patience, given as lists."""

    prompts: Prompts | None = None
    caches: Caches | None = None

    def _fill(self) -> None:
        super()._fill()
        listed, there = self.arriving.time.size, int(self.start.sum())
        n = listed + there
        self.fates = Fates(
            np.concatenate((self.arriving.time, np.full(there, -1.0))),
            self._expiries(there),
            np.zeros(n, np.int64),
            np.full(n, TO_COME, np.int32),
            np.full(n, -1, np.int32),
            np.zeros(n, np.int64),
        )
        self.fates.by_expiry[:] = np.argsort(self.fates.expiry, kind="stable")
        # The kernel asks for frontend and size of jobs that are sent again, of the start, too.
        self.jobs_by_number = Arriving(
            self.arriving.time,
            np.concatenate((self.arriving.frontend, np.zeros(there, np.int32))),
            np.concatenate((self.arriving.size, np.ones(there))),
        )
        self._number_those_of_the_start(listed)

    def _expiries(self, there: int) -> counters.FloatArray:
        """(n,) s, when the patience of each job is over; of those of the start it begins at 0."""
        key = self.run.settings.seed, self.run.replication
        begin = np.concatenate((self.arriving.time, np.zeros(there)))
        patience = self.prepared.system.patience
        if patience is None:
            return np.full(begin.size, np.inf)
        # The start has a stream of its own, so that it does not shift what arrivals get.
        listed = patience.sample(random_stream(*key, PATIENCE), self.arriving.time.size)
        return begin + np.concatenate(
            (listed, patience.sample(random_stream(*key, PATIENCE, 1), there))
        )

    def _number_those_of_the_start(self, number: int) -> None:
        """Give each job of the start a number and an edge: the one by which the optimum sends most.

        Its size is known where it waits; in service, at virtual time 0, it is the work it ends at.
        """
        graph, split = self.prepared.system.graph, self.prepared.optimum.split
        for backend in np.flatnonzero(self.start).tolist():
            into = graph.edge_into[graph.sink_first[backend] : graph.sink_first[backend + 1]]
            edge = int(into[np.argmax(split[into])]) if into.size else -1
            for index in range(int(self.start[backend])):
                at = place(self.jobs, backend, index, int(self.system.places[backend]))
                self.jobs.edge[at] = number
                self.fates.backend[number], self.fates.edge[number] = backend, edge
                self.jobs_by_number.frontend[number] = graph.source[edge]
                self.jobs_by_number.size[number] = self.jobs.key[at]
                number += 1

    def _kernel(self, until: float) -> int:
        patience = self.prepared.system.patience
        return share_with_abandonment(
            self.choose,
            self.observe,
            self.view,
            self.system,
            self.streams,
            self.jobs,
            self.fates,
            self.clocks,
            self.race,
            self.jobs_by_number,
            self.prompts,
            self.caches,
            self.count,
            self.gauge,
            self.histogram,
            until,
            self.policy.needs_latency,
            patience is not None and patience.until == "start",
        )

    def _change(self, change: Change) -> None:
        if isinstance(change, BackendFailure):
            self._fail(change)
        else:
            super()._change(change)

    def _fail(self, failure: BackendFailure) -> None:
        """Empty a failed backend. Its jobs are lost, or sent again at once, first come first."""
        backend, fates, count, gauge = failure.backend, self.fates, self.count, self.gauge
        here = np.flatnonzero(fates.backend == backend)
        here = here[np.argsort(fates.born[here], kind="stable")]
        heirs = failure.heirs[self.jobs_by_number.frontend[here]]
        stay = (heirs >= 0) & (not failure.lost)
        lost, again = here[~stay], here[stay]
        fates.backend[lost] = LEFT
        fates.backend[again] = TO_COME
        self.jobs_by_number.frontend[again] = heirs[stay]
        end = int(count[counters.AGAIN_END])
        if int(count[counters.AGAIN]) == end:
            count[counters.AGAIN] = end = 0
        fates.again[end : end + again.size] = again
        count[counters.AGAIN_END] = end + again.size
        timed = lost[fates.born[lost] >= 0.0]
        count[counters.LOST] += timed.size
        gauge[counters.UNFINISHED] += float((gauge[counters.CLOCK] - fates.born[timed]).sum())
        count[counters.RESENT] += again.size
        self._empty(backend)
        count[counters.JOBS] -= lost.size

    def _empty(self, backend: int) -> None:
        self.view.workload[backend] = 0
        self.gauge[counters.RATE] = self.system.rate[self.view.row, self.view.workload].sum()
        self.clocks.at[backend] = self.gauge[counters.CLOCK]
        reschedule(self.view, self.system, self.jobs, self.clocks, self.race, backend)
