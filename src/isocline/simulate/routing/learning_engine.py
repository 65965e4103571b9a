"""`TrackEngine` with a learner, whose curves fill the policy's table.

All frontends share one learner, as routers in one process do. After every fit the rows of the
fitted backends are made anew, by the policy's own `table`: what it is given is learned, the policy
is the same. A fit and its row cost about 1 ms, and there are about 25 of them per backend and
factor of 10 in its completions.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.learn.learner import Learner
from isocline.learn.observed import Observed
from isocline.policies.arrays import parameter_of, rewrite_rows, table_of
from isocline.simulate.common.kernels import counters
from isocline.simulate.routing.engines import RoutingRun, TrackEngine
from isocline.simulate.routing.kernels.blocks import Blocks
from isocline.simulate.routing.learned_policy import LearnedPolicy

FloatArray = npt.NDArray[np.float64]


@final
class LearningEngine(TrackEngine):
    """Engine of Poisson arrivals and exponential sizes, every job timed, with learned curves."""

    policy: LearnedPolicy

    def __init__(self, run: RoutingRun):
        policy = run.policy
        assert isinstance(policy, LearnedPolicy)  # the one policy that learns
        super().__init__(replace(run, prepared=run.prepared.one_row_each()))
        self.learner = Learner(self.view.workload.size, policy.learning, self.size)
        self.known = [self.learner.optimistic(b) for b in range(self.learner.backends)]
        self._show(range(self.learner.backends))

    def rehearse(self) -> None:
        super().rehearse()
        self.learner.rehearse()

    def _learning(self) -> tuple[Observed | None, int]:
        return self.learner.observed, self.learner.batch

    def _track(self, blocks: Blocks, last: int) -> int:
        while (status := super()._track(blocks, last)) == counters.LEARN:
            self._show(self.learner.update(float(self.gauge[counters.CLOCK]), self.view.workload))
        return status

    def _show(self, backends: Iterable[int]) -> None:
        """Give the policy the curves of some backends."""
        rows = list(backends)
        if not rows:
            return
        for backend in rows:
            self.known[backend] = self.learner.optimistic(backend)
        curves, why = tuple(self.known), "curves are learned"
        setting = replace(self.prepared.setting, curves=curves, split=why)
        workloads = np.arange(self.size, dtype=np.float64)
        if not rewrite_rows(self.view.table, self.policy, setting, rows, workloads):
            self.view = self.view._replace(table=table_of(self.policy, setting, workloads))
        self.view.parameter[:] = parameter_of(self.policy, setting)

    def _enlarge_tables(self) -> None:
        super()._enlarge_tables()
        self.learner.reserve(self.size - 1)
        self._show(range(self.learner.backends))

    def _show_curves(self) -> None:
        """Do nothing: a learner finds changes by itself."""
