"""What the core decides besides the policy: whose turn it is, who is ahead, who is copied."""

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from isocline.dispatch.actions import Action, Cancel, Cause, GiveUp, Reason, Start
from isocline.dispatch.core.core import Core
from isocline.dispatch.core.kernels.state import MOST_HOLDERS
from isocline.dispatch.core.service_times import MeasuredRates
from isocline.dispatch.rules import Rules
from isocline.errors import UsageError
from isocline.model.cluster import Rates
from isocline.policies.parse import scheduling_policy as parse
from isocline.policies.scheduling import ALL
from isocline.randomness.draws import stream

RATES = Rates(1.0, 0.5)
ALONE = Rules(ahead_gap=math.inf, straggler=math.inf)


def core_with(policy: str = "local_first", servers: int = 2, rules: Rules = ALONE) -> Core:
    return Core([0] * servers, RATES, parse(policy), stream(0), rules)


def starts(actions: list[Action]) -> list[tuple[int, int]]:
    return [(action.task, action.server) for action in actions if isinstance(action, Start)]


def worked_off(core: Core, begun: list[tuple[int, int]], count: int) -> list[int]:
    """The first tasks that are started when each takes a second."""
    now, order = 100.0, [task for task, _ in begun]
    while begun and len(order) < count:
        now += 1.0
        task, server = begun.pop(0)
        more = starts(core.finished(task, server, now, 1.0))
        order += [task for task, _ in more]
        begun += more
    return order


@pytest.mark.parametrize("policy", ALL)
def test_jobs_share_by_weight_though_one_came_first(policy: str) -> None:
    core = core_with(policy)
    core.set_weight(7, 3.0)
    begun = []
    for task in range(200):
        begun += starts(core.submitted(task, [0, 1], 0.1 * task, job=1))
    for task in range(200, 400):
        begun += starts(core.submitted(task, [0, 1], 0.1 * task, job=7))
    order = worked_off(core, begun, 100)
    of_the_second = [task for task in order if task >= 200]
    assert len(of_the_second) == pytest.approx(75, abs=4)
    if policy in ("late_binding", "priced_help", "fifo"):  # the others bind to one of two queues
        assert of_the_second == sorted(of_the_second)


@pytest.mark.parametrize("policy", ALL)
def test_tasks_that_wait_are_counted_at_their_servers(policy: str) -> None:
    core = core_with(policy, 3)
    running = {
        task
        for task in range(12)
        for task, _ in starts(core.submitted(task, [0, 1] if task % 3 else [0], 0.0))
    }
    assert core.waiting == 12 - len(running)
    counts = [core.waiting_at(server) for server in range(3)]
    if policy in (
        "late_binding",
        "priced_help",
        "delay_scheduling",
    ):  # each waits wherever it is local
        left = set(range(12)) - running
        assert counts == [len(left), sum(task % 3 > 0 for task in left), 0]
    elif policy != "fifo":
        assert sum(counts) == core.waiting
    assert core.waiting_at(9_999) == 0
    core.server_lost(0, 1.0)
    assert core.unplaceable == len(core.snapshot().unplaceable)


def test_time_counts_and_not_tasks() -> None:
    """Tasks of the one job turn out to take four times as long, so it gets a fifth of the tasks."""
    core = core_with("late_binding", 1)
    begun = []
    for task in range(1000):
        begun += starts(core.submitted(task, [0], 0.0, job=task % 2, function=task % 2))
    now, ran = 0.0, Counter[int]()
    while sum(ran.values()) < 400:
        task, server = begun.pop(0)
        took = 4.0 if task % 2 else 1.0
        now += took
        ran[task % 2] += 1
        begun += starts(core.finished(task, server, now, took))
    assert ran[1] == pytest.approx(80, abs=4)


def test_with_one_job_tasks_run_in_order() -> None:
    core = core_with("late_binding", 1)
    begun = [start for task in range(50) for start in starts(core.submitted(task, [0], 0.0, job=3))]
    assert worked_off(core, begun, 50) == list(range(50))


@pytest.mark.parametrize("policy", ["late_binding", "local_first"])
def test_a_task_that_is_to_be_first_goes_before_all_that_wait(policy: str) -> None:
    core = core_with(policy, servers=1)
    begun = starts(core.submitted(0, [0], 0.0))
    for task in range(1, 5):
        assert not core.submitted(task, [0], 0.0)
    assert not core.submitted(9, [0], 1.0, first=True)
    assert worked_off(core, begun, 6) == [0, 9, 1, 2, 3, 4]


def test_tasks_of_a_lost_server_run_elsewhere_and_in_their_order() -> None:
    core = core_with("late_binding", 2)
    begun = [s for task in range(20) for s in starts(core.submitted(task, [0, 1], 0.0))]
    assert begun == [(0, begun[0][1]), (1, 1 - begun[0][1])]
    lost = begun.pop(0)[1]
    assert starts(core.server_lost(lost, 1.0)) == []
    assert worked_off(core, begun, 19) == [1, 0, *range(2, 19)]


def test_another_holder_comes_first() -> None:
    core = core_with("late_binding", 2)
    assert starts(core.submitted(1, [0], 0.0)) == [(1, 0)]
    ((_, first),) = starts(core.submitted(2, [0, 1], 0.0))
    assert first == 1
    assert core.failed(2, 1, 1.0, Cause.LOST) == []  # 0 is busy, and 1 has just died
    assert starts(core.finished(1, 0, 2.0, 2.0)) == [(2, 0)]


def test_what_kills_workers_is_quarantined() -> None:
    core = core_with("fifo", 4)
    ((_, server),) = starts(core.submitted(5, [0, 1, 2, 3], 0.0))
    died = [server]
    for _ in range(2):
        ((_, server),) = starts(core.server_lost(server, 1.0))
        died.append(server)
    (given_up,) = core.server_lost(server, 2.0)
    assert isinstance(given_up, GiveUp)
    assert given_up.reason is Reason.QUARANTINED
    assert given_up.servers == tuple(died)
    assert core.waiting == core.in_flight == 0


def test_a_task_ahead_is_not_blamed() -> None:
    core = core_with("late_binding", 1, Rules(most_killed=1, ahead_gap=0.0, straggler=math.inf))
    gave_ahead(core)
    ahead = core.runs(0)[1]
    actions = core.server_lost(0, 50.0)
    assert ahead not in [
        a.task for a in actions if isinstance(a, GiveUp) and a.reason != "no holder"
    ]


def gave_ahead(core: Core) -> float:
    """Run tasks until the core has measured a gap; the time."""
    now = 0.0
    for task in range(200):
        core.submitted(task, [0], now)
    while len(core.runs(0)) < 2:
        now += 1.1  # a second of work, and a tenth in which the server was idle
        core.finished(core.runs(0)[0], 0, now, 1.0)
    return now


def test_a_second_task_is_given_where_servers_wait_for_it() -> None:
    core = core_with("late_binding", 1, Rules(straggler=math.inf))
    now = gave_ahead(core)
    first, second = core.runs(0)
    (given,) = core.finished(first, 0, now + 1.0, 1.0)
    assert isinstance(given, Start)
    assert given.pipelined
    assert core.runs(0) == [second, given.task]


def test_gap_and_rates_are_those_that_were_measured() -> None:
    core = core_with(servers=1, rules=Rules(straggler=math.inf))
    assert (core.gap, core.rates) == (0.0, (1.0, 0.5, 0.5))
    begun, now = starts(core.submitted(0, [0], 0.0)), 0.0
    for task in range(1, 101):
        now += 2.5
        core.finished(begun[0][0], 0, now, 2.0)
        begun = starts(core.submitted(task, [0], now))
    assert core.gap == pytest.approx(0.5, rel=0.1)
    assert core.rates == pytest.approx((0.5, 0.25, 0.25), rel=0.1)


def test_without_a_gap_none_is_given() -> None:
    core = core_with("late_binding", 1, Rules(straggler=math.inf))
    now = 0.0
    for task in range(200):
        core.submitted(task, [0], now)
    for _ in range(150):
        now += 1.001
        core.finished(core.runs(0)[0], 0, now, 1.0)
        assert len(core.runs(0)) == 1


def test_the_last_task_of_a_list_stays_free_for_other_holders() -> None:
    core = core_with("late_binding", 2, Rules(ahead_gap=0.0, straggler=math.inf))
    for task in range(66):
        core.submitted(task, [0, 1], 0.0)
    now = 0.0
    while core.statistics.finished < 62:
        now += 1.1
        for server in (0, 1):
            core.finished(core.runs(server)[0], server, now, 1.0)
    assert core.statistics.pipelined > 20
    while core.waiting:
        now += 1.1
        core.finished(core.runs(0)[0], 0, now, 1.0)
    assert core.statistics.started == [66, 0, 0]


def with_a_straggler(rules: Rules) -> tuple[Core, float]:
    """Two servers have run tasks of about a second each; one hangs, the other is idle."""
    core, now = core_with("late_binding", 2, rules), 0.0
    for task in range(60):
        ((_, server),) = starts(core.submitted(task, [0, 1], now))
        now += 1.0
        core.finished(task, server, now, 1.0)
    core.submitted(60, [0, 1], now)
    return core, now


def test_a_straggler_is_copied_and_the_first_result_wins() -> None:
    core, now = with_a_straggler(Rules())
    (slow,) = [server for server in (0, 1) if core.runs(server)]
    assert core.tick(now + 1.0) == []
    due = core.next_deadline()
    actions: list[Action] = []
    while not actions:
        assert due < now + 20.0
        actions = core.tick(due)
        due = max(core.next_deadline(), due + 0.01)
    (copy,) = actions
    assert isinstance(copy, Start)
    assert (copy.task, copy.server) == (60, 1 - slow)
    assert copy.why.startswith("copy")
    assert core.finished(60, 1 - slow, due + 1.0, 1.0) == [Cancel(60, slow)]
    assert core.in_flight == 1  # until the engine says that it has stopped
    assert core.failed(60, slow, due + 1.1, Cause.STOPPED) == []
    assert core.in_flight == 0
    assert core.statistics.copies_first == 1


def test_no_copy_where_none_is_wanted() -> None:
    core, now = with_a_straggler(Rules(straggler=math.inf))
    assert core.next_deadline() == math.inf
    assert core.tick(now + 1000.0) == []


def test_retries_only_if_asked() -> None:
    core = core_with("local_first", 1)
    core.submitted(1, [0], 0.0)
    (given_up,) = core.failed(1, 0, 1.0, Cause.RAISED)
    assert isinstance(given_up, GiveUp)
    assert given_up.reason is Reason.RAISED
    core = core_with("local_first", 1, Rules(retries=1))
    core.submitted(1, [0], 0.0)
    assert starts(core.failed(1, 0, 1.0, Cause.TIMED_OUT)) == [(1, 0)]
    (given_up,) = core.failed(1, 0, 2.0, Cause.TIMED_OUT)
    assert isinstance(given_up, GiveUp)
    assert given_up.reason is Reason.TIMED_OUT


def test_a_task_waits_for_a_holder_as_long_as_it_may() -> None:
    core = core_with("local_first", 2, Rules(holder_grace=5.0, straggler=math.inf))
    assert core.submitted(1, [9], 0.0) == core.submitted(2, [9], 1.0) == []
    assert core.next_deadline() == 5.0
    assert starts(core.holds(1, [1], 2.0)) == [(1, 1)]
    assert core.next_deadline() == 6.0
    (given_up,) = core.tick(6.0)
    assert isinstance(given_up, GiveUp)
    assert (given_up.task, given_up.reason) == (2, Reason.NO_HOLDER)


def test_more_servers_than_the_arrays_had() -> None:
    core = Core([], RATES, parse("late_binding"), stream(0), ALONE)
    assert core.submitted(0, None, 0.0) == []
    begun = starts(core.server_up(0, 1.0))
    assert begun == [(0, 0)]
    for task in range(1, 40):
        assert core.submitted(task, None, 2.0) == []
    begun += starts(core.server_up(11, 3.0))
    assert begun == [(0, 0), (1, 11)]
    assert worked_off(core, begun, 40) == list(range(40))


def test_a_task_held_everywhere_is_local_to_many() -> None:
    servers = 2 * MOST_HOLDERS
    core = core_with("late_binding", servers)
    for task in range(servers):
        (start,) = core.submitted(task, range(servers), 0.0)
        assert isinstance(start, Start)
    assert core.statistics.started[0] > servers / 2


def test_many_waiting_tasks_leave_no_trace() -> None:
    """Arrays grow with what waits, not with all that ever came."""
    core = core_with("late_binding", 4)
    rng = np.random.default_rng(0)
    for task in range(30_000):
        ((_, server),) = starts(core.submitted(task, rng.permutation(4)[:3].tolist(), float(task)))
        core.finished(task, server, task + 0.5, 0.5)
    found = core.snapshot()
    assert found.row_space == 1024
    assert found.list_space <= 1 << 14


def test_a_number_twice_is_refused() -> None:
    core = core_with()
    core.submitted(1, [0], 0.0)
    with pytest.raises(UsageError, match="task 1 already exists"):
        core.submitted(1, [0], 0.0)


def test_rates_are_those_given_until_they_are_measured() -> None:
    rates = MeasuredRates(Rates(2.0, 0.5))
    assert rates.of(0).mean(0) == 0.5
    assert rates.changed() is None
    for _ in range(300):
        rates.of(0).observe(0, 0.01)
    # The slowdown is still the one given, of the scale that was measured.
    assert rates.of(0).mean(2) == pytest.approx(0.04)
    for _ in range(300):
        rates.of(0).observe(2, 0.02)
    assert rates.of(0).mean(2) == pytest.approx(0.02, rel=0.1)
    told = rates.changed()
    assert told is not None
    assert told[0] / told[2] == pytest.approx(2.0, rel=0.1)
    assert rates.changed() is None


def test_a_remote_task_is_never_taken_for_the_shorter_one() -> None:
    rates = MeasuredRates(Rates(1.0, 0.5))
    for _ in range(200):
        rates.of(0).observe(2, 1.0)
        rates.of(0).observe(0, 3.0)
    told = rates.changed()
    assert told is not None
    assert told[0] >= told[2]


@pytest.mark.parametrize(
    ("law", "copies"), [("exponential", False), ("heavy", True), ("constant", True)]
)
def test_what_is_expected_to_remain(law: str, copies: bool) -> None:
    """Of exponential times as much as at the start; else more, or all that is known has passed."""
    rng = np.random.default_rng(1)
    measured = MeasuredRates(Rates(1.0, 0.5)).of(0)
    laws: dict[str, Callable[[], float]] = {
        "exponential": rng.exponential,
        "heavy": lambda: 0.2 * rng.pareto(1.3),
        "constant": lambda: 1.0,
    }
    for _ in range(5000):
        measured.observe(0, laws[law]())
    run, rest = measured.remaining()
    assert bool((run[rest > 2.0] < 8.0).any()) == copies
