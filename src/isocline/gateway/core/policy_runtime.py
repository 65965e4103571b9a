"""Runtime of a policy in the core: its compiled functions, and the view that they read.

A policy's function is called directly, which takes 1.1 us from Python. A user's policy is a numba
CFunc, which from Python would run uncompiled, so it gets a compiled caller.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar, final

import numpy as np

from isocline.errors import PolicyError, UsageError
from isocline.model.curves import Curve, HyperbolicCurve
from isocline.model.curves.base import StretchedCurve
from isocline.policies.arrays import (
    memory_of,
    option_of,
    parameter_of,
    rewrite_rows,
    table_of,
)
from isocline.policies.custom import callable_from_python, functions_of
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
_ANY = HyperbolicCurve(1.0, 1.0)


@final
class PolicyRuntime:
    """One row of the table for each backend, so that each can have a curve of its own.

    Attributes:
        curves: Service curve of each backend, whatever its weight.
        weights: Weight of each backend, see `weigh`.
        distances: Distance of each edge, s; empty: all are 0, and stay so.
        prices_work: Whether the policy's scores are prices of work, and so count in what is cached.
    """

    def __init__(self, setting: Setting, policy: RoutingPolicy):
        self.policy = policy
        self.curves = [setting.curves[row] for row in setting.row]
        self.weights = [1.0] * len(self.curves)
        self.distances: list[float] = setting.distance.tolist()
        row = np.arange(len(self.curves), dtype=np.int32)
        self._setting = replace(setting, curves=tuple(self.curves), row=row)
        self._size = FIRST
        chosen, observed = policy.functions()
        self.choose: Callable[[IntArray, View, float, Any], int] = self._guarded(
            callable_from_python(chosen)
        )
        self._observed = None if observed is observe_nothing else self._guarded(observed)
        self.view = View(
            setting.graph.sink.copy(),
            np.zeros(row.size, np.int32),
            row,
            self._table(),
            parameter_of(policy, self._setting),
            memory_of(policy, self._setting),
            option_of(policy),
            distance=setting.distance.copy(),
        )
        option = self.view.option
        # A compiled caller takes a bool, and none of numpy's.
        self.prices_work = bool(option.size > 1 and option[1] == 1.0 and not is_own(type(policy)))
        self._jobs = self.view.workload.data  # a memoryview: four times as fast as the array
        # What `explained` said of each backend at each workload, until its row changes.
        self._explanations: list[dict[int, tuple[int, int, float]]] = [{} for _ in self.curves]
        self._rates: list[dict[int, float]] = [{} for _ in self.curves]  # likewise, jobs/s

    def show_jobs(self, work: FloatArray, job: FloatArray, tokens: FloatArray) -> None:
        """Let the policy see facts of the job at hand, which the caller writes to these arrays."""
        self.view = self.view._replace(work=work, job=job, tokens=tokens)

    @property
    def setting(self) -> Setting:
        """Facts by which the policy scores now; another object once curves or weights change."""
        return self._setting

    @property
    def looks_at_curves(self) -> bool:
        """Whether the policy's choices depend on curves, and so on weights."""
        rows, workloads = len(self.curves), np.arange(4.0)
        plain, weighted = (
            replace(self._setting, curves=(curve,) * rows) for curve in (_ANY, _ANY.enlarged(2.0))
        )
        try:
            return not (
                np.array_equal(
                    table_of(self.policy, plain, workloads),
                    table_of(self.policy, weighted, workloads),
                )
                and np.array_equal(
                    parameter_of(self.policy, plain), parameter_of(self.policy, weighted)
                )
            )
        except PolicyError:  # it wants curves of one kind
            return True

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

    def jobs_and_rate(self, backend: int, more: int) -> tuple[int, float]:
        """Jobs at a backend with `more` than now, as policies see them, and the rate, jobs/s."""
        jobs, known = self._jobs[backend] + more, self._rates[backend]
        rate = known.get(jobs)
        if rate is None:
            if len(known) >= LARGEST:
                known.clear()
            rate = known[jobs] = float(self._setting.curves[backend].rate(float(jobs)))
        return jobs, rate

    def reserve(self, workload: int) -> None:
        """Tabulate one more than a workload that was reached."""
        if workload < self._size - 1 or self._size >= LARGEST:
            return
        while workload >= self._size - 1 and self._size < LARGEST:
            self._size *= 2
        self._forget(range(len(self.curves)))
        self.view = self.view._replace(table=self._table())

    def set_distances(self, distances: FloatArray) -> None:
        """Replace the (E,) distances, s, of a setting that has some."""
        self.view.distance[:] = distances
        self.distances = distances.tolist()

    def change(self, curves: Mapping[int, Any]) -> None:
        """Score some backends by other curves."""
        for backend, curve in curves.items():
            self.curves[backend] = curve
        self._rescore(curves)

    def weigh(self, backend: int, weight: float) -> None:
        """Count a backend as `weight` machines of its kind: its curve is w l(N / w) to the policy.

        This is the scaled system of the GMSR paper, Section 5; for a whole w, a pool of w such
        backends. Backends of one curve then have equal prices at workloads in proportion to their
        weights, as under least connections of nginx and HAProxy and least request of Envoy, which
        compare N / w. A policy that looks at no curve looks at no weight.

        Raises:
            PolicyError: The policy cannot use the curve; the weight is then as it was.
        """
        before = self.weights[backend]
        self.weights[backend] = weight
        try:
            self._rescore([backend])
        except PolicyError:
            self.weights[backend] = before
            self._rescore([backend])
            raise

    def _rescore(self, backends: Iterable[int]) -> None:
        """Write the policy's arrays anew after curves or weights of some backends changed."""
        # A plan was made for the curves of the start; what follows one keeps it.
        seen = tuple(map(_weighted, self.curves, self.weights))
        self._setting = replace(self._setting, curves=seen)
        self.view.parameter[:] = parameter_of(self.policy, self._setting)
        rows = list(backends)
        self._forget(rows)
        table, workloads = self.view.table, self._workloads()
        if not rewrite_rows(table, self.policy, self._setting, rows, workloads):
            self._forget(range(len(self.curves)))
            self.view = self.view._replace(table=self._table())

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
            self._rates[backend].clear()

    def _table(self) -> FloatArray:
        return table_of(self.policy, self._setting, self._workloads())

    def _workloads(self) -> FloatArray:
        return np.arange(self._size, dtype=np.float64)


def _weighted(curve: Curve, weight: float) -> Curve:
    """Curve of so many machines in one, also where its own kind would need a whole number."""
    if weight == 1.0:
        return curve
    try:
        return curve.enlarged(weight)
    except UsageError:
        return StretchedCurve(curve, weight, weight)
