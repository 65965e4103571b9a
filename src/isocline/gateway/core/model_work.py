"""Work of requests with the loads of their models, in the arrays that policies read."""

from typing import final

import numpy as np

from isocline.gateway.core.candidates import Open
from isocline.gateway.core.policy_runtime import PolicyRuntime
from isocline.gateway.core.residency import Residency, number_of
from isocline.policies.routing.contract import MODEL, WORK

_NO_MODEL = -1.0  # in place of a model's number


@final
class ModelWork:
    """Writer of a policy's view of the models at backends.

    Where prompts are weighed, too, it adds to the work that these have written before.
    """

    def __init__(self, runtime: PolicyRuntime, *, prompts: bool) -> None:
        """Let the policy see work by model; `prompts`: it sees the work of prompts already."""
        view, graph = runtime.view, runtime.setting.graph
        self._adds = prompts
        if not prompts:
            work, job = np.zeros((graph.edges, 2)), np.zeros(3)
            work[:, WORK] = 1.0
            runtime.show_jobs(work, job, np.zeros((graph.sinks, 2)))
            view = runtime.view
        self._work, self._job = view.work, view.job
        self._looks = runtime.policy.counts_in_caches()

    def write(
        self, residency: Residency | None, model: str, candidates: Open, now: float
    ) -> frozenset[int] | None:
        """Write the work of a request for a model; returns where it may go, None for anywhere."""
        if residency is None:
            self._write_plain()
            return None
        backends, managed = candidates.backends, bool(model) and residency.manages(model)
        found = residency.work(model, backends, now)
        self._write(found, candidates, number_of(model) if managed else _NO_MODEL)
        fit = [b for b, work in zip(backends, found, strict=True) if work < np.inf]
        if managed and not self._looks:
            fit = residency.best(model, fit)
        return None if len(fit) == len(backends) else frozenset(fit)

    def _write(self, found: list[float], candidates: Open, number: float) -> None:
        if self._adds:  # to what prompts have written
            for edge, work in zip(candidates.numbers, found, strict=True):
                self._work[edge, WORK] += work - 1.0
            return
        self._job[MODEL] = number
        for edge, work in zip(candidates.numbers, found, strict=True):
            self._work[edge, WORK] = work

    def _write_plain(self) -> None:
        if not self._adds:
            self._job[MODEL] = _NO_MODEL
            self._work[:, WORK] = 1.0
