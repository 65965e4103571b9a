"""A slow, obviously correct twin of the cluster kernels: which states may come next.

Where a policy draws, the twin follows every outcome, so it shares no order of anything with the
kernels: a run is right if each state it shows is one that the rules allow. Tasks are (born, local
servers). Lengths, longest queues, idle servers: all counted anew each time.
"""

# ruff: noqa: ARG002 - every policy is asked in the same words
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

Task = tuple[float, tuple[int, ...]]
NOTHING = -1
ANY_LOCAL = -2
COMMON = -3  # in the twin's words, whatever its number is


class Serving(NamedTuple):
    task: Task
    queue: int
    level: int


@dataclass(frozen=True)
class State:
    """What is where; `hidden` is what a policy remembers, or what is left of a stream."""

    waiting: tuple[tuple[Task, ...], ...]  # per queue; of tasks that are not bound, one of all
    serving: tuple[Serving | None, ...]
    hidden: Any = None

    def idle(self) -> list[int]:
        return [m for m, one in enumerate(self.serving) if one is None]


@dataclass
class World:
    """The rules that all policies share."""

    rack: list[int]
    rate: tuple[float, float, float]
    racks: bool
    by_data: bool
    policy: "Policy"
    slotted: bool = False

    def level(self, server: int, queue: int, task: Task) -> int:
        servers = len(self.rack)
        if self.by_data:
            if server in task[1]:
                return 0
            near = any(self.rack[m] == self.rack[server] for m in task[1])
        else:
            if queue == server:
                return 0
            if queue >= servers:
                return self.policy.levels[queue // servers]
            near = self.rack[queue] == self.rack[server]
        return 1 if self.racks and near else 2

    def arrivals(self, state: State, task: Task) -> Iterator[State]:
        for queue in self.policy.route(self, state, task[1]):
            at = 0 if queue == ANY_LOCAL else queue
            lines = list(state.waiting)
            lines[at] = (*lines[at], task)
            yield replace(state, waiting=tuple(lines))

    def starts(self, state: State, server: int, now: float) -> Iterator[tuple[State, bool]]:
        """All that may happen when an idle server is offered work, and whether it takes any."""
        for queue, hidden in self.policy.pick(self, state, server, now):
            if queue == NOTHING:
                yield replace(state, hidden=hidden), False
                continue
            at, seen = self.line(state, queue)
            task = seen[0]
            lines = list(state.waiting)
            rest = list(lines[at])
            rest.remove(task)
            lines[at] = tuple(rest)
            serving = list(state.serving)
            serving[server] = Serving(task, queue, self.level(server, queue, task))
            yield State(tuple(lines), tuple(serving), hidden), True

    def line(self, state: State, queue: int) -> tuple[int, tuple[Task, ...]]:
        """Where the tasks of a queue or list wait, and which they are."""
        servers = len(self.rack)
        if self.policy.binds:
            return queue, state.waiting[queue]
        tasks = state.waiting[0]
        if queue < servers:
            return 0, tuple(t for t in tasks if queue in t[1])
        if queue > servers:
            rack = queue - servers - 1
            return 0, tuple(t for t in tasks if any(self.rack[m] == rack for m in t[1]))
        return 0, tasks

    def ended(self, state: State, server: int) -> State:
        serving = list(state.serving)
        serving[server] = None
        return replace(state, serving=tuple(serving))

    def settled(self, states: set[State], local: tuple[int, ...], now: float) -> set[State]:
        """After an arrival in continuous time: as long as an idle server is called and starts."""
        done: set[State] = set()
        left = set(states)
        while left:
            state = left.pop()
            for server in self.policy.call(self, state, local, now):
                if server is None:
                    done.add(state)
                    continue
                for after, took in self.starts(state, server, now):
                    (left if took else done).add(after)
        return done

    def scheduled(self, state: State, now: float) -> set[State]:
        """The slotted clock: own tasks first where tasks are bound, else in any order.

        Where they are not, a server is asked even if no task waits at all.
        """
        own = {m for m in state.idle() if self.line(state, m)[1]}
        found = self._in_any_order({(state, frozenset(own))}, now, own=True)
        settled = {one for one in found if self.policy.binds and not any(map(len, one.waiting))}
        rest = {(one, frozenset(one.idle())) for one in found - settled}
        return settled | self._in_any_order(rest, now, own=False)

    def _in_any_order(
        self, left: set[tuple[State, frozenset[int]]], now: float, own: bool
    ) -> set[State]:
        done: set[State] = set()
        while left:
            state, asked = left.pop()
            if not asked:
                done.add(state)
            for server in asked:
                if own and not self.line(state, server)[1]:
                    left.add((state, asked - {server}))
                    continue
                for after, _ in self.starts(state, server, now):
                    left.add((after, asked - {server}))
        return done


class Policy:
    """`length` counts as the policy does."""

    binds = True
    levels: tuple[int, ...] = (0, 1, 2)

    def __init__(self, counts_service: bool = True):
        self.counts_service = counts_service

    def length(self, state: State, queue: int) -> int:
        served = sum(1 for s in state.serving if s is not None and s.queue == queue)
        return len(state.waiting[queue]) + (served if self.counts_service else 0)

    def route(self, world: World, state: State, local: tuple[int, ...]) -> list[int]:
        return least(local, lambda m: self.length(state, m))

    def call(
        self, world: World, state: State, local: tuple[int, ...], now: float
    ) -> list[int | None]:
        raise NotImplementedError

    def pick(self, world: World, state: State, server: int, now: float) -> list[tuple[int, Any]]:
        raise NotImplementedError


def least(names: Any, value: Callable[[int], float]) -> list[int]:
    lowest = min(value(m) for m in names)
    return [m for m in names if value(m) == lowest]


def most(names: Any, value: Callable[[int], float]) -> list[int]:
    return least(names, lambda m: -value(m))


class LocalOnly(Policy):
    def call(
        self, world: World, state: State, local: tuple[int, ...], now: float
    ) -> list[int | None]:
        waiting = [m for m in state.idle() if state.waiting[m]]
        return [*waiting] or [None]

    def pick(self, world: World, state: State, server: int, now: float) -> list[tuple[int, Any]]:
        return [(server if state.waiting[server] else NOTHING, None)]


class RandomLocal(LocalOnly):
    def route(self, world: World, state: State, local: tuple[int, ...]) -> list[int]:
        return list(local)


class LocalFirst(LocalOnly):
    """Helping is for the longest queue of which a task waits, if above the threshold."""

    def pick(self, world: World, state: State, server: int, now: float) -> list[tuple[int, Any]]:
        if state.waiting[server]:
            return [(server, None)]
        servers = range(len(world.rack))
        waiting = [m for m in servers if state.waiting[m]]
        near = [m for m in waiting if world.racks and world.rack[m] == world.rack[server]]
        for names, rate in ((near, world.rate[1]), (waiting, world.rate[2])):
            longest = most(names, lambda m: self.length(state, m)) if names else []
            if longest and self.length(state, longest[0]) > world.rate[0] / rate:
                return [(m, None) for m in longest]
        return [(NOTHING, None)]

    def call(
        self, world: World, state: State, local: tuple[int, ...], now: float
    ) -> list[int | None]:
        own = [m for m in state.idle() if state.waiting[m]]
        if own:
            return [*own]
        wanting = [m for m in state.idle() if self.pick(world, state, m, now)[0][0] != NOTHING]
        # Those of the rack of the queue they would take from are called first.
        near = [
            m
            for m in wanting
            if world.racks
            and any(world.rack[q] == world.rack[m] for q, _ in self.pick(world, state, m, now))
        ]
        return [*(near or wanting)] or [None]


class MaxWeight(Policy):
    """Queue M is the common one."""

    levels = (0, 2)

    def route(self, world: World, state: State, local: tuple[int, ...]) -> list[int]:
        common = len(world.rack)
        best = least(local, lambda m: self.length(state, m))
        return [common] if self.length(state, common) < self.length(state, best[0]) else best

    def call(
        self, world: World, state: State, local: tuple[int, ...], now: float
    ) -> list[int | None]:
        own = [m for m in state.idle() if state.waiting[m]]
        return [*own] or [*(state.idle() if state.waiting[-1] else [])] or [None]

    def pick(self, world: World, state: State, server: int, now: float) -> list[tuple[int, Any]]:
        common = len(world.rack)
        weight = {
            q: rate * self.length(state, q)
            for q, rate in ((server, world.rate[0]), (common, world.rate[2]))
            if state.waiting[q]
        }
        if not weight:
            return [(NOTHING, None)]
        return [(max(weight, key=lambda q: (weight[q], q == server)), None)]


class Fifo(Policy):
    def route(self, world: World, state: State, local: tuple[int, ...]) -> list[int]:
        return [len(world.rack)]

    def call(
        self, world: World, state: State, local: tuple[int, ...], now: float
    ) -> list[int | None]:
        return [*(state.idle() if state.waiting[-1] else [])] or [None]

    def pick(self, world: World, state: State, server: int, now: float) -> list[tuple[int, Any]]:
        return [(len(world.rack) if state.waiting[-1] else NOTHING, None)]


class Pandas(Policy):
    """Queue b M + m is server m's of block b."""

    def __init__(self, racks: bool) -> None:
        super().__init__()
        self.levels = (0, 1, 2) if racks else (0, 2)

    def workload(self, world: World, state: State, server: int) -> float:
        # In this order, so that equal workloads are equal to the last bit.
        order = sorted(enumerate(self.levels), key=lambda block: (0, 2, 1)[block[1]])
        total = 0.0
        for block, level in order:
            total += self.length(state, block * len(world.rack) + server) / world.rate[level]
        return total

    def route(self, world: World, state: State, local: tuple[int, ...]) -> list[int]:
        servers = len(world.rack)
        weight: dict[int, float] = {}
        for m in range(servers):
            level = 0 if m in local else 2
            if level and world.racks and any(world.rack[m] == world.rack[n] for n in local):
                level = 1
            block = self.levels.index(level)
            weight[block * servers + m] = self.workload(world, state, m) / world.rate[level]
        best = least(weight, lambda q: weight[q])
        nearest = min(q // servers for q in best)
        return [q for q in best if q // servers == nearest]

    def call(
        self, world: World, state: State, local: tuple[int, ...], now: float
    ) -> list[int | None]:
        servers = len(world.rack)
        return [m for m in state.idle() if any(state.waiting[m::servers])] or [None]

    def pick(self, world: World, state: State, server: int, now: float) -> list[tuple[int, Any]]:
        queues = range(server, len(state.waiting), len(world.rack))
        return [(next((q for q in queues if state.waiting[q]), NOTHING), None)]


class Delay(Policy):
    """List M is that of all, list M + 1 + r that of rack r."""

    binds = False

    def __init__(self, wait: float) -> None:
        super().__init__()
        self.wait = wait

    def route(self, world: World, state: State, local: tuple[int, ...]) -> list[int]:
        return [ANY_LOCAL]

    def pick(self, world: World, state: State, server: int, now: float) -> list[tuple[int, Any]]:
        servers = len(world.rack)
        lists = [(server, 0.0), (servers, self.wait)]
        if world.racks:
            lists[1:] = [(servers + 1 + world.rack[server], self.wait), (servers, 2 * self.wait)]
        for queue, wait in lists:
            seen = world.line(state, queue)[1]
            if seen and seen[0][0] + wait <= now:
                return [(queue, None)]
        return [(NOTHING, None)]

    def call(
        self, world: World, state: State, local: tuple[int, ...], now: float
    ) -> list[int | None]:
        # Whoever would take something may be called: at most one task is new, or has come of age.
        own = [m for m in state.idle() if world.line(state, m)[1]]
        wanting = [m for m in state.idle() if self.pick(world, state, m, now)[0][0] != NOTHING]
        return [*(own or wanting)] or [None]

    def next_due(self, world: World, state: State, now: float) -> float:
        """When the next task that waits accepts a server that is idle."""
        ages = [self.wait, 2 * self.wait] if world.racks else [self.wait]
        times = sorted({t[0] + age for t in state.waiting[0] for age in ages if t[0] + age > now})
        for time in times:
            if self.call(world, state, (), time) != [None]:
                return time
        return float("inf")


class Late(Policy):
    """Hidden are, per server, its local load, when it last looked, and whether it found any."""

    binds = False

    def __init__(self, memory: float) -> None:
        super().__init__()
        self.memory = memory

    def route(self, world: World, state: State, local: tuple[int, ...]) -> list[int]:
        return [ANY_LOCAL]

    def seen(self, state: State, server: int) -> list[Task]:
        return [t for t in state.waiting[0] if server in t[1]]

    def looked(self, state: State, server: int, now: float) -> tuple[Any, ...]:
        """The same with the server's load up to date."""
        load, since, was_local = state.hidden[server]
        passed = now - since
        load += passed / (passed + self.window(since)) * (float(was_local) - load)
        return (*state.hidden[:server], (load, now, False), *state.hidden[server + 1 :])

    def window(self, since: float) -> float:
        return self.memory

    def pick(self, world: World, state: State, server: int, now: float) -> list[tuple[int, Any]]:
        hidden = self.looked(state, server, now)
        if self.seen(state, server):
            return [(server, _found(hidden, server, True))]
        servers = range(len(world.rack))
        near = [m for m in servers if world.racks and world.rack[m] == world.rack[server]]
        may: list[tuple[int, Any]] = []
        for names, rate in ((near, world.rate[1]), (list(servers), world.rate[2])):
            best = most(names, lambda m: len(self.seen(state, m))) if names else []
            undecided = not best or not self.seen(state, best[0])
            for m in best if not undecided else []:
                if self.is_worth(world, state, hidden, server, m, rate):
                    local = server in self.seen(state, m)[0][1]
                    may.append((m, _found(hidden, server, local)))
                else:
                    undecided = True  # another of the longest may be looked at, or farther ones
            if not undecided:
                return may
        return [*may, (NOTHING, hidden)]

    def is_worth(
        self, world: World, state: State, hidden: Any, server: int, other: int, rate: float
    ) -> bool:
        seen = self.seen(state, other)
        slowdown = world.rate[0] / rate
        if world.slotted and rate > world.rate[2]:  # in the rack
            return len(seen) + 1 > slowdown
        if len(seen[0][1]) == 1:
            slowdown *= 1.0 - hidden[other][0]
        return bool(len(seen) * (1.0 - hidden[server][0]) > slowdown)

    def call(
        self, world: World, state: State, local: tuple[int, ...], now: float
    ) -> list[int | None]:
        # Of the idle ones any may be the less loaded of two. It is asked whether or not there is
        # anything to take, and so brings its load up to date.
        return [m for m in state.idle() if m in local] or [*state.idle()] or [None]


class Priced(Late):
    """Hidden is the same; a load is the mean over all time, and one service before, at first."""

    def window(self, since: float) -> float:
        return min(1.0 + since, self.memory)

    def is_worth(
        self, world: World, state: State, hidden: Any, server: int, other: int, rate: float
    ) -> bool:
        holders = self.seen(state, other)[0][1]
        saved = [
            (len(self.seen(state, m)) / len(holders) + (state.serving[m] is not None))
            / max(1.0 - hidden[m][0], 1e-6)
            for m in holders
        ]
        slowdown = world.rate[0] / rate
        square = slowdown**2 * (1.0 - rate if world.slotted else 1.0)
        load = hidden[server][0]
        return bool(min(saved) > slowdown + load * square / max(1.0 - load, 1e-6))

    def call(
        self, world: World, state: State, local: tuple[int, ...], now: float
    ) -> list[int | None]:
        holders = [m for m in state.idle() if m in local]
        least = min((state.hidden[m][0] for m in holders), default=0.0)
        return (
            [m for m in holders if state.hidden[m][0] < least + 1e-9] or [*state.idle()] or [None]
        )


def _found(hidden: tuple[Any, ...], server: int, local: bool) -> tuple[Any, ...]:
    load, now, _ = hidden[server]
    return (*hidden[:server], (load, now, local), *hidden[server + 1 :])
