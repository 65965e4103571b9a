"""What a picker decides is what the simulator decides, and what the core decides without it."""

from typing import Any, final

import numpy as np
import numpy.typing as npt

from isocline.gateway.core.core import Core
from isocline.gateway.decision_recorder import DecisionRecorder
from isocline.gateway.replay import Event, driven, events, recorded
from isocline.model.match import Match
from isocline.model.serving_settings import Rules
from isocline.policies.parse import parse
from isocline.randomness.draws import below, stream
from isocline.simulate.common.random_streams import LEAVING, POLICY
from isocline.simulate.routing.prepare import Prepared, prepare
from tests.builders import mixed
from tests.planes.picker.streams import Picking, Stream, chosen, request_head, response_head

DECISIONS, SEED = 5_000, 3


@final
class Driven:
    """A picker that hears of the simulator's events as messages of a gateway."""

    def __init__(self, prepared: Prepared, core: Core) -> None:
        system = prepared.system
        matches = [Match(headers={"x-frontend": str(f)}) for f in range(len(system.frontends))]
        neighbours = [system.graph.neighbours(f).tolist() for f in range(len(matches))]
        self.picking = Picking(*system.curves, neighbours=neighbours, matches=matches, core=core)
        self._prepared = prepared
        self._leaving = stream(SEED, 0, LEAVING)
        self._peak = prepared.tables(2).peak.tolist()
        self._rate = prepared.rates(1024)
        self._jobs: list[list[Stream]] = [[] for _ in prepared.row]
        self._numbers = {
            endpoint.text: b for b, endpoint in enumerate(self.picking.bridge.endpoints.all)
        }
        self.backends: list[tuple[int, int]] = []  # (frontend, backend) of each decision

    def handle(self, event: Event) -> None:
        self.picking.now += event.gap
        if event.who >= 0:
            one = self.picking.stream()
            (answer,) = one.say(request_head({"x-frontend": str(event.who)}, end=True))
            (endpoint,) = chosen(answer)
            backend = self._numbers[endpoint]
            self.backends.append((event.who, backend))
            self._jobs[backend].append(one)
            return
        backend = -1 - event.who
        jobs, row = self._jobs[backend], int(self._prepared.row[backend])
        if event.coin * self._peak[row] >= self._rate[row, len(jobs)]:
            return
        index = below(self._leaving, len(jobs))
        one, jobs[index] = jobs[index], jobs[-1]
        jobs.pop()
        one.say(response_head(end=True))


def by_messages(prepared: Prepared, core: Core) -> npt.NDArray[Any]:
    """Edges that a picker chose for the simulator's events, (DECISIONS,)."""
    run, graph = Driven(prepared, core), prepared.system.graph
    for event in events(prepared.tables(2), SEED):
        run.handle(event)
        if len(run.backends) == DECISIONS:
            break
    first = graph.first.tolist()
    return np.array(
        [
            first[f] + int(np.searchsorted(graph.sink[first[f] : first[f + 1]], b))
            for f, b in run.backends
        ]
    )


def test_decisions_are_those_of_the_simulator_and_of_the_core() -> None:
    prepared, policy = prepare(mixed()), parse("gmsr")
    recording = DecisionRecorder(policy, DECISIONS)
    core = Core(prepared.setting, recording, stream(SEED, 0, POLICY), Rules(stop_at_peak=False))
    picked = by_messages(prepared, core)
    assert (picked == recorded(prepared, policy, DECISIONS, SEED)).all()
    assert (picked == driven(prepared, policy, DECISIONS, SEED)).all()
    assert (picked == recording.edges(core.policy_runtime.view)).all()
