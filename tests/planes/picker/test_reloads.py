"""Reloads of a picker, and several pickers of one pool."""

from dataclasses import replace
from typing import Any

import pytest

from isocline.errors import UsageError
from isocline.gateway.config import BackendAddress, Listener
from isocline.model.serving_settings import HoldingRule, SharingRule
from isocline.planes.picker.messages import ProcessingResponse
from isocline.planes.picker.picker import Picker
from tests.planes.picker.streams import (
    FAST,
    Picking,
    chosen,
    endpoint,
    request_head,
    response_head,
)
from tests.planes.picker.test_picks import SMALL


def later(picking: Picking, *curves: Any) -> tuple[Picker, Picking]:
    """A picker with this bridge's core, and another core and settings that will replace them."""
    made = Picker(picking.core, picking.settings, clock=picking.clock)
    after = Picking(*curves)
    after.clock = picking.clock  # type: ignore[method-assign]
    return made, after


def test_requests_under_way_are_known_to_the_core_after_a_reload() -> None:
    picking = Picking(FAST, FAST)
    made, after = later(picking, FAST, FAST, FAST)
    streams = [picking_stream(made) for _ in range(4)]
    made.replace(after.core, after.settings)
    assert [after.core.workloads[b] for b in range(3)] == [2, 2, 0]
    assert made.in_flight == 4
    fresh = picking_stream(made)
    assert fresh[1] == endpoint(2)
    streams[0][0].receive(response_head(end=True))
    assert made.in_flight == 4
    third = Picking(FAST, FAST, FAST)
    made.replace(third.core, third.settings)
    jobs = [2, 2, 1]
    jobs[int(streams[0][1] == endpoint(1))] -= 1
    assert [third.core.workloads[b] for b in range(3)] == jobs
    assert made.in_flight == 4


def picking_stream(made: Picker) -> tuple[Any, str]:
    pick = made.begin("default", lambda: None)
    assert pick is not None
    pick.receive(request_head())
    (answer,) = pick.answers
    pick.answers = []
    return pick, chosen(ProcessingResponse.FromString(answer))[0]


def test_a_held_request_goes_to_a_backend_that_a_reload_brings() -> None:
    picking = Picking(SMALL, rules={"holding": HoldingRule(seconds=60.0)})
    made, after = later(picking, SMALL, FAST)
    for _ in range(2):
        picking_stream(made)
    held = made.begin("default", lambda: None)
    assert held is not None
    held.receive(request_head())
    assert held.waits
    made.replace(after.core, after.settings)
    assert not held.waits
    assert held.access is not None
    assert held.access.backend == 1


def test_a_held_request_is_refused_by_a_rule_that_a_reload_brings() -> None:
    picking = Picking(SMALL, rules={"holding": HoldingRule(seconds=60.0)})
    made = Picker(picking.core, picking.settings, clock=picking.clock)
    for _ in range(2):
        picking_stream(made)
    held = made.begin("default", lambda: None)
    assert held is not None
    held.receive(request_head({"x-priority": "high"}))
    after = Picking(SMALL, FAST, rules={"sharing": SharingRule(priority="x-priority")})
    made.replace(after.core, after.settings)
    assert held.refused
    assert held.access is not None
    assert held.access.status == 400
    assert len(held.answers) == 1
    assert made.in_flight == 2


def test_a_reload_that_changes_listeners_or_names_no_address_is_refused() -> None:
    picking = Picking(FAST)
    made, _ = later(picking, FAST)
    with pytest.raises(UsageError, match="restart"):
        made.replace(picking.core, replace(picking.settings, listeners=(Listener(port=1),)))
    named = (BackendAddress("b", "http://pool.example:80"),)
    with pytest.raises(UsageError, match="ADDRESS:PORT"):
        made.replace(picking.core, replace(picking.settings, backends=named))
    assert picking_stream(made)[1] == endpoint(0)


def test_pickers_share_nothing_and_agree_by_reports() -> None:
    """Each counts its own requests, and what the backends report of all."""
    one, other = Picking(FAST, FAST), Picking(FAST, FAST)
    for _ in range(6):
        one.stream().say(request_head())
    assert other.jobs == [0, 0]
    reported = [one.jobs[b] for b in range(2)]
    for backend, jobs in enumerate(reported):
        other.core.reported(backend, 0.0, jobs + (3 if backend == 0 else 0))
    for _ in range(3):
        (answer,) = other.stream().say(request_head())
        assert chosen(answer) == [endpoint(1)]
