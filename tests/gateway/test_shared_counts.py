import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.errors import UsageError
from isocline.gateway.core.actions import Hold, Send
from isocline.gateway.core.core import Core
from isocline.gateway.shared_counts import SharedCounts
from tests.gateway.core.cores import FAST, SLOW, SMALL, core, sent

URLS = ["http://a", "http://b"]


@pytest.fixture
def table() -> Iterator[SharedCounts]:
    made = SharedCounts.create(3, slots=8)
    yield made
    made.close()
    os.close(made.handle)


def joined(table: SharedCounts, worker: int, urls: list[str] = URLS) -> tuple[SharedCounts, Core]:
    counts, made = SharedCounts.attach(table.handle, worker), core(FAST, SLOW)
    counts.join(made, urls)
    return counts, made


def known(made: Core) -> list[int]:
    return [made.workload(b, 0.0)[0] for b in range(len(made.workloads.own))]


def test_a_worker_sees_at_its_next_step_what_others_have(table: SharedCounts) -> None:
    (a, first), (b, second), (c, third) = (joined(table, w) for w in range(3))
    action = sent(first, 3)[-1]
    sent(second, 1)
    assert known(third) == [0, 0]
    c.step(third, 0.0)
    assert sum(known(third)) == 4
    assert known(third)[action.backend] >= 1
    assert [third.in_flight(b) for b in range(2)] == [0, 0]  # of its own
    first.finished(action.request, 0.1)
    c.step(third, 0.1)
    assert sum(known(third)) == 3
    for counts in (a, b, c):
        counts.close()


def test_workers_agree_on_urls_given_in_any_order(table: SharedCounts) -> None:
    a, first = joined(table, 0)
    b, second = joined(table, 1, ["http://b", "http://a"])
    backend = sent(first, 1)[0].backend
    b.step(second, 0.0)
    assert known(second)[1 - backend] == 1
    assert known(second)[backend] == 0
    a.close()
    b.close()


def test_one_url_twice_is_two_backends(table: SharedCounts) -> None:
    (a, first), (b, second) = (joined(table, w, ["http://a"] * 2) for w in range(2))
    backend = sent(first, 1)[0].backend
    b.step(second, 0.0)
    assert known(second) == known(first)
    assert known(second)[backend] == 1
    a.close()
    b.close()


def test_reload_adds_and_removes_backends(table: SharedCounts) -> None:
    (a, first), (b, second) = (joined(table, w) for w in range(2))
    backend = sent(first, 2)[0].backend
    after = core(FAST, SLOW)
    b.join(after, ["http://new", URLS[backend]])
    assert b.step(second, 0.0) == []  # the core of before has left
    assert known(second) == [0, 0]
    b.step(after, 0.0)
    assert known(after) == [0, first.in_flight(backend)]
    there = sent(after, 1)[0].backend
    a.step(first, 0.0)
    # What it has at the new backend concerns nobody who does not know it.
    assert sum(known(first)) == 2 + (there == 1)
    sent(second, 5)  # not shared any more
    a.step(first, 0.0)
    assert sum(known(first)) == 2 + (there == 1)
    a.close()
    b.close()


def test_a_place_goes_to_nobody_else_and_there_is_an_end_to_them(table: SharedCounts) -> None:
    counts, made = joined(table, 0)
    for i in range(3):
        counts.join(made, [f"http://{i}-a", f"http://{i}-b"])
    with pytest.raises(UsageError, match=r"8 different backend urls .* restart it"):
        counts.join(made, ["http://x", "http://y"])
    counts.join(made, URLS)
    counts.close()


def test_bad_numbers_are_refused(table: SharedCounts) -> None:
    with pytest.raises(UsageError, match="worker 3; give 0 to 2"):
        SharedCounts.attach(table.handle, 3)
    with pytest.raises(UsageError, match="0 workers"):
        SharedCounts.create(0)


def test_room_at_a_peer_sends_what_is_held_here(table: SharedCounts) -> None:
    (a, first), (b, second) = ((SharedCounts.attach(table.handle, w), core(SMALL)) for w in (0, 1))
    a.join(first, URLS[:1])
    b.join(second, URLS[:1])
    full = sent(first, 2)  # its peak
    b.step(second, 0.0)
    held = second.arrived(0.0, 0)
    assert isinstance(held, Hold)
    first.finished(full[0].request, 1.0)
    assert b.step(second, 1.0) == [Send(held.request, 0)]
    a.close()
    b.close()


WORKER = """
import sys, time
from isocline.gateway.core.build import core_of
from isocline.gateway.shared_counts import SharedCounts
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals
from isocline.policies.parse import parse
backends = tuple(Backend(name, HyperbolicCurve(40.0, 12.0)) for name in "ab")
graph = CompatibilityGraph.from_neighbours(2, [[0, 1]])
system = RoutingSystem((Frontend("all", PoissonArrivals(1.0)),), backends, graph)
made = core_of(system, parse("gmsr"))
counts = SharedCounts.attach(int(sys.argv[1]), int(sys.argv[2]))
counts.join(made, ["http://a", "http://b"])
for _ in range(5):
    made.arrived(0.0, 0)
print("sent", flush=True)
while True:
    counts.step(made, time.monotonic())
    if sum(made.workloads.peers) >= int(sys.argv[3]):
        break
    time.sleep(0.001)
print("seen", flush=True)
sys.stdin.read()
"""


def started(table: SharedCounts, worker: int, wanted: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, *map(str, (table.handle, worker, wanted))]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, pass_fds=[table.handle])


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_processes_share_and_the_dead_are_cleared(table: SharedCounts) -> None:
    """The one that looks is this process."""
    others = [started(table, worker, 5) for worker in (1, 2)]
    try:
        assert [line(it) for it in others for _ in range(2)] == ["sent\n", "seen\n"] * 2
        counts, made = joined(table, 0)
        counts.step(made, 0.0)
        assert sum(known(made)) == 10
        others[0].send_signal(signal.SIGKILL)
        assert others[0].wait(60) == -signal.SIGKILL
        counts.step(made, 0.0)
        assert sum(known(made)) == 10  # nobody has seen to it yet
        table.clear(1)
        counts.step(made, 0.0)
        assert sum(known(made)) == 5
        again = started(table, 1, 5)
        others.append(again)
        assert [line(again), line(again)] == ["sent\n", "seen\n"]
        counts.step(made, 0.0)
        assert sum(known(made)) == 10
        counts.close()
    finally:
        for process in others:
            process.kill()
            process.communicate()


class Joint:
    """Three workers, and somebody else who sends to the same two backends."""

    def __init__(self) -> None:
        self.table = SharedCounts.create(3, slots=4)
        self.workers = [joined(self.table, w) for w in range(3)]
        self.flying: list[list[Send]] = [[], [], []]
        self.foreign = [0, 0]
        self.now = 0.0

    def in_flight(self) -> list[int]:
        return [sum(made.in_flight(b) for _, made in self.workers) for b in range(2)]

    def truth(self) -> list[int]:
        return [own + foreign for own, foreign in zip(self.in_flight(), self.foreign, strict=True)]

    def send(self, worker: int, _: int) -> None:
        self.flying[worker] += sent(self.workers[worker][1], 1, self.now)

    def finish(self, worker: int, coin: int) -> None:
        if mine := self.flying[worker]:
            self.workers[worker][1].finished(mine.pop(coin % len(mine)).request, self.now)

    def look(self, worker: int, _: int) -> None:
        counts, made = self.workers[worker]
        counts.step(made, self.now)
        both = zip(made.workloads.own, made.workloads.peers, strict=True)
        assert [own + peers for own, peers in both] == self.in_flight()

    def hear(self, worker: int, coin: int) -> None:
        self.workers[worker][1].reported(coin % 2, self.now, self.truth()[coin % 2])

    def others_send(self, _: int, coin: int) -> None:
        self.foreign[coin % 2] += 1

    def others_finish(self, _: int, coin: int) -> None:
        self.foreign[coin % 2] = max(self.foreign[coin % 2] - 1, 0)

    def close(self) -> None:
        for counts, _ in self.workers:
            counts.close()
        self.table.close()
        os.close(self.table.handle)


EVENTS = [Joint.send, Joint.finish, Joint.look, Joint.hear, Joint.others_send, Joint.others_finish]
STORIES = st.lists(
    st.tuples(st.sampled_from(EVENTS), st.integers(0, 2), st.integers(0, 99)), max_size=120
)


@settings(max_examples=60, deadline=None)
@given(STORIES)
def test_joint_estimates(story: list[tuple[Callable[[Joint, int, int], None], int, int]]) -> None:
    """Never below own counts; the truth once all have looked and heard, and while all look."""
    world = Joint()
    for event, worker, coin in story:
        world.now += 0.001
        event(world, worker, coin)
        for _, made in world.workers:
            assert all(made.workload(b, 0.0)[0] >= made.in_flight(b) >= 0 for b in range(2))
    for worker, (_, made) in enumerate(world.workers):
        world.look(worker, 0)
        world.hear(worker, 0)
        world.hear(worker, 1)
        assert known(made) == world.truth()
    for worker, (_, made) in enumerate(world.workers):
        world.send(0, 0)
        world.look(worker, 0)
        assert known(made) == world.truth()
    world.close()


def test_a_report_of_before_counts_what_peers_had_then(table: SharedCounts) -> None:
    (a, first), (b, second) = (joined(table, w) for w in range(2))
    backend = sent(first, 4)[0].backend
    had = first.in_flight(backend)
    b.step(second, 1.0)
    sent(first, 8, 2.0)
    b.step(second, 2.0)
    second.reported(backend, 3.0, had + 7, measured=1.5)  # seven of somebody else
    assert second.workload(backend, 3.0)[0] == first.in_flight(backend) + 7
    second.tick(1.5 + second.rules.oldest_report)
    jobs, age = second.workload(backend, 20.0)
    assert (jobs, age) == (first.in_flight(backend), math.inf)
    a.close()
    b.close()
