"""Counts of backends that are gone: kept by name, and not without end."""

from dataclasses import replace

from isocline.gateway.core.actions import Cause
from isocline.gateway.core.build import core_of
from isocline.gateway.metrics.recorder import GONE, KEPT, Recorder
from isocline.gateway.metrics.snapshot import Snapshot
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import RoutingSystem
from isocline.policies.parse import parse
from tests.builders import fleet
from tests.gateway.metrics.seeing import access, settings_of

ONE = fleet([HyperbolicCurve(10.0, 5.0)], [1.0])
CORE = core_of(ONE, parse("jsq"))


def named(name: str) -> RoutingSystem:
    return replace(ONE, backends=(replace(ONE.backends[0], name=name),))


def served(seen: Snapshot) -> dict[str, int]:
    return {name: pair.served for name, pair in seen.pairs["f0"].items()}


def test_counts_of_pods_that_come_and_go_are_bounded_and_none_is_lost() -> None:
    more = 50
    system = named("pod-0")
    recorder = Recorder(system, settings_of(system), "jsq")
    for number in range(KEPT + more):
        recorder.observer(access())
        failed = ((0, Cause.RESET),)
        recorder.observer(access(reason=Cause.RESET.reason, failures=failed, status=502))
        system = named(f"pod-{number + 1}")
        observer = recorder.observer_of(system, settings_of(system))
        recorder.reloaded(CORE, float(number), observer, "jsq")
    seen = recorder.snapshot(CORE, 1e3)
    names = {GONE, *(f"pod-{number}" for number in range(more, KEPT + more))}
    assert served(seen).keys() == names
    assert sum(served(seen).values()) == KEPT + more
    assert served(seen)[GONE] == more
    assert seen.backends.keys() == {*names, system.backends[0].name}
    assert seen.backends[GONE].failures == {"reset": more}
    assert seen.backends[GONE].live is None


def test_one_that_comes_back_in_time_goes_on_counting_by_its_name() -> None:
    a, b = named("a"), named("b")
    recorder = Recorder(a, settings_of(a), "jsq")
    for system in (b, a, b, a):
        recorder.observer(access())
        observer = recorder.observer_of(system, settings_of(system))
        recorder.reloaded(CORE, 1.0, observer, "jsq")
    assert served(recorder.snapshot(CORE, 2.0)) == {"a": 2, "b": 2}
