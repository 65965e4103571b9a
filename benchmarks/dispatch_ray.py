"""Ray's own placement, as a contestant of `dispatch_policies`.

Eight Ray nodes of one CPU each; chunks are Ray's objects, each in the stores of three of them, and
Ray decides where tasks run and fetches what they need. What it fetches cannot be slowed down from
outside, so a task that runs where its chunk was not put waits for as long as the link would take.
Objects below 100 kB are in stores, too, so that Ray knows where they are.
"""

import itertools
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

# Before Ray is imported: on the loopback only, with a token of this run alone.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

import numpy as np
import ray
from ray.cluster_utils import Cluster
from ray.experimental import get_local_object_locations
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from benchmarks.dispatch_parquet import parquet
from benchmarks.dispatch_task import KINDS, Answer
from benchmarks.dispatch_work import (
    LINK,
    NODES,
    SPEED,
    Contestant,
    Scene,
    holders,
    start,
)

_STORE = 128 << 20  # bytes of each node's; the chunks there take a fourth of that


class Setting(NamedTuple):
    """Of Ray."""

    name: str
    system: dict[str, Any]


# Of what was tried at 0.9 of capacity on a busy machine the strategy SPREAD took 1.7 times as long
# as Ray's default, and no more than 8 tasks given at a time 1.6 times.
SETTINGS = (
    Setting("Ray, as shipped", {}),
    # Ray nodes tell one another ten times as often what is free.
    Setting("Ray, tuned", {"raylet_report_resources_period_milliseconds": 10}),
)


@ray.remote(num_cpus=1)
def _run(kind: str, data: bytes, at: tuple[str, ...]) -> Answer:
    """One function for both kinds, as Ray gives a worker to tasks of one function at a time."""
    node = ray.get_runtime_context().get_node_id()
    return KINDS[kind](data, SPEED, node, 0.0 if node in at else len(data) / LINK)


@ray.remote(num_cpus=0)
def _made(*data: bytes) -> Any:
    return data if len(data) > 1 else data[0]


@ray.remote(num_cpus=0)
def _fetched(*_data: bytes) -> None:
    """A copy of each is in this node's store now."""


class Ray:
    """One cluster."""

    def __init__(self, setting: Setting, nodes: list[str], of: Scene) -> None:
        self.name = setting.name
        self._holders = holders(of, nodes)
        self._chunks = _placed(of, self._holders)
        self._kinds = of.kinds
        spread = _run.options(scheduling_strategy="SPREAD")
        # 0.1 s each: until each node's worker has run some, and so has loaded Arrow.
        file, _ = parquet(np.random.default_rng(0), int(0.1 * SPEED))
        ray.get([spread.remote("sums", file, tuple(nodes)) for _ in range(8 * NODES)])

    def submit(self, task: int, ended: Callable[[Answer, bool], None]) -> None:
        def hear(future: Any) -> None:
            done = future.result()
            ended(done, done.node in self._holders[task])

        ref = _run.remote(self._kinds[task], self._chunks[task], self._holders[task])
        ref.future().add_done_callback(hear)
        self._chunks[task] = None


def _placed(of: Scene, at: list[tuple[str, ...]]) -> list[Any]:
    """The chunks, all of those at the same nodes at once."""
    refs: list[Any] = [None] * len(at)
    order = sorted(range(len(at)), key=at.__getitem__)
    copies = []
    for nodes, tasks in itertools.groupby(order, at.__getitem__):
        which = list(tasks)
        made = _made.options(scheduling_strategy=_on(nodes[0]), num_returns=len(which))
        answer = made.remote(*[of.data[i] for i in which])
        group = answer if len(which) > 1 else [answer]
        copies += [_fetched.options(scheduling_strategy=_on(n)).remote(*group) for n in nodes[1:]]
        for i, ref in zip(which, group, strict=True):
            refs[i] = ref
    ray.get(copies)
    _require_at(refs, at)
    return refs


def _require_at(refs: list[Any], at: list[tuple[str, ...]]) -> None:
    """Owners hear of copies a little later."""
    wrong = len(refs)
    for _ in range(100):
        found = get_local_object_locations(refs)
        wrong = sum(
            set(found[ref]["node_ids"]) != set(nodes) for ref, nodes in zip(refs, at, strict=True)
        )
        if not wrong:
            return
        time.sleep(0.1)
    raise AssertionError(f"Ray has not put {wrong} of {len(refs)} chunks where asked")


def _on(node: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node, soft=False)


@contextmanager
def cluster_of(setting: Setting, **more: Any) -> Iterator[list[str]]:
    """Nodes of a cluster, besides the driver's, which has no CPU."""
    common = {"object_store_memory": _STORE, "include_dashboard": False}
    system = {**more, **setting.system}
    cluster = Cluster(
        initialize_head=True, head_node_args={**common, "num_cpus": 0, "_system_config": system}
    )
    try:
        nodes = [cluster.add_node(**common, num_cpus=1, wait=False) for _ in range(NODES)]
        cluster.wait_for_nodes()
        ray.init(cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        yield [node.node_id for node in nodes]
    finally:
        ray.shutdown()
        cluster.shutdown()


@contextmanager
def own_placement(setting: Setting, of: Scene, _directory: Path) -> Iterator[Contestant]:
    with cluster_of(setting, max_direct_call_object_size=0) as nodes:
        yield Ray(setting, nodes, of)


ALL = [start(own_placement, setting) for setting in SETTINGS]
