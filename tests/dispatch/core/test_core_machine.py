"""The core under any order of events: no task twice, none forgotten, no server with too much."""

import math

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from isocline.dispatch.actions import Action, Cancel, Cause, GiveUp, Reason, Start
from isocline.dispatch.core.core import Core
from isocline.dispatch.core.resources import Need
from isocline.dispatch.rules import Rules
from isocline.model.cluster import Rates
from isocline.policies.parse import scheduling_policy as parse
from isocline.policies.scheduling import ALL
from isocline.randomness.draws import stream

SERVERS, RACKS = 4, [0, 1, 0, 1]
MOST = 9  # servers ever
RETRIES, KILLED = 1, 2
NEEDS: list[Need] = [
    (),
    (("gpu", 1.0),),
    (("gpu", 2.0),),
    (("gpu", 1.0), ("memory", 0.1)),
    (("memory", 0.1),),
]
HOLDERS = st.lists(st.integers(0, MOST - 1), min_size=1, max_size=5, unique=True)


class Machine(RuleBasedStateMachine):
    """Keeps beside the core what an engine would know."""

    fetches = False
    equipped = False

    @initialize(
        policy=st.sampled_from([*ALL, "local_first:count=waiting"]),
        racks=st.booleans(),
        grace=st.sampled_from([0.0, 5.0]),
        ahead=st.sampled_from([0.0, math.inf]),
        measured=st.booleans(),
    )
    def begin(self, policy: str, racks: bool, grace: float, ahead: float, measured: bool) -> None:
        rules = Rules(
            RETRIES, KILLED, holder_grace=grace, ahead_gap=ahead, straggler=1.0, relief=1.0
        )
        rates = Rates(1.0, 0.4, 0.7 if racks else None)
        self.core = Core(RACKS, rates, parse(policy), stream(1), rules, fetches=self.fetches)
        self.now, self.next = 10.0, 0
        self.up = set(range(SERVERS))
        self.rack = dict(enumerate(RACKS))
        self.at: dict[int, list[int]] = {server: [] for server in self.up}
        self.copies: dict[int, int] = {}  # server -> task of which it runs a copy
        self.leaving: dict[int, int] = {}  # likewise, of copies that have given way
        self.open: set[int] = set()
        self.holders: dict[int, set[int] | None] = {}
        self.tried: dict[int, int] = {}
        self.killed: dict[int, int] = {}
        self.unread: dict[int, int] = {}
        self.grace = grace
        self.need: dict[int, Need] = {}
        for server in range(MOST * self.equipped):  # two at each site, and the last alone
            self.core.equip(server, server // 2, self.capacity(server))
        for i in range(36 * measured):  # so that of each function stragglers are known
            self.submit([i % SERVERS], 0, i % 3, 0.0)
            for task, server in self.anywhere():
                self.end(task, server, 0.5)

    def capacity(self, server: int) -> dict[str, float]:
        site = server // 2
        return {"gpu": 1.0 + site % 2, "memory": 0.3} if site < 3 else {}

    def room(self, server: int, need: Need, *, empty: bool = False) -> bool:
        """Whether there is enough at a server's site, or would be if nothing ran there."""
        left = self.capacity(server)
        for task, other in self.anywhere() if not empty else []:
            for name, amount in self.need[task] if other // 2 == server // 2 else ():
                left[name] -= amount
        return all(left.get(name, 0.0) >= amount - 1e-9 for name, amount in need)

    def note(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Start(task, server, level, _, pipelined, copy):
                    assert task in self.open
                    assert server in self.up
                    leaves = self.at[server][:1] == [self.leaving.get(server)]
                    assert task not in self.at[server][leaves:]
                    assert len(self.at[server]) == pipelined + leaves
                    elsewhere = self.serve(task)
                    assert len(elsewhere) < 2
                    assert copy == bool(elsewhere)
                    if self.need[task]:
                        assert not copy
                        assert not pipelined
                        assert self.room(server, self.need[task])
                    if copy:
                        assert not self.at[server]
                        self.copies[server] = task
                    data = self.holders[task]
                    if data is not None:
                        assert data & self.up
                        assert (level == 0) == (server in data)
                        assert level == 0 or not pipelined
                    self.at[server].append(task)
                case Cancel(task, server):
                    assert task in self.at[server]
                    # One that is still wanted was not begun, and waits behind a straggler; or it
                    # is a copy that gives way.
                    if task in self.open and self.at[server].index(task) == 0:
                        assert self.copies.pop(server) == task
                        self.leaving[server] = task
                        assert self.serve(task)
                case GiveUp(task, reason):
                    match reason:
                        case Reason.NO_HOLDER:
                            data = self.holders[task]
                            assert data is not None
                            assert not data & self.up or not any(
                                self.room(up, self.need[task], empty=True) for up in self.up
                            )
                        case Reason.QUARANTINED:
                            assert self.killed[task] == KILLED
                        case Reason.UNREAD:
                            assert self.unread[task] == KILLED
                        case _:
                            assert self.tried[task] == RETRIES + 1
                    self.open.remove(task)

    def serve(self, task: int) -> list[int]:
        """Servers that run a task, without copies that have given way."""
        return [
            server
            for server, tasks in self.at.items()
            if task in tasks[tasks[:1] == [self.leaving.get(server)] :]
        ]

    def leave(self, server: int, task: int) -> None:
        """An attempt has ended: of two at one task the first, which has given way to others."""
        self.at[server].remove(task)
        for which in (self.leaving, self.copies):
            if which.get(server) == task:
                del which[server]
                break

    def leave_out(self, task: int, server: int, unless_last: bool = False) -> None:
        data = self.holders[task]
        if data is not None and not (unless_last and data == {server}):
            data.discard(server)

    def anywhere(self) -> list[tuple[int, int]]:
        return [(task, server) for server, tasks in self.at.items() for task in tasks]

    @rule(
        holders=st.one_of(st.none(), HOLDERS),
        job=st.integers(0, 5),
        function=st.integers(0, 2),
        pause=st.sampled_from([0.0, 0.3]),
        need=st.sampled_from(NEEDS),
    )
    def submit(
        self, holders: list[int] | None, job: int, function: int, pause: float, need: Need = ()
    ) -> None:
        self.now += pause
        task, self.next = self.next, self.next + 1
        self.open.add(task)
        self.need[task] = need if self.equipped else ()
        # One that is not up does not count, even if it comes up later.
        self.holders[task] = None if holders is None else set(holders) & self.up
        need = self.need[task]
        self.note(self.core.submitted(task, holders, self.now, job, function, need))

    @precondition(lambda self: self.anywhere())
    @rule(data=st.data(), took=st.sampled_from([0.0, 0.5, 3.0]))
    def finish(self, data: st.DataObject, took: float) -> None:
        self.end(*data.draw(st.sampled_from(self.anywhere())), took)

    def end(self, task: int, server: int, took: float) -> None:
        self.now += took
        self.leave(server, task)
        self.open.discard(task)
        self.note(self.core.finished(task, server, self.now, took))

    @precondition(lambda self: self.anywhere())
    @rule(data=st.data(), cause=st.sampled_from(Cause))
    def fail(self, data: st.DataObject, cause: Cause) -> None:
        task, server = data.draw(st.sampled_from(self.anywhere()))
        gave_way = self.leaving.get(server) == task
        self.leave(server, task)
        if not gave_way and not self.serve(task):
            by_cause = {Cause.LOST: self.killed, Cause.UNREAD: self.unread}
            counts = by_cause.get(cause, self.tried)
            counts[task] = counts.get(task, 0) + (cause is not Cause.STOPPED)
            self.leave_out(task, server, unless_last=True)  # it is to run elsewhere
        self.note(self.core.failed(task, server, self.now, cause))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(sorted(self.open)))
        self.open.remove(task)
        self.note(self.core.cancelled(task, self.now))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), holders=HOLDERS)
    def hold(self, data: st.DataObject, holders: list[int]) -> None:
        task = data.draw(st.sampled_from(sorted(self.open)))
        if self.holders[task] is not None:
            self.holders[task] = set(holders) & self.up
            self.note(self.core.holds(task, holders, self.now))

    @rule(server=st.integers(0, MOST - 1), rack=st.integers(0, 2))
    def come_up(self, server: int, rack: int) -> None:
        self.up.add(server)
        self.at.setdefault(server, [])
        self.note(self.core.server_up(server, self.now, self.rack.setdefault(server, rack)))

    @precondition(lambda self: self.up)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        server = data.draw(st.sampled_from(sorted(self.up)))
        self.up.remove(server)
        leaves = self.leaving.pop(server, None)
        self.copies.pop(server, None)
        for i, task in enumerate(self.at.pop(server)):
            elsewhere = bool(self.serve(task))
            if i == 0 and not elsewhere and task != leaves:
                self.killed[task] = self.killed.get(task, 0) + 1
        # A holder that is lost holds nothing when it is back, until that is said.
        for task in self.open:
            self.leave_out(task, server)
        self.note(self.core.server_lost(server, self.now))

    @rule(wait=st.sampled_from([0.1, 2.0, 20.0]))
    def wait(self, wait: float) -> None:
        self.now += wait
        self.note(self.core.tick(self.now))

    @rule(holders=HOLDERS, few=st.integers(1, 3), more=st.integers(1, 3))
    def hang(self, holders: list[int], few: int, more: int) -> None:
        """Some last on, so that idle servers copy them; then others come."""
        for _ in range(few):
            self.submit(holders, 0, 0, 0.0)
        self.wait(20.0)
        for _ in range(more):
            self.submit(None, 0, 1, 0.0)

    @invariant()
    def all_is_accounted_for(self) -> None:
        if not hasattr(self, "core"):
            return
        core = self.core
        running = {task for task, _ in self.anywhere() if self.serve(task)}
        assert core.in_flight == len(self.anywhere())
        assert core.waiting >= 0
        found = core.snapshot()
        reserved = set(found.reserved)
        unplaceable = len(self.open - running) - core.waiting - len(reserved)
        assert unplaceable >= 0
        for server, tasks in self.at.items():
            assert core.runs(server) == tasks
            if not tasks:  # none waits that could start
                assert not any(self.room(server, self.need[task]) for task in reserved)
        assert found.running == {server: tuple(tasks) for server, tasks in self.at.items()}
        assert len(found.unplaceable) == unplaceable
        assert set(found.unplaceable) <= self.open - running
        waiting = {task for tasks in found.lists for task in tasks}
        assert waiting == self.open - running - set(found.unplaceable) - reserved
        assert reserved <= self.open - running - set(found.unplaceable)
        assert all(self.need[task] for task in reserved)
        assert found.waiting == len(waiting)
        counts = core.statistics
        assert found.counts == counts
        ended = counts.finished + counts.cancelled + counts.given_up
        assert counts.submitted - ended == len(self.open)

    def teardown(self) -> None:
        """Whatever has happened, all that is left can be done."""
        if not hasattr(self, "core"):
            return
        for server in range(MOST):
            self.come_up(server, 0)
        for task in sorted(self.open):
            if self.holders[task] is not None:
                self.holders[task] = set(range(MOST))
                self.note(self.core.holds(task, range(MOST), self.now))
        for _ in range(50 * (len(self.open) + len(self.anywhere()) + 1)):
            if not self.anywhere() and not self.open:
                break
            self.now = max(self.now + 0.01, min(self.core.next_deadline(), self.now + 5.0))
            self.note(self.core.tick(self.now))
            for task, server in self.anywhere()[:1]:
                self.end(task, server, 0.0)
        assert not self.open
        assert not self.core.waiting


Machine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestCore = Machine.TestCase


class Equipped(Machine):
    """The same where tasks need resources, which servers of a site share."""

    equipped = True


Equipped.TestCase.settings = Machine.TestCase.settings
TestCoreWithResources = Equipped.TestCase
