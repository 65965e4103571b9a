"""What the core of the live scheduler costs: `python -m benchmarks.dispatch_core`.

Microseconds of CPU for a task, `submitted` and `finished` together, with 64 tasks in the system, on
8 servers and on 1000, three holders each; the goal is 15. Bytes for each of 10^6 queued tasks, and
how long it takes to queue them, and to lose a server or be joined by one then. And what a second
task ahead is worth: mean completion time in service times, where a server is idle for a share of a
service time between two tasks, at 0.95 of the capacity without that gap.

With `--replay`, instead: whether 10^5 decisions of each policy agree with the simulator's, on a hot
spot and on racks.
"""

import heapq
import math
import sys
import time
import tracemalloc
from collections import deque

import numpy as np

from isocline.dispatch.actions import Action, Fetch, Start
from isocline.dispatch.core.core import Core
from isocline.dispatch.replay import replay
from isocline.dispatch.rules import Rules
from isocline.model.cluster import Cluster, HotSpot, Rates, SampledTasks
from isocline.policies.parse import scheduling_policy as parse
from isocline.policies.scheduling import ALL
from isocline.randomness.draws import stream

POLICIES = ("local_first", "late_binding", "delay_scheduling", "jsq_maxweight", "fifo")
TASKS, IN_SYSTEM, REPLICAS = 50_000, 64, 3
DECISIONS = 100_000


def holders(servers: int, count: int) -> list[list[int]]:
    rng = np.random.default_rng(1)
    return [rng.choice(servers, REPLICAS, replace=False).tolist() for _ in range(count)]


def core_on(
    servers: int, policy: str, rules: Rules | None = None, *, fetches: bool = False
) -> Core:
    rates = Rates(1.0, 0.5)
    return Core([0] * servers, rates, parse(policy), stream(0), rules, fetches=fetches)


def microseconds(servers: int, policy: str, *, fetches: bool = False) -> float:
    """CPU for one task; with `fetches` what is fetched ahead comes at once."""
    core, local = core_on(servers, policy, fetches=fetches), holders(servers, 1000)
    running: deque[Action] = deque()
    ended: set[int] = set()
    now, start = 0.0, 0.0
    in_system = max(IN_SYSTEM, servers * 5 // 4)
    for task in range(TASKS + in_system):
        if task == in_system:
            start = time.process_time()
        now += 1.0 / servers
        running += core.submitted(task, local[task % 1000], now)
        if task >= in_system:
            while isinstance(action := running.popleft(), Fetch):
                fetched, server = action
                if fetched not in ended:
                    running += core.holds(fetched, [*local[fetched % 1000], server], now)
                running += core.fetched(fetched, server, now, 1.0)
            assert isinstance(action, Start)
            ended.add(action.task)
            running += core.finished(action.task, action.server, now, 1.0)
    return 1e6 * (time.process_time() - start) / TASKS


def queued(policy: str, tasks: int = 1_000_000) -> tuple[float, float, float, float]:
    """Bytes for each of many queued tasks; us to queue one; s for a 9th server, and to lose one."""
    core, local = core_on(8, policy), holders(8, 1000)
    tracemalloc.start()
    for task in range(tasks):
        core.submitted(task, local[task % 1000], 0.0)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del core
    core = core_on(8, policy)
    start = time.process_time()
    for task in range(tasks):
        core.submitted(task, local[task % 1000], 0.0)
    each = 1e6 * (time.process_time() - start) / tasks
    start = time.process_time()
    core.server_up(8, 1.0)
    joined = time.process_time() - start
    start = time.process_time()
    core.server_lost(0, 1.0)
    return size / tasks, each, joined, time.process_time() - start


def completion(gap: float, rules: Rules, load: float, tasks: int = 40_000) -> float:
    """Mean completion time of late binding on 8 servers, hot spot, exponential services."""
    rng = np.random.default_rng(2)
    core = core_on(8, "late_binding", rules)
    hot = rng.random(tasks) < 0.8
    came = np.cumsum(rng.exponential(1.0 / (8 * 0.8333 * load), tasks))
    work = rng.exponential(1.0, tasks)
    ends: list[tuple[float, int, int, float]] = []
    queue: list[list[Start]] = [[] for _ in range(8)]
    total, ended, now = 0.0, 0, 0.0

    def begin(server: int, at: float) -> None:
        start = queue[server][0]
        took = work[start.task] * (1.0 if start.level == 0 else 2.0)
        heapq.heappush(ends, (at + took, server, start.task, took))

    def act(actions: list[Action], at: float) -> None:
        for action in actions:
            assert isinstance(action, Start)
            queue[action.server].append(action)
            if len(queue[action.server]) == 1:
                begin(action.server, at + gap)  # it had to be told

    for task in range(tasks + 1):
        until = came[task] if task < tasks else math.inf
        while ends and ends[0][0] <= until:
            now, server, done, took = heapq.heappop(ends)
            total, ended = total + now - came[done], ended + 1
            queue[server].pop(0)
            if queue[server]:
                begin(server, now)
            act(core.finished(done, server, now, took), now)
        if task < tasks:
            where = rng.choice(4, REPLICAS, replace=False) + (0 if hot[task] else 4)
            act(core.submitted(task, where.tolist(), float(until)), float(until))
    return total / ended


def replayed() -> None:
    """At 0.9 of the capacity of each, or what comes near it where only simulation would tell."""
    hot = SampledTasks(REPLICAS, 7.5, HotSpot(0.5, 0.8))
    racks = np.repeat(np.arange(3, dtype=np.int32), 4)
    placed = SampledTasks(REPLICAS, 9.0, HotSpot(0.5, 0.8))
    names = tuple(map(str, range(racks.size)))
    systems = {
        "hot spot": Cluster.numbered(10, Rates(1.0, 0.5), hot),
        "racks": Cluster(names, racks, ("r", "s", "t"), Rates(1.0, 0.5, 0.8), placed),
    }
    for policy in ALL:
        for name, cluster in systems.items():
            start = time.perf_counter()
            found = replay(cluster, policy, decisions=DECISIONS, seed=1)
            said = "all agree" if found.agreed else f"{found.first_difference} differs"
            took = time.perf_counter() - start
            print(f"{policy:24}{name:10}{DECISIONS} decisions: {said}, {took:.0f} s", flush=True)


def main() -> None:
    if "--replay" in sys.argv[1:]:
        replayed()
        return
    print("policy                  us, 8 servers   us, 1000   8 that fetch ahead   1000")
    for policy in POLICIES:
        read = f"{microseconds(8, policy):13.1f}{microseconds(1000, policy):11.1f}"
        fetch = [microseconds(servers, policy, fetches=True) for servers in (8, 1000)]
        print(f"{policy:24}{read}{fetch[0]:21.1f}{fetch[1]:7.1f}")
    for policy in ("local_first", "late_binding"):
        size, each, joined, lost = queued(policy)
        print(f"{policy}: 10^6 queued tasks, {size:.0f} bytes and {each:.1f} us each; "
              f"a server that joins: {joined:.2f} s, one that is lost: {lost:.2f} s")  # fmt: skip
    print("load  gap    never ahead   while it helps")
    for load in (0.5, 0.8, 0.95):
        for gap in (0.0, 0.06, 0.2):
            means = [
                completion(gap, Rules(ahead_gap=least, straggler=math.inf), load)
                for least in (math.inf, 0.01)
            ]
            print(f"{load:4} {gap:5}" + "".join(f"{mean:14.2f}" for mean in means))


if __name__ == "__main__":
    main()
