"""Runtime of a policy in the core: its compiled functions, and the view that they read.

A policy's function is called directly, which takes 1.1 us from Python. A user's policy is a numba
CFunc, which from Python would run uncompiled, so it gets a compiled caller.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar, final

import numba
import numpy as np

from isocline.errors import PolicyError
from isocline.policies.arrays import memory_of, option_of, parameter_of, table_of
from isocline.policies.custom import functions_of
from isocline.policies.own_code import blame
from isocline.policies.routing.contract import (
    FloatArray,
    IntArray,
    RoutingPolicy,
    Setting,
    View,
    observe_nothing,
)
from isocline.randomness.draws import stream
from isocline.user_code import is_own

P = ParamSpec("P")
R = TypeVar("R")

# Workloads tabulated at first; doubled whenever a backend holds more, as the simulator does, up to
# LARGEST, beyond which all score as that: 128 kB for each backend.
FIRST, LARGEST = 64, 1 << 14


@final
class PolicyRuntime:
    """One row of the table for each backend, so that each can have a curve of its own."""

    def __init__(self, setting: Setting, policy: RoutingPolicy):
        self.policy = policy
        self.curves = [setting.curves[row] for row in setting.row]
        row = np.arange(len(self.curves), dtype=np.int32)
        self._setting = replace(setting, curves=tuple(self.curves), row=row)
        self._size = FIRST
        chosen, observed = policy.functions()
        self.choose: Callable[[IntArray, View, float, Any], int] = self._guarded(_called(chosen))
        self._observed = None if observed is observe_nothing else self._guarded(observed)
        self.view = View(
            setting.graph.sink.copy(),
            np.zeros(row.size, np.int32),
            row,
            self._table(),
            parameter_of(policy, self._setting),
            memory_of(policy, self._setting),
            option_of(policy),
        )
        self._jobs = self.view.workload.data  # a memoryview: four times as fast as the array
        # What `explained` said of each backend at each workload, until its row changes.
        self._explanations: list[dict[int, tuple[int, int, float]]] = [{} for _ in self.curves]

    def misplaced(self) -> PolicyError:
        """Error for a choice that the policy may not make."""
        return self.policy.misplaced(self.view, stream(0, 0, 0))

    def observe(self, edge: int, latency: float, now: float) -> None:
        """Report to the policy that a request sent by an edge took so long, s."""
        if self._observed is not None:
            self._observed(edge, latency, now, self.view)

    def _guarded(self, function: Callable[P, R]) -> Callable[P, R]:
        """Call a compiled function; an exception of a user's policy becomes a PolicyError."""
        if not is_own(function):
            return function

        def guarded(*arguments: P.args, **named: P.kwargs) -> R:
            try:
                return function(*arguments, **named)
            except Exception as error:
                blame(self.policy.name, functions_of(self.policy), error)
                raise

        return guarded

    def explained(self, backends: Sequence[int]) -> list[tuple[int, int, float]]:
        """Number, workload and table entry of each backend."""
        jobs, known = self._jobs, self._explanations
        return [known[b].get(jobs[b]) or self._explain(b, jobs[b]) for b in backends]

    def reserve(self, workload: int) -> None:
        """Tabulate one more than a workload that was reached."""
        if workload < self._size - 1 or self._size >= LARGEST:
            return
        while workload >= self._size - 1 and self._size < LARGEST:
            self._size *= 2
        self._forget(range(len(self.curves)))
        self.view = self.view._replace(table=self._table())

    def change(self, curves: Mapping[int, Any]) -> None:
        """Score some backends by other curves."""
        for backend, curve in curves.items():
            self.curves[backend] = curve
        # A plan was made for the curves of the start; what follows one keeps it.
        self._setting = replace(self._setting, curves=tuple(self.curves))
        self.view.parameter[:] = parameter_of(self.policy, self._setting)
        rows = list(curves)
        self._forget(rows)
        if self.view.table.shape[0] != len(self.curves):  # more rows than one for a backend
            self._forget(range(len(self.curves)))
            self.view = self.view._replace(table=self._table())
            return
        few = replace(self._setting, curves=tuple(curves.values()))
        self.view.table[rows] = table_of(self.policy, few, self._workloads())

    def _explain(self, backend: int, jobs: int) -> tuple[int, int, float]:
        table, known = self.view.table, self._explanations[backend]
        score = float(table[backend, min(jobs, table.shape[1] - 1)])
        if len(known) >= LARGEST:
            known.clear()
        known[jobs] = backend, jobs, score
        return known[jobs]

    def _forget(self, backends: Iterable[int]) -> None:
        for backend in backends:
            self._explanations[backend].clear()

    def _table(self) -> FloatArray:
        return table_of(self.policy, self._setting, self._workloads())

    def _workloads(self) -> FloatArray:
        return np.arange(self._size, dtype=np.float64)


def _called(function: Any) -> Any:
    if not isinstance(function, numba.core.ccallback.CFunc):
        return function

    def call(candidates: Any, view: Any, now: Any, rng: Any) -> Any:
        return function(candidates, view, now, rng)

    return numba.njit(call)
