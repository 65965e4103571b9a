"""`isocline simulate` on clusters of Ray and Dask: results of one machine."""

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from isocline.dispatch import Scheduler
from isocline.dispatch.batch.engine import cluster_engine
from isocline.simulate.common.executor import replications_on
from tests.dispatch.rigs import SOON
from tests.running import running
from tests.simulate.common.spread_runs import KINDS, figures, routing

EXAMPLES = Path(__file__).parents[3] / "examples"
# Ray: on the loopback only, with a token of this run alone.
SAFE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
SHORT = ("--horizon", "400", "--warmup", "50", "--replications", "4", "--json")


def command(verb: str, *arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "isocline", verb, *map(str, arguments)]


def run(
    verb: str, *arguments: str | Path, cwd: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(verb, *arguments),
        capture_output=True,
        text=True,
        check=False,
        env={**SAFE, **os.environ},
        cwd=cwd,
    )


@contextmanager
def dask_cluster() -> Iterator[str]:
    pytest.importorskip("distributed")
    from tests.dispatch.engines.dask.clusters import killable_cluster

    with killable_cluster(2) as killable:
        yield killable.cluster.scheduler_address


@contextmanager
def ray_cluster() -> Iterator[str]:
    os.environ.update({name: os.environ.get(name, value) for name, value in SAFE.items()})
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    small = {"num_cpus": 1, "object_store_memory": 80 << 20}
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={**small, "include_dashboard": False}
    )
    try:
        cluster.add_node(**small)
        yield cluster.address
    finally:
        cluster.shutdown()


CLUSTERS = {"dask": dask_cluster, "ray": ray_cluster}


@pytest.fixture(scope="module", params=CLUSTERS)
def engine(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    with CLUSTERS[request.param]() as address:
        yield request.param, address


@pytest.mark.parametrize("kind", KINDS)
def test_results_are_those_of_one_machine(engine: tuple[str, str], kind: str) -> None:
    here = KINDS[kind]()
    with (
        Scheduler(cluster_engine(*engine)) as scheduler,
        replications_on(scheduler.executor()),
    ):
        there = KINDS[kind]()
    assert figures(there) == figures(here)


def test_a_killed_worker_loses_nothing_and_counts_nothing_twice(engine: tuple[str, str]) -> None:
    here = routing(replications=200)
    with Scheduler(cluster_engine(*engine)) as scheduler:
        executor = scheduler.executor()
        waiting = [executor.submit(os.getpid).result(SOON)]

        def kill_one(done: int, total: int) -> None:
            if done >= 10 and waiting:
                os.kill(waiting.pop(), signal.SIGKILL)

        with replications_on(executor):
            there = routing(replications=200, progress=kill_one)
        assert not waiting
    assert figures(there) == figures(here)


OWN = """
import helpers_of_mine

def first(candidates, view, now, rng):
    return candidates[helpers_of_mine.PLACE]
"""


def test_the_verb_sends_policies_and_sweeps_to_the_cluster(
    engine: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "helpers_of_mine.py").write_text("PLACE = 0\n")
    name, address = engine
    policies = ("--policy", "gmsr", "--policy", "mine:first")
    asked = (EXAMPLES / "n_model.yaml", *policies, *SHORT, "--load", "0.2,0.3")
    here = run("simulate", *asked, cwd=tmp_path)
    there = run("simulate", *asked, "--engine", name, "--address", address, cwd=tmp_path)
    assert (here.returncode, there.returncode) == (0, 0), there.stderr
    assert _figures(there.stdout) == _figures(here.stdout)


def _figures(printed: str) -> Any:
    class _Document:
        @staticmethod
        def to_dict() -> Any:
            return json.loads(printed)

    return figures(_Document())


def test_ctrl_c_ends_with_what_is_done_so_far(engine: tuple[str, str]) -> None:
    name, address = engine
    asked = (EXAMPLES / "n_model.yaml", "--policy", "gmsr", "--json")
    endless = ("--replications", "100000", "--horizon", "3000", "--warmup", "9")
    with running(
        command("simulate", *asked, *endless, "--engine", name, "--address", address),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**SAFE, **os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stderr
        for line in process.stderr:  # "simulating, 10 s: 500 of 100,000 replications"
            done = line.partition(": ")[2].partition(" of ")[0].replace(",", "")
            if line.startswith("simulating") and done.isdigit() and int(done) >= 2:
                break
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    document = json.loads(stdout)
    assert document["interrupted"]
    assert 2 <= document["replications"] < 100000
