"""Means that the refined mean field gives in place of simulated ones: a check of the simulator.

It answers where each decision compares a sample of all backends by a table of their own jobs, in a
system without anything that the theory does not know: see `theory.routing.refined_mean_field`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
import numpy.typing as npt

from isocline.errors import NumericalError, UsageError

if TYPE_CHECKING:  # results name the check, and a plan shows results without numba
    from isocline.policies.routing.contract import RoutingPolicy
    from isocline.simulate.routing.prepare import Prepared

FloatArray = npt.NDArray[np.float64]
Score = Callable[[FloatArray], FloatArray]

# Share of the mean that the last term may be: with more, order 2 was no better than order 1 in the
# benchmark's cases.
_SMALL = 0.05


@final
@dataclass(frozen=True)
class MeanFieldCheck:
    """Mean latency of one policy, without simulation.

    The last term says how far it can be trusted. In all cases that `benchmarks.refined_mean_field`
    has, the error of order 2 was smaller; no theorem says that it must be.
    """

    mean_latency: float  # s
    last_term: float  # s, size of the last term of the series in 1/n
    order: int  # of that term: 1 or 2

    @property
    def is_close(self) -> bool:
        """Whether the series has come near its sum: there are many backends for this load."""
        return self.last_term <= _SMALL * self.mean_latency


def mean_field_check(prepared: "Prepared", policy: "RoutingPolicy") -> MeanFieldCheck | None:
    """Mean latency of a policy on a system of constant rates; None where the theory has none."""
    if policy.sample < 1 or not _is_plain(prepared):
        return None
    # Imported here: SciPy's solvers take a tenth of a second, and few systems need them.
    from isocline.theory.routing import refined_mean_field as theory  # noqa: PLC0415

    backends = prepared.row.size
    rate = float(prepared.system.rates.sum()) / backends
    groups = [
        theory.BackendGroup(curve, float(count), _score(prepared, policy, row))
        for row, (curve, count) in enumerate(
            zip(prepared.curves, np.bincount(prepared.row), strict=True)
        )
    ]
    for order in (2, 1):
        try:
            found = theory.refined_mean_field(
                groups, rate, min(policy.sample, backends), order=order
            )
        except (UsageError, NumericalError):  # too many shares to follow, or near instability
            continue
        latency = found.latency(backends)
        term = abs(latency - found.latency(backends, order - 1))
        return MeanFieldCheck(latency, term, order)
    return None


def _is_plain(prepared: "Prepared") -> bool:
    """Whether jobs are memoryless, stay where they are sent, and may go to every backend."""
    graph = prepared.system.graph
    return (
        prepared.memoryless
        and graph.edges == graph.sources * graph.sinks
        and prepared.system.patience is None
        and prepared.delay is None
        and prepared.trace is None
        and prepared.caches is None
        and prepared.eviction is None
        and not prepared.system.ways.size
    )


def _score(
    prepared: "Prepared", policy: "RoutingPolicy", row: int
) -> Callable[[FloatArray], FloatArray]:
    """The policy's score of backends of one distinct curve, by their jobs 0, 1, 2 ..."""

    def score(workloads: FloatArray) -> FloatArray:
        scores: FloatArray = prepared.scores(policy, workloads.size)[row]
        return scores

    return score
