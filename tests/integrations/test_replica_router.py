"""The router of replicas: the core's decisions, by names, for replicas that come and go."""

from collections import Counter
from collections.abc import Hashable
from typing import Any

import numpy as np
import pytest

from isocline.errors import PolicyError
from isocline.gateway.core.prompts import BLOCK_LENGTH, Prompt
from isocline.gateway.replay import driven, recorded
from isocline.integrations.replica_router import Replica, ReplicaRouter, warm
from isocline.integrations.router_settings import read_settings
from isocline.model.curves import HyperbolicCurve, KneeCurve, TableCurve
from isocline.policies.parse import parse
from isocline.randomness.draws import stream
from isocline.simulate.routing.prepare import prepare
from tests.builders import fleet
from tests.integrations import replaying as replicas

FAST, SLOW = HyperbolicCurve(400.0, 12.0), HyperbolicCurve(6.0, 5.0)
CACHE = {"tokens": 100_000, "prefill": 1.0, "output": 100.0}


def router(*replicas: Replica, **given: Any) -> ReplicaRouter:
    made = ReplicaRouter(read_settings(given), stream(1))
    made.update(replicas, 0.0)
    return made


def ask(made: ReplicaRouter, key: Hashable, now: float = 0.0, **more: Any) -> str | None:
    return made.choose(key, f"call {key}", now, **more)


def end(made: ReplicaRouter, key: Hashable, replica: str, now: float) -> None:
    made.accepted(key, replica, now)
    made.completed(replica, f"call {key}", now)


# One core


def three_ways(policy: str, decisions: int, seed: int = 5) -> list[Any]:
    """Edges of the simulator's policy, of a bare core, and of the router, on the same events."""
    curves = [
        HyperbolicCurve(40.0, 30.0),
        HyperbolicCurve(40.0, 30.0),
        KneeCurve(20.0, 8.0, 4.0),
        TableCurve(((1, 4.0), (8, 20.0), (30, 30.0))),
    ]
    prepared = prepare(fleet(curves, [123.5]))  # 0.95 of what they can serve
    return [
        recorded(prepared, parse(policy), decisions, seed),
        driven(prepared, parse(policy), decisions, seed),
        replicas.driven(prepared, policy, decisions, seed),
    ]


@pytest.mark.parametrize("policy", ["gmsr_secant", "gmsr", "power_of_d"])
def test_it_decides_as_the_core_and_the_simulator(policy: str) -> None:
    simulated, core, routed = three_ways(policy, 5_000)
    assert np.array_equal(simulated, core)
    assert np.array_equal(simulated, routed)
    assert np.bincount(routed).min() > 100


def test_the_comparison_finds_another_policy() -> None:
    assert (three_ways("gmsr", 2_000)[0] != three_ways("jsq", 2_000)[2]).mean() > 0.1


# Calls


def test_a_call_that_is_asked_for_again_gets_the_best_of_the_others() -> None:
    made = router(Replica("fast", FAST), Replica("slow", SLOW))
    assert ask(made, 1) == "fast"
    assert ask(made, 1) == "slow"
    assert (made.in_flight("fast"), made.in_flight("slow")) == (0, 1)
    assert ask(made, 1) is None  # all were tried
    assert (made.in_flight("fast"), made.in_flight("slow")) == (0, 0)
    assert ask(made, 1) == "fast"  # later, all over


def test_without_replicas_there_is_no_choice() -> None:
    assert ask(router(), 1) is None


def test_calls_under_one_name_are_told_apart() -> None:
    made = router(Replica("a", SLOW), Replica("b", SLOW))
    chosen = [made.choose(key, "shared", 0.0) for key in range(6)]
    for key, name in enumerate(chosen):
        assert name is not None
        made.accepted(key, name, 0.0)
    assert Counter(chosen) == {"a": 3, "b": 3}
    made.completed("a", "shared", 1.0)
    assert (made.in_flight("a"), made.in_flight("b")) == (2, 3)
    for name in "aabbb":
        made.completed(name, "shared", 1.0)
    assert (made.in_flight("a"), made.in_flight("b")) == (0, 0)


def test_a_refused_call_counts_no_more_and_says_nothing_of_speed() -> None:
    made = router(Replica("a", FAST), Replica("b", SLOW), learn=True)
    before = {name: curve.rate(1.0) for name, curve in made.curves().items()}
    for key in range(40):  # at once: as an answer it would be an endless rate
        name = ask(made, key, 1.0 + key)
        assert name is not None
        made.completed(name, f"call {key}", 1.0 + key)
    ask(made, "last", 100.0)
    assert made.curves()["a"].rate(1.0) < 1.5 * before["a"]


def test_an_end_may_be_heard_of_before_the_acceptance() -> None:
    made = router(Replica("a", FAST), learn=True)
    before = float(made.curves()["a"].rate(1.0))
    for key in range(200):  # 10 ms each, 40 ms apart
        assert ask(made, key, 0.04 * key) == "a"
        made.completed("a", f"call {key}", 0.04 * key + 0.01)
        assert made.in_flight("a") == 1  # it may have been refused
        made.accepted(key, "a", 0.04 * key + 0.012)
        assert made.in_flight("a") == 0
    ask(made, "last", 10.0)
    assert float(made.curves()["a"].rate(1.0)) > 2.0 * before  # it has served


def test_an_acceptance_that_comes_late_counts_nothing() -> None:
    made = router(Replica("a", FAST))
    ask(made, 1)
    made.completed("a", "call 1", 1.0)
    assert ask(made, 2, 5.0) == "a"
    assert made.in_flight("a") == 1
    made.accepted(1, "a", 6.0)
    assert made.in_flight("a") == 1


def test_a_call_that_went_elsewhere_counts_nowhere() -> None:
    made = router(Replica("a", FAST), Replica("b", SLOW))
    assert ask(made, 1) == "a"
    made.accepted(1, "b", 0.0)
    made.accepted(2, "b", 0.0)  # without having been asked for
    made.completed("b", "call 1", 1.0)
    made.completed("b", "call 2", 1.0)
    assert (made.in_flight("a"), made.in_flight("b")) == (0, 0)


def test_a_cancelled_call_is_forgotten() -> None:
    made = router(Replica("a", FAST))
    ask(made, 1)
    made.cancelled(1, 1.0)
    made.cancelled(1, 1.0)
    assert made.in_flight("a") == 0


# Replicas


def test_what_other_handles_send_counts() -> None:
    made = router(Replica("a", SLOW), Replica("b", SLOW))
    made.reported("a", 10, 0.0)
    assert [ask(made, key) for key in range(5)] == ["b"] * 5
    made.reported("gone", 3, 0.0)


def test_calls_under_way_go_on_counting_when_replicas_change() -> None:
    made = router(Replica("a", SLOW), Replica("b", SLOW))
    chosen = [ask(made, key) for key in range(8)]
    made.update([Replica("c", SLOW), Replica("b", SLOW)], 1.0)
    assert (made.in_flight("b"), made.in_flight("c")) == (4, 0)
    assert [ask(made, f"new {key}", 1.0) for key in range(4)] == ["c"] * 4
    for key, name in enumerate(chosen):
        assert name is not None
        end(made, key, name, 2.0)
    assert (made.in_flight("b"), made.in_flight("c")) == (0, 4)


def test_a_replica_that_died_gets_no_more_calls_until_it_is_there_again() -> None:
    replicas = [Replica("a", FAST), Replica("b", SLOW)]
    made = router(*replicas)
    assert ask(made, 1) == "a"
    made.died("a", 0.0)
    made.died("gone", 0.0)
    assert [ask(made, key) for key in range(2, 5)] == ["b"] * 3
    end(made, 1, "a", 0.0)
    made.update(replicas, 1.0)
    assert ask(made, 5, 1.0) == "a"


def test_calls_at_a_replica_that_died_leave_it() -> None:
    made = router(Replica("a", FAST), Replica("b", SLOW), learn=True)
    chosen = {key: ask(made, key, 1.0) for key in range(60)}
    made.died("a", 2.0)
    for key, name in chosen.items():
        if name == "a":
            end(made, key, "a", 2.0)
    assert made.in_flight("a") == 0
    assert Counter(chosen.values())["b"] == made.in_flight("b")


def test_a_call_goes_to_the_holders_of_its_model_while_there_are_any() -> None:
    made = router(Replica("a", FAST), Replica("b", SLOW), Replica("c", SLOW))
    assert ask(made, 1, holders=["b", "c"]) in {"b", "c"}
    assert ask(made, 1, holders=["b", "c"]) in {"b", "c"}
    assert ask(made, 1, holders=["b", "c"]) == "a"  # those are full
    assert ask(made, 2, holders=["gone"]) == "a"
    made.died("b", 0.0)
    assert {ask(made, key, holders=["b"]) for key in range(3, 6)} == {"a"}


# Curves


def test_curves_are_learned_unless_all_are_given() -> None:
    assert router(Replica("a", FAST)).curves()["a"] is FAST
    given = {"type": "hyperbolic", "peak": 9.0, "half": 3.0}
    both = router(Replica("a", FAST), Replica("b"), curve=given).curves()
    assert both["a"] is FAST
    assert float(both["b"].rate(3.0)) == 4.5
    learned = router(Replica("a", FAST), Replica("b")).curves()
    assert isinstance(learned["a"], TableCurve)


def played(
    made: ReplicaRouter, seconds: dict[str, float], calls: int, start: float
) -> Counter[str]:
    """One call after the other, each served for so long; where they went."""
    now, went = start, Counter[str]()
    for key in range(calls):
        name = ask(made, (start, key), now)
        assert name is not None
        went[name] += 1
        now += seconds[name]
        end(made, (start, key), name, now)
    return went


def test_unlike_speeds_are_learned_and_outlast_a_change_of_replicas() -> None:
    made = router(Replica("a"), Replica("b"))
    seconds = {"a": 0.01, "b": 0.1, "c": 0.1}
    went = played(made, seconds, 300, 0.0)
    assert went["a"] > 5 * went["b"]
    made.update([Replica("c"), Replica("a")], 1000.0)
    assert played(made, seconds, 100, 1000.0)["a"] > 70


# Prefix caches


def prompt(name: str, blocks: int = 40) -> Prompt:
    return Prompt(blocks * BLOCK_LENGTH, tuple(hash((name, i)) for i in range(blocks)))


def test_a_prompt_goes_where_it_is_cached() -> None:
    made = router(Replica("a", SLOW), Replica("b", SLOW), prefix_cache=CACHE)
    home = {}
    for i, name in enumerate("stuvwxyz"):
        home[name] = ask(made, name, float(i), prompt=prompt(name))
        end(made, name, str(home[name]), i + 0.5)
    assert set(home.values()) == {"a", "b"}
    for i, name in enumerate("zyxwvuts"):
        again = ask(made, (name, 2), 10.0 + i, prompt=prompt(name))
        assert again == home[name]
        end(made, (name, 2), str(again), 10.5 + i)


def test_a_cached_prompt_does_not_wait_for_ever() -> None:
    cache = CACHE | {"prefill": 0.02}  # read anew, a call is twice the work
    made = router(Replica("a", SLOW), Replica("b", SLOW), prefix_cache=cache)
    went = [ask(made, key, prompt=prompt("x")) for key in range(40)]
    assert set(went) == {"a", "b"}
    assert went[:3] == [went[0]] * 3


def test_a_replica_that_dies_has_lost_its_cache_and_a_new_set_keeps_the_others() -> None:
    made = router(Replica("a", SLOW), Replica("b", SLOW), prefix_cache=CACHE)
    home = str(ask(made, 1, prompt=prompt("x")))
    end(made, 1, home, 1.0)
    other = {"a": "b", "b": "a"}[home]
    made.update([Replica("c", SLOW), Replica(home, SLOW)], 2.0)
    assert ask(made, 2, 2.0, prompt=prompt("x")) == home
    end(made, 2, home, 3.0)
    made.died(home, 4.0)
    assert ask(made, 3, 4.0, prompt=prompt("x")) == "c"
    assert other != "c"


def test_a_replica_without_a_cache_attracts_none() -> None:
    made = router(Replica("a", SLOW, 0), Replica("b", SLOW, 0), prefix_cache=CACHE)
    went = Counter(ask(made, key, prompt=prompt("x")) for key in range(20))
    assert went == {"a": 10, "b": 10}


def test_warming_refuses_a_policy_that_needs_a_plan() -> None:
    with pytest.raises(PolicyError, match="there is no plan to follow"):
        warm(read_settings({"policy": "static_optimal"}))
