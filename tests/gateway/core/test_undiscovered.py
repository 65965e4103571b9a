"""A core whose backends are yet to be discovered: clients hear it, and plans leave it out."""

from dataclasses import replace

import pytest

from isocline.errors import PolicyError
from isocline.gateway.core.actions import Reject, Send
from isocline.gateway.core.build import core_of
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.policies.parse import parse
from tests.builders import fleet

FULL = fleet([HyperbolicCurve(10.0, 5.0), HyperbolicCurve(20.0, 5.0)], [15.0, 15.0])


def without(*, backends: int, edges: list[list[int]]) -> RoutingSystem:
    graph = CompatibilityGraph.from_neighbours(backends, edges, isolated=True)
    return replace(FULL, backends=FULL.backends[:backends], graph=graph)


@pytest.mark.parametrize("policy", ["gmsr_secant", "gmsr", "jsq", "jfsq", "static_optimal"])
def test_without_any_backend_requests_are_refused_and_say_why(policy: str) -> None:
    core = core_of(without(backends=0, edges=[[], []]), parse(policy))
    for frontend in (0, 1):
        refused = core.arrived(1.0, frontend)
        assert isinstance(refused, Reject)
        assert refused.status == 503
        assert "none has been discovered for this frontend" in refused.reason
        assert refused.retry_after is not None
    assert core.tick(2.0) == []


def test_a_frontend_without_backends_does_not_keep_another_from_its_own() -> None:
    core = core_of(without(backends=2, edges=[[], [0, 1]]), parse("gmsr"))
    assert isinstance(core.arrived(1.0, 0), Reject)
    assert isinstance(core.arrived(1.0, 1), Send)


def test_a_backend_that_is_down_is_no_backend_that_is_missing() -> None:
    core = core_of(without(backends=1, edges=[[], [0]]), parse("jsq"))
    core.backend_down(0, 0.0)
    refused = core.arrived(1.0, 1)
    assert isinstance(refused, Reject)
    assert "discovered" not in refused.reason


def test_a_plan_is_made_for_those_that_have_backends() -> None:
    """The split of the second frontend is that of a system in which it is alone."""
    system = without(backends=2, edges=[[], [0, 1]])
    alone = fleet([backend.curve for backend in FULL.backends], [15.0])
    sent = []
    for frontend, known in ((1, system), (0, alone)):
        core = core_of(known, parse("static_optimal"), seed=3)
        actions = [core.arrived(0.0, frontend) for _ in range(200)]
        sent.append([it.backend for it in actions if isinstance(it, Send)])
    assert sent[0] == sent[1]
    assert set(sent[0]) == {0, 1}


def test_what_is_unknown_still_makes_no_plan() -> None:
    with pytest.raises(PolicyError, match="there is no plan to follow: rates are not known"):
        core_of(FULL, parse("static_optimal"), unplanned="rates are not known")
