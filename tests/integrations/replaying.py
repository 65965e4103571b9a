"""Decisions of a router of replicas, as Ray Serve has it, for the events of a simulation."""

from collections.abc import Hashable, Sequence
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.gateway.replay import Live, driven_by, policy_stream
from isocline.integrations.replica_router import Replica, ReplicaRouter
from isocline.integrations.router_settings import read_settings
from isocline.simulate.routing.prepare import Prepared


def driven(prepared: Prepared, policy: str, decisions: int, seed: int) -> npt.NDArray[np.int64]:
    """Edges that the router chose for the simulation's events, (decisions,).

    A handle is the only frontend of its router, so the system must have one, with all backends.
    """
    system = prepared.system
    names = [backend.name for backend in system.backends]
    assert system.graph.neighbours(0).tolist() == list(range(len(names)))
    router = ReplicaRouter(read_settings({"policy": policy}), policy_stream(seed))
    router.update([Replica(*it) for it in zip(names, system.curves, strict=True)], 0.0)
    return driven_by(_Calls(router, names), prepared, decisions, seed)


@final
class _Calls(Live):
    """Calls of one handle; the key of a job is its number and its replica."""

    def __init__(self, router: ReplicaRouter, names: Sequence[str]) -> None:
        self._router, self._names, self._calls = router, list(names), 0

    def arrived(self, now: float, frontend: int) -> tuple[int, Hashable]:
        assert frontend == 0
        self._calls += 1
        name = self._router.choose(self._calls, f"call {self._calls}", now)
        assert name is not None
        return self._names.index(name), (self._calls, name)

    def finished(self, job: Hashable, now: float) -> None:
        assert isinstance(job, tuple)
        number, name = job
        self._router.accepted(number, name, now)
        self._router.completed(name, f"call {number}", now)
