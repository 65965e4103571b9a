"""Results of a live comparison."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from isocline.demo.stage import Machine
from isocline.record import Record, data_frame
from isocline.simulate.common.estimate import Estimate

if TYPE_CHECKING:
    import pandas as pd

# Of the least mean latency: what the machine may add to each before it measures itself.
MOST_ADDED = 0.1


@final
@dataclass(frozen=True)
class LivePolicy:
    """One contestant; latencies in s, from when requests were due."""

    policy: str
    mean_latency: Estimate  # over rounds
    p50: float
    p99: float
    ratio_to_bound: Estimate
    difference: Estimate | None  # mean latency minus the first one's, paired; None: it is the first
    jobs: tuple[float, ...]  # (B,) mean at each backend
    grown: Estimate  # jobs more at the end of a window than at its beginning
    sent: int
    answered: int
    errors: Counter[str]  # by kind
    repeated: int  # runs that were made again, as the machine was too slow in them
    machine: Machine

    @property
    def growing(self) -> bool:
        """Jobs grew from one end of the windows to the other: no steady state was seen.

        By more than a tenth of what was there, and more than by chance.
        """
        return self.grown.low > 0 and self.grown.value > 0.1 * sum(self.jobs)


@final
@dataclass(frozen=True)
class LiveComparison(Record):
    """Policies on one fleet, through real sockets, with the same arrivals."""

    kind: ClassVar[str] = "live"
    picture: ClassVar[str] = "plots.live:live_plot"
    words: ClassVar[str] = "tables.live:live_report"
    fleet: str
    load: float  # share of the capacity
    speed: float
    rate: float  # requests/s
    backends: tuple[str, ...]
    optimal_jobs: tuple[float, ...]  # (B,) in the fluid optimum
    lower_bound_latency: float  # s
    policies: tuple[LivePolicy, ...]
    rounds: int
    window: float  # s, measured of each round
    warmup: float  # s
    seed: int

    @property
    def added(self) -> float:
        """Largest addition of the machine to a latency, s."""
        return max(policy.machine.added for policy in self.policies)

    @property
    def status(self) -> Literal["measured", "too slow"]:
        """Whether the machine was fast enough for latencies to be those of the policies."""
        return "too slow" if any(map(self.too_slow, self.policies)) else "measured"

    def too_slow(self, policy: LivePolicy) -> bool:
        """Whether the machine was too slow for this one's latencies to be its own."""
        return policy.machine.added > MOST_ADDED * self.lower_bound_latency

    def to_dict(self) -> dict[str, Any]:
        """The JSON document; the ratios of policies for which the machine was too slow are null."""
        return {
            "kind": self.kind,
            "status": self.status,
            "fleet": self.fleet,
            "load": self.load,
            "speed": self.speed,
            "rate": self.rate,
            "lower_bound_latency": self.lower_bound_latency,
            "backends": [
                {"name": name, "jobs": jobs}
                for name, jobs in zip(self.backends, self.optimal_jobs, strict=True)
            ],
            "policies": self.rows(),
            "rounds": self.rounds,
            "window": self.window,
            "warmup": self.warmup,
            "seed": self.seed,
        }

    def rows(self) -> list[dict[str, Any]]:
        """One for each policy."""
        return [self._row(policy) for policy in self.policies]

    def to_frame(self) -> "pd.DataFrame":
        return data_frame(
            {key: value for key, value in row.items() if not isinstance(value, dict | list)}
            for row in self.rows()
        ).set_index("policy")

    def _row(self, policy: LivePolicy) -> dict[str, Any]:
        ratio = None if self.too_slow(policy) else policy.ratio_to_bound
        return {
            "policy": policy.policy,
            "mean_latency": policy.mean_latency.value,
            "mean_latency_ci95": _ends(policy.mean_latency),
            "p50": policy.p50,
            "p99": policy.p99,
            "ratio_to_bound": ratio and ratio.value,
            "ratio_to_bound_ci95": _ends(ratio),
            "difference": policy.difference and policy.difference.value,
            "difference_ci95": _ends(policy.difference),
            "growing": policy.growing,
            "sent": policy.sent,
            "answered": policy.answered,
            "errors": dict(policy.errors.most_common()),
            "jobs": dict(zip(self.backends, policy.jobs, strict=True)),
            "repeated": policy.repeated,
            "machine": policy.machine._asdict() | {"added": policy.machine.added},
        }


def _ends(estimate: Estimate | None) -> list[float] | None:
    return None if estimate is None else [estimate.low, estimate.high]
