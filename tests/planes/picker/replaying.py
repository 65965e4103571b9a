"""Decisions of a picker for the events of a simulation, each a message of a gateway."""

from collections.abc import Hashable
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.gateway.core.core import Core
from isocline.gateway.replay import Live, driven_by, policy_stream
from isocline.model.match import Match
from isocline.model.serving_settings import Rules
from isocline.policies.routing.contract import RoutingPolicy
from isocline.simulate.routing.prepare import Prepared
from tests.planes.picker.streams import Picking, Stream, chosen, request_head, response_head


def driven(
    prepared: Prepared, policy: RoutingPolicy, decisions: int, seed: int
) -> npt.NDArray[np.int64]:
    """Edges that a picker chose for the simulation's events, (decisions,)."""
    rules = Rules(stop_at_peak=False)  # the simulator's frontends do not hold
    core = Core(prepared.setting, policy, policy_stream(seed), rules)
    return driven_by(_Messages(prepared, core), prepared, decisions, seed)


@final
class _Messages(Live):
    """A picker whose frontends are told apart by a header; a job is its stream."""

    def __init__(self, prepared: Prepared, core: Core) -> None:
        system = prepared.system
        matches = [Match(headers={"x-frontend": str(f)}) for f in range(len(system.frontends))]
        neighbours = [system.graph.neighbours(f).tolist() for f in range(len(matches))]
        self._picking = Picking(*system.curves, neighbours=neighbours, matches=matches, core=core)
        endpoints = self._picking.bridge.endpoints.all
        self._numbers = {endpoint.text: b for b, endpoint in enumerate(endpoints)}

    def arrived(self, now: float, frontend: int) -> tuple[int, Hashable]:
        self._picking.now = now
        stream = self._picking.stream()
        (answer,) = stream.say(request_head({"x-frontend": str(frontend)}, end=True))
        (endpoint,) = chosen(answer)
        return self._numbers[endpoint], stream

    def finished(self, job: Hashable, now: float) -> None:
        assert isinstance(job, Stream)
        self._picking.now = now
        job.say(response_head(end=True))
