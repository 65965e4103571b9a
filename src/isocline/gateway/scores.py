"""The policy as the core calls it: its compiled functions, and the view that they read.

A policy's function is called as it is, 1.1 us from Python. One that a user wrote is a numba CFunc,
which from Python would run uncompiled; it gets a compiled caller.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, final

import numba
import numpy as np

from isocline.policies.contract import (
    FloatArray,
    IntArray,
    RoutingPolicy,
    Setting,
    View,
    observe_nothing,
)

# Workloads tabulated at first; doubled whenever a backend holds more, as the simulator does, up to
# LARGEST, beyond which all score as that: 128 kB for each backend.
FIRST, LARGEST = 64, 1 << 14


@final
class Scores:
    """One row of the table for each backend, so that each can have a curve of its own."""

    def __init__(self, setting: Setting, policy: RoutingPolicy):
        self.policy = policy
        self.curves = [setting.curves[row] for row in setting.row]
        row = np.arange(len(self.curves), dtype=np.int32)
        self._setting = replace(setting, curves=tuple(self.curves), row=row)
        self._size = FIRST
        chosen, observed = policy.functions()
        self.choose: Callable[[IntArray, View, float, Any], int] = _called(chosen)
        self._observed = None if observed is observe_nothing else observed
        self.view = View(
            setting.graph.sink.copy(),
            np.zeros(row.size, np.int32),
            row,
            self._table(),
            np.ascontiguousarray(policy.parameter(self._setting), dtype=np.float64),
            policy.memory(self._setting),
            policy.option(),
        )

    def observe(self, edge: int, latency: float, now: float) -> None:
        """A request sent by an edge took so long, s."""
        if self._observed is not None:
            self._observed(edge, latency, now, self.view)

    def explained(self, edges: IntArray) -> list[tuple[int, int, float]]:
        """The backend of each edge, its workload, and the table's entry for that."""
        backend = self.view.backend[edges]
        jobs = self.view.workload[backend]
        score = self.view.table[backend, np.minimum(jobs, self.view.table.shape[1] - 1)]
        return list(zip(backend.tolist(), jobs.tolist(), score.tolist(), strict=True))

    def reserve(self, workload: int) -> None:
        """Tabulate one more than a workload that was reached."""
        if workload < self._size - 1 or self._size >= LARGEST:
            return
        while workload >= self._size - 1 and self._size < LARGEST:
            self._size *= 2
        self.view = self.view._replace(table=self._table())

    def change(self, curves: Mapping[int, Any]) -> None:
        """Score some backends by other curves."""
        for backend, curve in curves.items():
            self.curves[backend] = curve
        # A plan was made for the curves of the start; what follows one keeps it.
        self._setting = replace(self._setting, curves=tuple(self.curves))
        parameter = np.ascontiguousarray(self.policy.parameter(self._setting), dtype=np.float64)
        self.view.parameter[:] = parameter
        rows = list(curves)
        if self.view.table.shape[0] != len(self.curves):  # more rows than one for a backend
            self.view = self.view._replace(table=self._table())
            return
        few = replace(self._setting, curves=tuple(curves.values()))
        self.view.table[rows] = self.policy.table(few, self._workloads())

    def _table(self) -> FloatArray:
        table = self.policy.table(self._setting, self._workloads())
        return np.ascontiguousarray(table, dtype=np.float64)

    def _workloads(self) -> FloatArray:
        return np.arange(self._size, dtype=np.float64)


def _called(function: Any) -> Any:
    if not isinstance(function, numba.core.ccallback.CFunc):
        return function

    def call(candidates: Any, view: Any, now: Any, rng: Any) -> Any:
        return function(candidates, view, now, rng)

    return numba.njit(call)
