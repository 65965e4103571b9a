"""Locations that name machines, in place of the nodes on them."""

import logging
import math

import pytest

from isocline.dispatch import Scheduler
from isocline.dispatch.coordinator.hosts import NodesByHost
from isocline.dispatch.engines.base import Node
from isocline.dispatch.engines.fake import FakeEngine


def test_a_machine_is_known_by_each_of_its_names() -> None:
    found = NodesByHost()
    assert not found
    assert found.of("dn1") == ()
    found.add(Node("w0", None, ("dn1", "10.0.0.1")))
    found.add(Node("w1", None, ("dn1", "10.0.0.1")))
    found.add(Node("w2", None, ("dn2.east.example.org",)))
    found.add(Node("w3", None, ("DN2.west.example.org", "10.0.0.3")))
    for name in ("dn1", "DN1", "dn1.example.org", "dn1.example.org.", "10.0.0.1"):
        assert found.of(name) == ("w0", "w1")
    assert found.of("dn2.east.example.org") == ("w2",)
    assert found.of("dn2.west.example.org") == ("w3",)
    for name in ("dn2", "dn2.north.example.org", "10.0.0.2", "10", "dn", ""):
        assert found.of(name) == ()


def test_tasks_run_on_the_nodes_of_their_holders_machines(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hosts = {"n0": "dn0", "n1": "dn1", "n2": "dn1"}
    nodes = [Node(name, None, (host,)) for name, host in hosts.items()]
    chunks = [str(number) for number in range(30)]

    def locations(chunk: str) -> list[str]:
        return ["dn1.example.org"] if int(chunk) % 3 else ["n0"]

    engine = FakeEngine(nodes, speed=math.inf)
    with (
        caplog.at_level(logging.WARNING),
        Scheduler(engine, "jsq_local_only", locations) as scheduler,
    ):
        futures = [scheduler.submit(str, chunk) for chunk in chunks]
        assert [future.result() for future in futures] == chunks
    ran = [str(future.node) for future in futures]
    assert {record.level for record in scheduler.records} == {"local"}
    assert {hosts[node] for number, node in enumerate(ran) if number % 3} == {"dn1"}
    assert set(ran[::3]) == {"n0"}
    assert not caplog.records


def test_a_machine_without_nodes_is_said_to_be_none(caplog: pytest.LogCaptureFixture) -> None:
    engine = FakeEngine([Node("n0", None, ("dn0",))], speed=math.inf)
    with (
        caplog.at_level(logging.WARNING),
        Scheduler(engine, "late_binding", lambda _: ["dn1", "dn0"]) as scheduler,
    ):
        scheduler.submit(str, "a").result()
    assert "there is no node 'dn1'" in caplog.text
