"""Scheduling policies of a user's own that raise, choose what they may not, or do not compile."""

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import pytest

import isocline
from isocline import Scheduler, SchedulingPolicy
from isocline.compilation.compiled import identity, value_as
from isocline.dispatch.batch.runner import run_batch
from isocline.dispatch.batch.spec import Batch, RunOptions
from isocline.dispatch.engines.fake import FakeEngine
from isocline.dispatch.errors import UnpickedError
from isocline.dispatch.rules import Rules
from isocline.dispatch.setup import Settings
from isocline.errors import IsoclineError, PolicyError
from isocline.model.cluster import Cluster, Rates, SampledTasks
from isocline.policies.scheduling.contract import (
    CALL,
    DUE,
    NOBODY,
    NOTHING,
    PICK,
    ROUTE,
    ClusterSetting,
)
from isocline.policies.scheduling.contract import Rules as PolicyRules
from isocline.policies.scheduling.random_local import RandomLocal
from isocline.policies.scheduling.state.columns import IDLE, SERVING, WAITING

# The untyped functions are as a user would write them.


@value_as(ROUTE)
def route(local, view, now, rng):  # type: ignore[no-untyped-def]
    if view.option[0] == 1.0:
        raise ValueError("no queue for it")
    if view.option[0] == 2.0:
        return 1000
    return local[0]


@value_as(CALL)
def call(local, queue, view, now, rng):  # type: ignore[no-untyped-def]
    if view.option[0] == 3.0:
        raise KeyError("server")
    if view.option[0] == 4.0:
        return -7
    idle = local.size > 0 and view.columns[local[0], SERVING] == IDLE
    return local[0] if idle else NOBODY


@value_as(PICK)
def pick(server, view, now, rng):  # type: ignore[no-untyped-def]
    if view.option[0] == 5.0:
        raise AssertionError  # as a plain `assert`, which pytest would rewrite
    if view.option[0] == 6.0:
        return -7
    return server if view.columns[server, WAITING] > 0 else NOTHING


@value_as(DUE)
def due(view, now):  # type: ignore[no-untyped-def]
    if view.option[0] == 7.0:
        raise ZeroDivisionError("of the wait")
    if view.option[0] == 8.0:
        return math.nan
    if view.option[0] == 9.0:
        return now
    if view.option[0] == 11.0:
        return now + 1e-3
    return math.inf


@dataclass(frozen=True)
class Faulty(SchedulingPolicy):
    """One thing wrong, by number."""

    name = "faulty"
    waits = True
    what: int = 0

    def rules(self, setting: ClusterSetting) -> PolicyRules:
        return RandomLocal().rules(setting)._replace(route=route, call=call, pick=pick, due=due)

    def option(self, setting: ClusterSetting) -> np.ndarray:  # noqa: ARG002
        return np.array([float(self.what)])


@value_as(CALL)
def calls_nobody(local, queue, view, now, rng):  # type: ignore[no-untyped-def]
    return NOBODY


@value_as(PICK)
def picks_nothing(server, view, now, rng):  # type: ignore[no-untyped-def]
    return NOTHING


@dataclass(frozen=True)
class Never(Faulty):
    """No task is ever started; `what` says when the policy wants to be asked again."""

    name = "never"

    def rules(self, setting: ClusterSetting) -> PolicyRules:
        rules = super().rules(setting)
        return rules._replace(
            route=RandomLocal().rules(setting).route, call=calls_nobody, pick=picks_nothing
        )


def simulated(policy: Any) -> None:
    cluster = Cluster.numbered(4, Rates(local=1.0, remote=0.5), SampledTasks(2, 2.0))
    isocline.simulate(cluster, [policy], horizon=100.0, warmup=0.0, replications=2)


def scheduled(policy: Any) -> None:
    engine = FakeEngine(2, speed=math.inf)
    with Scheduler(
        engine, policy, locations=lambda _: ["n0"], settings=Settings(grace=0.1)
    ) as live:
        live.submit(str, "a")


HERE = r"test_own_scheduling\.py:\d+\)"
FAULTS = [
    (1, rf"raised ValueError: no queue for it \(.*{HERE}"),
    (2, rf"\(.*{HERE}: route returned something else than a queue"),
    (3, rf"raised KeyError: 'server' \(.*{HERE}"),
    (4, rf"\(.*{HERE}: call returned something else than a server that is idle"),
    (5, rf"raised AssertionError \(.*{HERE}"),
    (6, rf"\(.*{HERE}: pick returned something else than a queue in which a task waits"),
    (7, rf"raised ZeroDivisionError: of the wait \(.*{HERE}"),
    (8, rf"\(.*{HERE}: due returned"),
]


@pytest.mark.parametrize("run", [simulated, scheduled])
@pytest.mark.parametrize(("what", "words"), FAULTS)
def test_what_a_rule_does_wrong_ends_the_run(run: Any, what: int, words: str) -> None:
    # Live, the task that comes after the failure may be the first to say so.
    with pytest.raises(IsoclineError, match=f"policy faulty ?{words}") as refusal:
        run(f"{__name__}:Faulty:what={what}")
    assert "\n" not in str(refusal.value)


def test_one_that_fails_live_ends_a_run_of_a_file_without_a_line_for_each_chunk() -> None:
    batch = Batch("job", str, [str(number) for number in range(500)])
    lines: list[Any] = []
    options = RunOptions(policy=f"{__name__}:Faulty:what=6", workers=1)
    with pytest.raises(PolicyError, match=rf"policy faulty \(.*{HERE}: pick returned"):
        run_batch(batch, lines.append, options)
    assert lines == []


def test_a_time_that_has_passed_again_and_again_does_not_hang() -> None:
    with pytest.raises(PolicyError, match=rf"faulty \(.*{HERE}: due returned, again"):
        simulated(Faulty(9))


@pytest.mark.parametrize("what", [9, 10, 11])  # due: at once, never, always in a second
def test_live_tasks_that_are_never_picked_are_given_up_in_words(what: int) -> None:
    rules = Rules(idle_grace=0.05)
    engine = FakeEngine(2, speed=math.inf)
    with Scheduler(engine, Never(what), locations=lambda _: ["n0"], rules=rules) as live:
        futures = [live.submit(str, "a", key=key) for key in "abc"]
        for future in futures:
            with pytest.raises(
                UnpickedError, match="policy never starts none of the 3 waiting tasks"
            ):
                future.result()
        said = str(futures[0].exception())
        assert "2 servers had no work for 0.05 s" in said
        assert "correct its `pick`" in said
        assert "Rules.idle_grace" in said
    assert live.statistics().failed == 3


def test_a_policy_that_waits_for_more_tasks_may() -> None:
    rules = Rules(idle_grace=math.inf)
    engine = FakeEngine(2, speed=math.inf)
    with Scheduler(engine, Never(10), locations=lambda _: ["n0"], rules=rules) as live:
        future = live.submit(str, "a")
        with pytest.raises(TimeoutError):
            future.result(timeout=0.2)
        future.cancel()


@pytest.mark.parametrize("run", [simulated, scheduled])
def test_the_same_policy_without_a_fault_runs(run: Any) -> None:
    run(Faulty())


@value_as(PICK)
def too_few(server, view):  # type: ignore[no-untyped-def]
    return server


@numba.njit
def not_a_queue(server, view, now, rng):  # type: ignore[no-untyped-def]
    return view.tasks


def plain(server, view, now, rng):  # type: ignore[no-untyped-def]
    return server


PICKS = {"too_few": too_few, "not_a_queue": not_a_queue, "plain": plain}


@dataclass(frozen=True)
class Shaped(SchedulingPolicy):
    """A policy that gives something else than it should."""

    name = "shaped"
    what: str = ""

    def rules(self, setting):  # type: ignore[no-untyped-def]
        known = RandomLocal().rules(setting)
        if self.what in PICKS:
            return known._replace(pick=PICKS[self.what])
        if self.what == "raises":
            raise KeyError(self.what)
        return tuple(known) if self.what == "tuple" else known

    def option(self, setting: ClusterSetting) -> Any:  # noqa: ARG002
        wrong: dict[str, Any] = {"text": ["a"], "flat": 3.0, "nan": [math.nan]}
        return wrong.get(self.what, np.zeros(0))

    def queues(self, setting):  # type: ignore[no-untyped-def]
        return {"few": 1, "half": 4.5}.get(self.what, setting.size)

    def queue_levels(self, setting):  # type: ignore[no-untyped-def]
        return (
            np.full(setting.size - 1, -1)
            if self.what == "queue_levels"
            else super().queue_levels(setting)
        )


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("too_few", r" \(.*:\d+\): it must be pick\(server, view, now, rng\) -> queue; found too_"),
        (
            "not_a_queue",
            r" \(.*:\d+\): numba cannot compile it: it returns .*, not a queue; it mus",
        ),
        ("plain", r": pick is not compiled; write pick\(.*@value_as\(PICK\) above it"),
        ("raises", r": rules: KeyError: 'raises' \(.*test_own_scheduling.py:\d+\)"),
        ("tuple", r": rules gives tuple; it must give .*Rules\(route"),
        ("text", r": option gives str.*; it must give an array of float64, of one dimension"),
        ("flat", r": option has shape \(\); it must give"),
        ("nan", r": option: entry \[0\] is nan"),
        ("few", r": queues gives 1; give a whole number, at least one queue for each of 4 servers"),
        ("half", r": queues gives 4.5; give a whole number"),
        (
            "queue_levels",
            r": queue_levels has shape \(3,\); it must give an array of int8, one entry for each",
        ),
    ],
)
def test_what_a_class_gives_wrong_is_named(what: str, words: str) -> None:
    with pytest.raises(PolicyError, match=f"^policy shaped{words}") as refusal:
        simulated(Shaped(what))
    assert "\n" not in str(refusal.value)


LIMIT = 3


def within_the_limit(server: int) -> int:
    return server if server < LIMIT else -1


def test_code_is_kept_apart_by_what_it_reads_from_around_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def below(limit: int) -> Any:
        return lambda server: server < limit

    assert identity(below(3)) == identity(below(3))
    assert identity(below(3)) != identity(below(4))
    before = identity(within_the_limit)
    monkeypatch.setitem(globals(), "LIMIT", 4)
    assert identity(within_the_limit) != before
