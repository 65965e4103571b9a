"""Replications on an executor: results of one machine, whatever befalls the others."""

import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, final

import pytest

from isocline.dispatch import Scheduler
from isocline.errors import PolicyError
from isocline.simulate.common.executor import replications_on
from isocline.simulate.routing.compare import simulate
from tests.builders import mixed
from tests.live.processes import until
from tests.simulate.common.spread_runs import KINDS, SHORT, figures, routing


@pytest.fixture(scope="module")
def scheduler() -> Iterator[Scheduler]:
    with Scheduler(nodes=2) as scheduler:
        yield scheduler


@pytest.fixture
def elsewhere(scheduler: Scheduler) -> Iterator[Scheduler]:
    with replications_on(scheduler.executor()):
        yield scheduler


@pytest.mark.parametrize("kind", KINDS)
def test_results_are_those_of_threads_to_the_last_bit(scheduler: Scheduler, kind: str) -> None:
    here = KINDS[kind]()
    done = scheduler.statistics().finished
    with replications_on(scheduler.executor()):
        there = KINDS[kind]()
    assert figures(there) == figures(here)
    assert scheduler.statistics().finished - done == 2 * there.replications  # each once
    if "until" in kind:
        assert there.replications > SHORT["replications"]


@final
class _Pickling(Executor):
    """Executor that knows nothing of simulations: each call goes through its pickle."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        function, given, named = pickle.loads(pickle.dumps((fn, args, kwargs)))
        future.set_result(function(*given, **named))
        return future


def test_any_executor_will_do() -> None:
    here = routing()
    with replications_on(_Pickling()):
        assert figures(routing()) == figures(here)


def test_outside_the_block_replications_run_here() -> None:
    with replications_on(_Pickling()):
        pass
    with pytest.raises(ZeroDivisionError), replications_on(_Pickling()):
        raise ZeroDivisionError
    routing()  # a scheduler of another test would count tasks


def test_a_killed_worker_loses_nothing_and_counts_nothing_twice() -> None:
    here = routing(replications=100)
    with Scheduler(nodes=2) as scheduler:
        executor = scheduler.executor()
        waiting = [executor.submit(os.getpid).result()]

        def kill_one(done: int, total: int) -> None:
            if done >= 10 and waiting:
                os.kill(waiting.pop(), signal.SIGKILL)

        with replications_on(executor):
            there = routing(replications=100, progress=kill_one)
        until(
            lambda: scheduler.statistics().attempts["lost"],
            lambda: "the worker was idle when it was killed",
        )
    assert figures(there) == figures(here)


@pytest.mark.usefixtures("elsewhere")
def test_ctrl_c_keeps_what_is_complete_and_cancels_the_rest(scheduler: Scheduler) -> None:
    def stop(done: int, total: int) -> None:
        if done >= 6:
            raise KeyboardInterrupt

    found = routing(replications=300, progress=stop)
    assert found.interrupted
    assert 2 <= found.replications < 300
    until(lambda: not scheduler.statistics().waiting, lambda: "replications that nobody wants run")
    assert not routing().interrupted  # the scheduler goes on


FIRST = """
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from isocline.compilation.compiled import value_as
from isocline.policies.routing.contract import CHOOSE, RoutingPolicy
from helpers_of_mine import PLACE

def first(candidates, view, now, rng):
    return candidates[PLACE]

@value_as(CHOOSE)
def _choose(candidates, view, now, rng):
    return candidates[PLACE]

@dataclass(frozen=True)
class First(RoutingPolicy):
    name: ClassVar[str] = "first"
    choose = _choose

    def table(self, setting, workloads):
        return np.zeros((len(setting.curves), workloads.size))
"""
OWN = ["policies_of_mine:first", "policies_of_mine:First"]


def forget(*modules: str) -> None:
    for name in modules:
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("elsewhere")
def test_policies_of_the_users_own_go_where_their_files_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for place in (0, -1):  # a changed file takes the place of the one sent before
        forget("policies_of_mine", "helpers_of_mine")
        (tmp_path / "policies_of_mine.py").write_text(FIRST)
        (tmp_path / "helpers_of_mine.py").write_text(f"PLACE = {place}\n")

        def unlink(done: int, total: int) -> None:
            for file in tmp_path.glob("*.py"):  # once imported here, before the first is begun
                file.unlink()

        there = simulate(mixed(), OWN, load=0.3, progress=unlink, **SHORT)
        one, other = there.policies
        assert one.mean_latency == other.mean_latency
        found.append(one.mean_latency)
    forget("policies_of_mine", "helpers_of_mine")
    assert found[0] != found[1]


@pytest.mark.usefixtures("elsewhere")
def test_errors_of_policies_are_those_that_they_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wrong_of_mine.py").write_text(
        "def wrong(candidates, view, now, rng):\n    return candidates[0] + 1000\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PolicyError, match="returned an edge not in `candidates`"):
        simulate(mixed(), ["wrong_of_mine:wrong"], load=0.3, **SHORT)
    forget("wrong_of_mine")
