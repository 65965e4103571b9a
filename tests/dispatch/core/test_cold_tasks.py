"""A worker's first task, which imports what the others find there, is in no measured rate."""

import math

import numpy as np
import pytest

from isocline.dispatch.core.core import Core
from isocline.dispatch.engines.fake import FakeEngine
from isocline.dispatch.engines.processes import ProcessEngine
from isocline.dispatch.scheduler import Scheduler
from isocline.dispatch.telemetry.timeline import Timeline
from isocline.model.cluster import Rates
from isocline.policies.parse import scheduling_policy as parse
from isocline.randomness.draws import stream


def test_the_first_task_of_each_node_is_marked_and_not_measured() -> None:
    engine = FakeEngine(2, warm_up=100.0, speed=math.inf)
    with Scheduler(engine, locations=lambda _: ["n0", "n1"]) as scheduler:
        list(scheduler.map(str, [f"c{i}" for i in range(20)]))
        found = scheduler.explain()
        records = list(scheduler.records)
    cold = [ran for ran in records if ran.cold]
    assert sorted(ran.node for ran in cold) == ["n0", "n1"]
    assert {ran.attempt for ran in cold} == {1}
    assert sum(found.tasks.values()) == 20
    trace = Timeline.of(records).trace()["traceEvents"]
    assert sum("measured" in event.get("args", {}) for event in trace) == 2


def test_where_only_first_tasks_ran_nothing_is_said_to_be_measured() -> None:
    engine = FakeEngine(1, speed=math.inf)
    with Scheduler(engine, locations=lambda _: ["n0"]) as scheduler:
        list(scheduler.map(str, ["c0"]))
        found = scheduler.explain()
    assert found.seconds == {}
    assert found.capacity_scale is None
    words = str(found)
    assert "not measured" in words
    assert "no task has finished except first tasks of workers" in words


def test_the_core_learns_nothing_from_a_task_that_is_not_measured() -> None:
    def mean_after(cold: float | None) -> float:
        core = Core([0, 0], Rates(1.0, 0.5), parse("local_first"), stream(0))
        core.submitted(1, [0], 0.0)
        core.finished(1, 0, 50.0, cold)
        core.submitted(2, [0], 50.0)
        core.finished(2, 0, 51.0, 1.0)
        return core.measured.of(0).mean(0)

    assert mean_after(None) == pytest.approx(1.0)
    assert mean_after(50.0) > 2.0


def test_real_workers_mark_their_first_task_and_those_that_import() -> None:
    def work(chunk: str) -> int:
        if chunk == "c5":
            import colorsys

            return len(colorsys.__name__) // len("colorsys")
        return 0

    engine = ProcessEngine(nodes=1, loader=str)
    with Scheduler(engine, locations=lambda _: ["n0"]) as scheduler:
        assert sum(scheduler.map(work, [f"c{i}" for i in range(10)])) == 1
        cold = [ran.key for ran in scheduler.records if ran.cold]
        keys = [ran.key for ran in scheduler.records]
    assert len(cold) == 2
    assert cold[0] == keys[0]


def test_kernels_are_there_before_the_clock_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the core calls later, it has called before: nothing is looked for on disk."""
    from isocline.compilation.kernel_cache import KernelCache

    core = Core([0] * 3, Rates(1.0, 0.5), parse("late_binding"), stream(0))
    asked: list[str] = []

    def missing(cache: KernelCache, *_: object) -> None:
        asked.append(repr(cache))

    monkeypatch.setattr(KernelCache, "load_overload", missing)
    for task in range(3000):  # beyond the room that there is at first
        core.submitted(task, [task % 3], 0.0, task % 2)
    core.server_lost(1, 1.0)
    for task in range(40):
        server = next(s for s in (0, 2) if core.runs(s))
        core.finished(core.runs(server)[0], server, 1.0 + task, 1.0)
    assert asked == []
    assert np.isfinite(core.next_deadline(41.0)) or core.waiting
