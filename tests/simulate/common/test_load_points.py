"""Sweeps: their points one after the other here, and all at once on an executor."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from isocline.errors import InfeasibleError, PolicyError
from isocline.simulate.common.executor import Progress, replications_on, silent
from isocline.simulate.routing.compare import sweep
from isocline.simulate.scheduling.compare import sweep_cluster
from tests.builders import mixed
from tests.simulate.common.spread_runs import ON_CLUSTER, SHORT, cluster, figures

LOADS = [0.7, 0.4]


def routing(progress: Progress = silent, loads: Any = LOADS, **options: Any) -> Any:
    return sweep(mixed(), ["gmsr"], loads=loads, progress=progress, **{**SHORT, **options})


@pytest.mark.parametrize(
    "run",
    [
        lambda: routing(loads=[*LOADS, 1.5]),
        lambda: sweep_cluster(cluster(), ON_CLUSTER, loads=LOADS, **SHORT),
    ],
    ids=["routing", "near-data"],
)
def test_points_at_once_are_those_one_after_the_other(run: Callable[[], Any]) -> None:
    here = run()
    with ThreadPoolExecutor(2) as pool, replications_on(pool):
        assert figures(run()) == figures(here)


def test_progress_is_that_of_all_points() -> None:
    seen: list[tuple[int, int]] = []
    with ThreadPoolExecutor(2) as pool, replications_on(pool):
        routing(lambda done, total: seen.append((done, total)))
    assert seen[-1] == (6, 6)
    assert seen == sorted(seen)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_ctrl_c_ends_a_sweep_with_what_is_done(elsewhere: bool) -> None:
    def stop(done: int, total: int) -> None:
        if done >= 8:
            raise KeyboardInterrupt

    with ThreadPoolExecutor(2) as pool:
        if not elsewhere:
            found = routing(stop, replications=300)
        else:
            with replications_on(pool):
                found = routing(stop, replications=300)
    assert found.comparisons[-1].interrupted
    assert all(one.replications < 300 for one in found.comparisons)
    assert elsewhere or len(found.comparisons) == 1


def test_ctrl_c_before_anything_is_done_ends_the_sweep() -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with ThreadPoolExecutor(2) as pool, replications_on(pool), pytest.raises(KeyboardInterrupt):
        routing(stop)


def test_errors_are_those_of_one_machine() -> None:
    with ThreadPoolExecutor(2) as pool, replications_on(pool):
        with pytest.raises(InfeasibleError, match=r"load 1.5 is .* give loads below 1"):
            routing(loads=[1.5, 2.0])
        with pytest.raises(PolicyError, match="no-such"):
            sweep(mixed(), ["no-such"], loads=LOADS, **SHORT)
