"""Placement: every task is bound once, to a free thread, whatever happens to workers and tasks."""

import random
from collections import Counter
from typing import Any

import pytest

pytest.importorskip("distributed")

from isocline.integrations.dask.placement import Placement
from isocline.model.cluster import Rates
from isocline.policies.parse import scheduling_policy
from isocline.randomness.draws import stream

POLICIES = ["late_binding", "local_first", "balanced_pandas", "delay_scheduling", "fifo"]


class Cluster:
    """A placement, with what Dask would know of its decisions."""

    def __init__(self, policy: str = "late_binding", workers: int = 3, threads: int = 1) -> None:
        self.now = 0.0
        self.place = Placement(scheduling_policy(policy), Rates(1.0, 0.5), stream(1))
        self.running: dict[Any, str] = {}
        self.dropped: set[Any] = set()
        self.threads = threads
        for i in range(workers):
            self.up(f"w{i}")

    def up(self, worker: str) -> None:
        self.place.worker_up(worker, self.threads, self.now)
        self.act()

    def lost(self, worker: str) -> list[Any]:
        """Tasks that ran there, which Dask submits anew."""
        gone = [key for key, at in self.running.items() if at == worker]
        for key in gone:
            del self.running[key]
        self.place.worker_lost(worker, self.now)
        self.act()
        return gone

    def submit(self, key: Any, *holders: str, first: bool = False) -> None:
        self.place.submit(key, holders, "read", self.now, first=first)
        self.act()

    def end(self, key: Any, seconds: float | None = 1.0, done: bool = True) -> None:
        del self.running[key]
        self.place.ended(key, self.now, seconds, done=done)
        self.act()

    def act(self) -> None:
        decisions = self.place.take()
        for key, worker in decisions.starts.items():
            assert key not in self.running, "bound twice"
            self.running[key] = worker
        self.dropped.update(decisions.dropped)


def test_a_task_goes_to_a_free_worker_that_holds_its_data() -> None:
    cluster = Cluster()
    cluster.submit("a", "w1")
    assert cluster.running == {"a": "w1"}
    assert cluster.place.worker_of("a") == "w1"


def test_a_task_waits_for_the_first_free_one_of_its_workers() -> None:
    cluster = Cluster()
    for key, worker in {"a": "w0", "b": "w1", "c": "w2"}.items():
        cluster.submit(key, worker)
    cluster.submit("d", "w0", "w1")
    assert cluster.place.waits("d")
    cluster.end("b")
    assert cluster.running["d"] == "w1"


def test_what_needs_results_of_others_goes_first() -> None:
    cluster = Cluster(workers=1)
    for key in "abc":
        cluster.submit(key, "w0")
    cluster.submit("d", "w0", first=True)
    order = []
    while cluster.running:
        (key,) = cluster.running
        order.append(key)
        cluster.end(key)
    assert order == ["a", "d", "b", "c"]


def test_a_worker_has_as_many_tasks_as_threads() -> None:
    cluster = Cluster(workers=2, threads=3)
    for i in range(20):
        cluster.submit(i, "w0", "w1")
    assert Counter(cluster.running.values()) == {"w0": 3, "w1": 3}


def test_a_task_of_dasks_own_occupies_a_thread() -> None:
    cluster = Cluster(workers=1, threads=2)
    cluster.place.occupy("theirs", "w0", 0.0)
    for key in "ab":
        cluster.submit(key, "w0")
    assert cluster.running == {"a": "w0"}
    assert "theirs" not in cluster.place
    cluster.place.ended("theirs", 1.0, None, done=True)
    cluster.act()
    assert set(cluster.running) == {"a", "b"}


def test_what_dask_places_at_a_busy_worker_gets_the_next_thread() -> None:
    """Or more data would be read before the results that there are have been used."""
    cluster = Cluster(workers=1)
    for key in "abc":
        cluster.submit(key, "w0")
    cluster.place.occupy("uses a", "w0", 0.0)
    cluster.end("a")
    assert not cluster.running
    cluster.place.ended("uses a", 1.0, None, done=True)
    cluster.act()
    assert set(cluster.running) == {"b"}


def test_a_task_that_is_withdrawn_frees_its_thread() -> None:
    cluster = Cluster(workers=1)
    for key in "abc":
        cluster.submit(key, "w0")
    cluster.place.ended("b", 0.0, None, done=False)
    cluster.end("a", None, done=False)
    assert set(cluster.running) == {"c"}
    assert "b" not in cluster.place


def test_a_task_whose_last_holder_goes_is_handed_back() -> None:
    cluster = Cluster(workers=2)
    cluster.submit("a", "w0")
    cluster.submit("b", "w0")
    cluster.submit("c", "w0", "w1")
    cluster.submit("d", "w0", "w1")
    assert cluster.lost("w0") == ["a"]
    assert cluster.dropped == {"b"}
    assert cluster.running == {"c": "w1"}
    assert cluster.place.waits("d")


def test_a_new_holder_takes_what_waits() -> None:
    cluster = Cluster(workers=1)
    for key in "abc":
        cluster.submit(key, "w0")
    cluster.up("w9")
    for key in "cb":
        cluster.place.hold(key, ["w0", "w9"], 0.0)
        cluster.act()
    assert cluster.running["c"] == "w9"


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("threads", [1, 2])
def test_nothing_is_lost_or_done_twice(policy: str, threads: int) -> None:
    rng = random.Random(5)
    cluster = Cluster(policy, 4, threads)
    present = {f"w{i}" for i in range(4)}
    done: list[Any] = []
    left = list(range(300))
    while left or cluster.running or cluster.place.waiting:
        cluster.now += 0.5
        what = rng.random()
        if left and what < 0.5:
            holders = rng.sample(sorted(present), min(2, len(present)))
            cluster.submit(left.pop(), *holders)
        elif what < 0.55 and len(present) > 1:
            worker = rng.choice(sorted(present))
            present.remove(worker)
            left += cluster.lost(worker)
        elif what < 0.6 and len(present) < 5:
            worker = f"w{cluster.now}"
            present.add(worker)
            cluster.up(worker)
        elif cluster.running:
            key = rng.choice(sorted(cluster.running))
            done.append(key)
            cluster.end(key, rng.expovariate(1.0))
        cluster.place.tick(cluster.now)
        cluster.act()
        left += cluster.dropped
        cluster.dropped.clear()
        busy = Counter(cluster.running.values())
        assert set(busy) <= present
        assert max(busy.values(), default=0) <= 2 * threads  # one may be pipelined at each
    assert sorted(done) == list(range(300))
