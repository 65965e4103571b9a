"""What statistics count, and that they add up over processes and through reloads."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from isocline.gateway.access_log import Access
from isocline.gateway.core import rejections
from isocline.gateway.core.actions import Action, Cause, Reject, Send
from isocline.gateway.core.build import core_of
from isocline.gateway.core.core import Core
from isocline.gateway.core.key_limits import Charge
from isocline.gateway.core.request import Profile, Request
from isocline.gateway.core.request_cost import Usage
from isocline.gateway.core.tenants import OTHERS, Tenant
from isocline.gateway.metrics import Snapshot, merged
from isocline.gateway.metrics.curve_intervals import curve_of
from isocline.gateway.metrics.histogram import BOUNDS, SHOWN, add, cumulative, percentile
from isocline.gateway.metrics.snapshot import KeySnapshot, LearnedCurve, Pair, TenantSnapshot
from isocline.gateway.metrics.summary import statistics
from isocline.histogram import Histogram
from isocline.learn import Learner
from isocline.learn.learner import Change
from isocline.model.curves import (
    Curve,
    ExponentialCurve,
    HyperbolicCurve,
    KneeCurve,
    PoolCurve,
    ServersCurve,
    TableCurve,
)
from isocline.model.serving_settings import Rules, SharingRule
from isocline.policies.parse import parse
from tests.builders import fleet, mixed
from tests.gateway.metrics.seeing import access, random_accesses, settings_of, statistics_of

SYSTEM = mixed()  # frontends f0 on b0 and b1, f1 on b0
CORE = core_of(SYSTEM, parse("gmsr"))


def counted(*accesses: Access) -> Snapshot:
    statistics = statistics_of(SYSTEM)
    for one in accesses:
        statistics.observer(one)
    return statistics.snapshot(CORE, 10.0)


def histogram_of(times: np.ndarray) -> Histogram:
    made = Histogram()
    for seconds in times.tolist():
        add(made, seconds)
    return made


@pytest.mark.parametrize("scale", [0.01, 0.3, 40.0])
def test_percentiles_are_right_to_five_percent_also_of_sums(scale: float) -> None:
    times = scale * np.random.default_rng(1).lognormal(0.0, 1.5, 4000)
    parts = np.split(times, [1000, 1500])
    several = merged(
        Snapshot(pairs={"f": {"b": Pair(duration=histogram)}})
        for histogram in map(histogram_of, parts)
    )
    whole = several.pairs["f"]["b"].duration
    for share in (0.01, 0.5, 0.9, 0.99, 0.999):
        true = np.sort(times)[math.ceil(share * times.size) - 1]
        assert percentile(whole, share) == pytest.approx(true, rel=0.048)
    assert whole.mean == pytest.approx(times.mean())


def test_what_prometheus_is_shown_is_exact() -> None:
    rng = np.random.default_rng(2)
    times = np.concatenate((rng.lognormal(-2.0, 3.0, 500), SHOWN, [0.0, -1e-9, 1e5]))
    shown = cumulative(histogram_of(times))
    assert shown[-1] == ("+Inf", times.size)
    for bound, count in shown[:-1]:
        assert count == (times <= float(bound)).sum(), bound
    assert [b for b in SHOWN if b in BOUNDS] == list(SHOWN)
    assert max(b / a for a, b in pairwise(BOUNDS)) < 1.097


def test_a_request_is_counted_where_it_went() -> None:
    seen = counted(access(1, 0, attempts=3, wait=0.5, first_token=1.5, duration=2.0))
    pair = seen.pairs["f1"]["b0"]
    assert (pair.codes, pair.retries, pair.received, pair.returned) == ({200: 1}, 2, 10, 100)
    assert (pair.served, pair.served_seconds, pair.served_wait) == (1, 2.0, 0.5)
    assert (pair.wait.seconds, pair.first_byte.seconds, pair.duration.seconds) == (0.5, 0.5, 2.0)
    assert pair.first_token.seconds == 1.5
    assert list(seen.pairs) == ["f1"]


def test_tunnels_are_no_latencies_and_errors_are_not_served() -> None:
    tunnel = counted(access(status=101, upgraded=True)).pairs["f0"]["b0"]
    assert (tunnel.codes, tunnel.duration.total, tunnel.served) == ({101: 1}, 0, 0)
    error = counted(access(status=503)).pairs["f0"]["b0"]
    assert (error.failed, error.duration.total, error.served) == ({}, 1, 0)


def failures(*causes: Cause) -> tuple[tuple[int, Cause], ...]:
    return tuple((0, cause) for cause in causes)


def rejected(action: Action) -> Access:
    assert isinstance(action, Reject)
    return access(0, -1, attempts=0, first_byte=None, status=action.status, reason=action.reason)


ASKED = Request(1, 0, 0.0, Tenant(""))
BROKEN = {"status": 200, "reason": Cause.RESET.reason, "failures": failures(Cause.RESET)}


@pytest.mark.parametrize(
    ("ended", "reason", "broken"),
    [
        (rejected(rejections.none_up(ASKED, 1.0)), "no_backend", 0),
        (rejected(rejections.queue_full(ASKED, 7, 1.0)), "queue_full", 0),
        (rejected(rejections.overdue(ASKED, 30.0, 1.0)), "held_too_long", 0),
        (access(-1, -1, attempts=0, status=404, reason="no frontend takes it"), "no_frontend", 0),
        (access(-1, -1, attempts=0, status=401, reason="give a key"), "unauthorized", 0),
        (access(-1, -1, attempts=0, status=400, reason="no Host"), "bad_request", 0),
        (access(-1, -1, attempts=0, status=431, reason="too long"), "too_large", 0),
        (access(status=413, reason="the body is longer", first_byte=None), "too_large", 0),
        (access(status=408, reason="the body took too long", first_byte=None), "slow_request", 0),
        (access(status=499, reason="the client closed its connection"), "client_gone", 0),
        (access(status=200, reason="the client took its response too slowly"), "client_slow", 0),
        (access(**BROKEN), "reset", 1),  # type: ignore[arg-type]
        (
            access(
                first_byte=None,
                status=502,
                attempts=2,
                reason=Cause.CONNECT.reason,
                failures=failures(Cause.RESET, Cause.CONNECT),
            ),
            "connect",
            0,
        ),
        (
            access(attempts=0, status=504, reason=Cause.TOTAL_TIMEOUT.reason, first_byte=None),
            "total_timeout",
            0,
        ),
    ],
)
def test_each_failure_has_its_reason(ended: Access, reason: str, broken: int) -> None:
    [row] = counted(ended).pairs.values()
    [pair] = row.values()
    assert pair.failed == {reason: 1}
    assert (pair.broken, pair.served) == (broken, 0)


def test_a_retry_that_succeeds_is_served_and_its_failure_is_the_backends() -> None:
    seen = counted(
        access(0, 1, attempts=2, reason=Cause.RESET.reason, failures=failures(Cause.RESET))
    )
    pair = seen.pairs["f0"]["b1"]
    assert (pair.failed, pair.served, pair.retries) == ({}, 1, 1)
    assert seen.backends["b0"].failures == {"reset": 1}
    assert seen.backends["b1"].failures == {}


def test_two_that_are_merged_are_one_that_saw_all() -> None:
    accesses = list(random_accesses(300, 2, 2))
    first, second, both = counted(*accesses[::2]), counted(*accesses[1::2]), counted(*accesses)
    together = merged([first, Snapshot.from_json(second.to_json())])
    assert together.pairs == both.pairs
    assert together.workers == 2
    live = together.backends["b0"].live
    assert live is not None
    assert (live.workers, live.up) == (2, 2)
    assert together.now == 10.0


def test_a_worker_that_ended_leaves_its_counts_only() -> None:
    seen = counted(access())
    left = seen.counted()
    assert left.pairs == seen.pairs
    assert left.frontends["f0"].live is None
    assert left.backends["b0"].live is None
    assert (left.workers, left.clients) == (0, 0)
    again = merged([left, seen])
    assert again.workers == 1
    assert again.pairs["f0"]["b0"].served == 2


def test_counts_go_on_by_name_through_a_reload() -> None:
    """The backends change places; a request of the core before has its old number."""
    core = core_of(SYSTEM, parse("gmsr"))
    statistics = statistics_of(SYSTEM)
    sent = core.arrived(0.0, 0)
    assert isinstance(sent, Send)
    there = SYSTEM.backends[sent.backend].name
    turned = fleet([HyperbolicCurve(6.0, 5.0), HyperbolicCurve(40.0, 12.0)], [1.0])
    turned = replace(turned, backends=tuple(reversed(SYSTEM.backends)))
    after = core_of(turned, parse("gmsr"))
    before = statistics.observer
    before(access(0, 0, at=4.0))
    observer = statistics.observer_of(turned, settings_of(turned))
    statistics.reloaded(core, 5.0, observer, "jsq")
    before(access(0, 0, at=4.5))  # it ends after the reload, and is of the core before it
    for at in (6.0, 7.0, 8.0):
        observer(access(0, 0, at=at))
    seen = statistics.snapshot(after, 9.0)
    assert {b: pair.served for b, pair in seen.pairs["f0"].items()} == {"b0": 2, "b1": 3}
    assert seen.backends[there].job_seconds == 5.0
    assert seen.policy == "jsq"
    assert seen.frontends["f1"].live is None


def test_what_the_core_knows_is_told() -> None:
    learner = Learner(2)
    core = core_of(SYSTEM, parse("gmsr"), learner=learner)
    sent = core.arrived(1.0, 1)
    core.reported(0, 1.5, 4, 1.25)
    core.backend_down(1, 2.0)
    core.backend_drain(0, 2.0)
    held = core.arrived(2.0, 0)
    assert isinstance(sent, Send)
    assert isinstance(held, Reject)
    core.backend_undrain(0, 3.0)
    seen = statistics_of(SYSTEM).snapshot(core, 3.25)
    first, second = seen.backends["b0"].live, seen.backends["b1"].live
    assert first is not None
    assert second is not None
    assert (first.workload, first.in_flight, first.age) == (4, 1, 2.0)
    assert (second.up, second.age, second.url) == (0, None, "http://127.0.0.1:8002")
    assert seen.backends["b0"].job_seconds == pytest.approx(2.25)
    assert first.learned is not None
    fitted = learner.curve(0)
    assert first.service_rate == pytest.approx(float(fitted.rate(4)))
    assert first.marginal_rate == pytest.approx(float(fitted.marginal(4)))
    assert float(curve_of(first).rate(7.0)) == pytest.approx(float(fitted.rate(7.0)))


@pytest.mark.parametrize(
    "curve",
    [
        HyperbolicCurve(40.0, 12.0),
        ExponentialCurve(3.0, 2.0),
        KneeCurve(20.0, 4.0, 3.0),
        ServersCurve(2.0, 3),
        TableCurve(((1.0, 1.0), (2.0, 1.5), (4.0, 1.2))),
        PoolCurve((HyperbolicCurve(4.0, 1.0), KneeCurve(2.0, 4.0, 2.0))),
    ],
    ids=lambda curve: str(curve.type),
)
def test_curves_go_between_processes(curve: Curve) -> None:
    system = fleet([curve], [0.1])
    seen = statistics_of(system).snapshot(core_of(system, parse("jsq")), 1.0)
    live = Snapshot.from_json(seen.to_json()).backends["b0"].live
    assert live is not None
    assert curve_of(live) == curve


def test_learned_curves_of_workers_weigh_by_what_they_rest_on() -> None:
    lives = []
    for rate, completions in ((1.0, 30.0), (2.0, 10.0)):
        points = {n: (rate * n / (n + 1) * completions, completions) for n in (1.0, 2.0, 4.0)}
        live = counted().backends["b0"].live
        assert live is not None
        lives.append(replace(live, learned=LearnedCurve(completions, None, points)))
    both = merged(
        Snapshot(backends={"b0": replace(counted().backends["b0"], live=live)}) for live in lives
    )
    together = both.backends["b0"].live
    assert together is not None
    assert together.learned is not None
    assert together.learned.completions == 40.0
    assert float(curve_of(together).rate(2.0)) == pytest.approx(1.25 * 2.0 / 3.0)


def tenant_core(weights: dict[str, float]) -> Core:
    rules = Rules(sharing=SharingRule("x-tenant", weights))
    return core_of(SYSTEM, parse("gmsr"), rules=rules)


def asking(core: Core, name: str, now: float, frontend: int = 0) -> Action:
    return core.arrived(now, frontend, Profile(tenant=name))


def test_tenants_are_counted_through_a_reload_and_over_processes() -> None:
    statistics, core = statistics_of(SYSTEM), tenant_core({"a": 3.0})
    for name in ("a", "a", "b"):
        sent = asking(core, name, 1.0)
        assert isinstance(sent, Send)
        core.finished(sent.request, 2.0, status=200 if name == "a" else 500)
    seen = statistics.snapshot(core, 3.0).tenants
    assert seen == {"a": TenantSnapshot(2, 2.0, 0, 3.0), "b": TenantSnapshot(0, 1.0, 0, 1.0)}
    after = tenant_core({"a": 4.0})
    observer = statistics.observer_of(SYSTEM, settings_of(SYSTEM))
    statistics.reloaded(core, 3.0, observer, "gmsr")
    asking(after, "a", 4.0)
    snapshot = statistics.snapshot(after, 5.0)
    assert snapshot.tenants["a"] == TenantSnapshot(2, 3.0, 0, 4.0)
    assert merged([snapshot, snapshot]).tenants["a"] == TenantSnapshot(4, 6.0, 0, 4.0)
    assert Snapshot.from_json(snapshot.to_json()) == snapshot


def test_requests_that_wait_are_told_by_tenant() -> None:
    rules = Rules(sharing=SharingRule("x-tenant"))
    core = core_of(fleet([TableCurve(((1, 1.0), (2, 0.5)))], [0.1]), parse("gmsr"), rules=rules)
    for name in ("a", "b", "b", "c"):
        asking(core, name, 1.0)
    assert core.tenants.waiting() == {"b": 2, "c": 1}


def test_whatever_names_clients_send_some_hundred_are_told_apart() -> None:
    core = tenant_core({"known": 2.0, "k*": 3.0})
    for i in range(5_000):
        sent = asking(core, f"t{i}", float(i))
        core.finished(sent.request, float(i))
    counts = core.tenants.counts
    assert len(counts) <= 102
    assert counts["t1"].served == 1
    assert counts[OTHERS].served == sum(1 for i in range(5_000) if f"t{i}" not in counts)
    sent = asking(core, "known", 1e4)
    core.finished(sent.request, 1e4)
    assert counts["known"].served == 1


def test_keys_are_counted_by_name() -> None:
    refused = replace(access(status=429), key="ann", charge=Charge(5, exceeded="tokens", wait=1.0))
    used = replace(access(), key="ann", charge=Charge(5, 9.0), usage=Usage(7, 5))
    seen = counted(refused, used, used, replace(access(), key="bob"), access())
    assert seen.keys == {
        "ann": KeySnapshot({429: 1, 200: 2}, {"tokens": 1}, 14, 10),
        "bob": KeySnapshot({200: 1}),
    }
    told = statistics(seen)["keys"][0]
    assert (told["name"], told["prompt_tokens"]) == ("ann", 14)


def test_shares_of_tenants_are_of_work() -> None:
    tenants = {"a": TenantSnapshot(1, 3.0), "b": TenantSnapshot(5, 1.0)}
    told = statistics(Snapshot(tenants=tenants))["tenants"]
    assert [it["share"] for it in told] == [0.75, 0.25]


def test_a_pair_without_new_requests_is_not_made_anew() -> None:
    """Of 2500 pairs most have none between two looks; copies of all take a tenth of a second."""
    statistics = statistics_of(SYSTEM)
    statistics.observer(access(0, 0, duration=1.0))
    statistics.observer(access(1, 0, duration=1.0))
    first = statistics.snapshot(CORE, 1.0).pairs
    statistics.observer(access(0, 0, duration=3.0))
    second = statistics.snapshot(CORE, 2.0).pairs
    assert second["f1"]["b0"] is first["f1"]["b0"]
    assert second["f0"]["b0"] is not first["f0"]["b0"]
    assert (first["f0"]["b0"].served, second["f0"]["b0"].served) == (1, 2)
    assert first["f0"]["b0"].duration.seconds == 1.0  # what was given away does not grow


def test_changes_of_speed_are_counted_through_reloads() -> None:
    def core() -> Core:
        return core_of(SYSTEM, parse("gmsr"), learner=Learner(2))

    def seen(snapshot: Snapshot) -> tuple[int, float | None]:
        live = snapshot.backends["b1"].live
        assert live is not None
        assert live.learned is not None
        assert snapshot.backends["b0"].curve_changes == 0
        return snapshot.backends["b1"].curve_changes, live.learned.speed

    statistics, before = statistics_of(SYSTEM), core()
    assert before.feedback is not None
    assert seen(statistics.snapshot(before, 1.0)) == (0, None)
    before.feedback.learner.changes += [Change(1, 1.0, 0.5), Change(1, 2.0, 3.0)]
    assert seen(statistics.snapshot(before, 3.0)) == (2, 3.0)
    statistics.reloaded(before, 4.0, statistics.observer_of(SYSTEM, settings_of(SYSTEM)), "gmsr")
    assert seen(statistics.snapshot(core(), 5.0)) == (2, None)
