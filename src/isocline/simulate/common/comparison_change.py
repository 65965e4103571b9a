"""Policies on a system before and after a change, with intervals of the differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.errors import InfeasibleError
from isocline.model.changes import Changes
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.measured import differences
from isocline.simulate.common.results import PolicyComparison, PolicyFigures
from isocline.simulate.common.statistics.intervals import interval

FloatArray = npt.NDArray[np.float64]

# Of a control's variance: what less is left of, when others are known, costs more than it brings.
_TOLD = 0.05


class PolicyChange(NamedTuple):
    """One policy before and after; None where no policy can serve the load."""

    policy: str
    before: PolicyFigures | None
    after: PolicyFigures | None
    difference: Estimate | None  # mean latency after minus before, paired by replication
    ratio: Estimate | None  # after over before, likewise


@final
@dataclass(frozen=True, eq=False)
class ComparisonChange:
    """Comparisons of the same policies before and after a change; None where none can serve it.

    Replications with one number are paired. They have the same random numbers, and with
    `common_arrivals` the same jobs, so that a difference varies less than its two sides.
    """

    changes: Changes
    before: PolicyComparison[Any] | None
    after: PolicyComparison[Any] | None
    # Proofs of what no policy can serve, by "before" and "after".
    infeasible: Mapping[str, InfeasibleError] = field(default_factory=dict)

    @property
    def known(self) -> tuple[PolicyComparison[Any], ...]:
        """The sides that can be served."""
        return tuple(one for one in (self.before, self.after) if one is not None)

    @cached_property
    def policies(self) -> tuple[PolicyChange, ...]:
        """Each policy, in the order in which they were given."""
        names = dict.fromkeys(result.policy for one in self.known for result in one.results)
        sides = [
            {} if one is None else {result.policy: result for result in one.results}
            for one in (self.before, self.after)
        ]
        return tuple(_changed(name, sides[0].get(name), sides[1].get(name)) for name in names)

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `isocline simulate --add ...`: both documents and differences."""
        return {
            "kind": self.known[0].kind if self.known else "routing",  # clusters are unstable
            "changes": self.changes.to_dict(),
            "before": None if self.before is None else self.before.to_dict(),
            "after": None if self.after is None else self.after.to_dict(),
            "policies": [
                {
                    "policy": row.policy,
                    **_entry("difference", row.difference),
                    **_entry("ratio", row.ratio),
                }
                for row in self.policies
            ],
        }


def _entry(name: str, found: Estimate | None) -> dict[str, Any]:
    ends = None if found is None else [found.low, found.high]
    return {name: None if found is None else found.value, f"{name}_ci95": ends}


def _changed(name: str, before: PolicyFigures | None, after: PolicyFigures | None) -> PolicyChange:
    if before is None or after is None:
        return PolicyChange(name, before, after, None, None)
    # One of the two may have been given more replications, to reach a precision.
    count = min(before.latencies.size, after.latencies.size)
    if count < 2 or before.mean_latency is None or after.mean_latency is None:
        return PolicyChange(name, before, after, None, None)
    then, now = before.latencies[:count], after.latencies[:count]
    both = (before.controls, after.controls)
    known = _independent([one[:count] for one in both if one is not None])
    difference = interval(differences(now, then), known)
    # As `ratio_interval`, at the means that the tables show.
    share = after.mean_latency.value / before.mean_latency.value
    half = interval((now - share * then) / before.mean_latency.value, known).half_width
    return PolicyChange(
        name, before, after, difference, Estimate(share, share - half, share + half)
    )


def _independent(controls: Sequence[FloatArray]) -> FloatArray | None:
    """(R, q) all controls but those that others tell, as of the same arrivals, seen twice."""
    kept: list[FloatArray] = []
    for column in (column for one in controls for column in one.T):
        known = np.column_stack([np.ones(column.size), *kept])
        rest = column - known @ np.linalg.lstsq(known, column, rcond=None)[0]
        if np.var(rest) > _TOLD * np.var(column):
            kept.append(column)
    return np.column_stack(kept) if kept else None
