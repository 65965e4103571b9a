"""Sample paths of the scaled systems of the GMSR paper, Section 5: Y = N / c over time.

Theorem 1: as c grows they follow the differential inclusion, which
`isocline.theory.routing.inclusion.fluid` computes from the same start.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import POSITIVE, at_least, checked
from isocline.cores import usable_cores
from isocline.errors import UsageError
from isocline.model.fleet import RoutingSystem
from isocline.model.starts import Start, jobs_at_start
from isocline.policies.parse import Function, label, routing_policy
from isocline.policies.routing.contract import RoutingPolicy
from isocline.record import Record, data_frame
from isocline.simulate.common.replication import Run
from isocline.simulate.common.run_settings import Clock
from isocline.simulate.routing.engine_choice import engine_for
from isocline.simulate.routing.kernels.departures import Law
from isocline.simulate.routing.prepare import prepare
from isocline.simulate.routing.run_settings import RunSettings
from isocline.simulate.routing.slotted_clock import slots_of

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False)
class Paths(Record):
    """R paths of B backends at T times; jobs held at frontends are not among the workloads."""

    picture: ClassVar[str] = "plots.paths:paths_plot"
    system: str
    policy: str
    source: str  # what the arrivals were, in words
    backends: tuple[str, ...]
    times: FloatArray  # (T,) s
    workloads: FloatArray  # (R, T, B) Y = N / c: jobs in units of `scale`
    scale: float  # c
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """One JSON document: for each backend a list of paths."""
        return {
            "kind": "routing",
            "system": self.system,
            "policy": self.policy,
            "arrivals": self.source,
            "scale": self.scale,
            "seed": self.seed,
            "times": self.times.tolist(),
            "workloads": {
                name: self.workloads[:, :, b].tolist() for b, name in enumerate(self.backends)
            },
        }

    def to_frame(self) -> "pd.DataFrame":
        """One row per replication and time; needs `pip install 'isocline[frame]'`."""
        return data_frame(
            {"replication": r, "time": time} | dict(zip(self.backends, jobs, strict=True))
            for r, path in enumerate(self.workloads)
            for time, jobs in zip(self.times, path, strict=True)
        )


@checked(
    scale=POSITIVE,
    slot=POSITIVE,
    horizon=POSITIVE,
    points=at_least(2),
    replications=at_least(1),
    seed=at_least(0),
    threads=at_least(1),
)
def paths(
    system: RoutingSystem,
    policy: str | RoutingPolicy | Function = "gmsr",
    *,
    scale: float = 1.0,
    clock: Clock = "slotted",
    slot: float | None = None,
    departures: Law | None = None,
    start: Start = None,
    horizon: float,
    points: int = 200,
    replications: int = 1,
    seed: int = 0,
    threads: int | None = None,
) -> Paths:
    """Simulate paths of `system.enlarged(scale)` and look at them at `points` equidistant times.

    The load may be more than can be served: paths end, and Theorem 1 asks nothing of the load.

    Args:
        system: The system at scale 1.
        policy: A name as on the command line, a policy, or a function as in `simulate`.
        scale: c: a job weighs 1 / c.
        clock: `slotted`, as printed in the paper, or `continuous`.
        slot: Length of a slot at scale 1, s; by default as in `isocline.simulate`.
        departures: The law of the departures in a slot; by default as in `isocline.simulate`.
        start: Y(0) in jobs at scale 1, rounded to multiples of 1 / c: by backend, others empty; or
            (B,) numbers; None for all empty.
        horizon: The last time, s; the first is 0.
        points: T.
        replications: R.
        seed: Key of all randomness. At the same clock, (seed, replication) brings the same arrivals
            to all policies.
        threads: By default one per core; results do not depend on it.

    Raises:
        PolicyError: The policy is unknown, or misbehaves.
        UsageError: An argument is out of range.
    """
    if system.patience is not None:
        raise UsageError(
            "patience: paths are those of Theorem 1, whose jobs stay until they are served; give "
            "dataclasses.replace(system, patience=None)"
        )
    chosen = routing_policy(policy)
    names = tuple(backend.name for backend in system.backends)
    cut = slots_of(clock, system, scale, slot, departures)
    prepared = prepare(system, scale=scale, ends=True)
    first = np.rint(jobs_at_start(names, start) * scale).astype(int)
    settings = RunSettings(horizon, 0.0, seed, start=tuple(first.tolist()), slots=cut, scale=scale)
    run = Run(prepared, chosen, settings)
    times = np.linspace(0.0, horizon, points)
    with ThreadPoolExecutor(threads or usable_cores()) as pool:
        found = pool.map(lambda r: engine_for(run.numbered(r)).look(times), range(replications))
        workloads = np.stack(list(found)).astype(np.float64)
    return Paths(
        system.name,
        label(policy),
        cut.source if cut else "continuous time",
        names,
        times,
        workloads / scale,
        scale,
        seed,
    )
