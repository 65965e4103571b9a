"""Routing by work and price: a warm backend is taken until its price outweighs what it saves."""

from collections.abc import Callable
from functools import partial

import pytest

from isocline.gateway.core.actions import Send
from isocline.gateway.core.build import core_of
from isocline.gateway.core.core import Core
from isocline.gateway.core.prompts import BLOCK_LENGTH, Prompt
from isocline.gateway.core.request import Profile
from isocline.gateway.core.request_cost import ClassWork, Mix, TokenWork, Usage
from isocline.learn import Learner
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem, Work
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals
from isocline.policies.parse import parse

CURVE = HyperbolicCurve(1000.0, 10.0)
WEIGHTS = Work("tokens", 1000.0, 1.0, 1.0)


def prompt(name: str, blocks: int = 16) -> Prompt:
    """16 blocks are 2048 tokens."""
    return Prompt(blocks * BLOCK_LENGTH, tuple(hash((name, i)) for i in range(blocks)))


def warm_core(policy: str = "gmsr", backends: int = 2, tokens: int = 100_000) -> Core:
    system = RoutingSystem(
        (Frontend("all", PoissonArrivals(0.1)),),
        tuple(Backend(f"b{b}", CURVE, cache_tokens=tokens) for b in range(backends)),
        CompatibilityGraph.from_neighbours(backends, [list(range(backends))]),
        WEIGHTS,
    )
    return core_of(system, parse(policy), unplanned="no rates")


def send(core: Core, name: str, now: float = 0.0) -> Send:
    action = core.arrived(now, 0, Profile(prompt=prompt(name)))
    assert isinstance(action, Send)
    return action


def told(core: Core, sent: Send, cached: int | None, now: float = 1.0) -> None:
    core.finished(sent.request, now, usage=Usage(2048, 100, cached))


def test_a_prompt_goes_where_its_beginning_is_cached() -> None:
    core = warm_core(backends=5)
    homes = {name: send(core, name) for name in "abcde"}
    assert len({it.backend for it in homes.values()}) == 5
    for sent in homes.values():
        told(core, sent, 0)
    for _ in range(3):
        for name, first in homes.items():
            again = send(core, name)
            assert again.backend == first.backend
            told(core, again, 2032)


def test_it_spills_once_the_price_outweighs_the_work_that_is_saved() -> None:
    """GMSR's price is (N + 10)^2, so the warm one keeps it while w (N + 10)^2 <= w' 10^2."""
    core = warm_core()
    first = send(core, "a")
    told(core, first, 0)
    other = 1 - first.backend
    output, tokens = 100.0, 2048.0
    for _ in range(2000):  # until its means are those of these requests
        told(core, send(core, "a"), 2048)
    sent: list[int] = []
    while other not in sent and len(sent) < 1000:
        sent.append(send(core, "a").backend)
    jobs = len(sent) - 1
    ratio = (tokens + output) / output
    assert ((jobs - 1 + 10) / 10) ** 2 <= ratio * 1.02
    assert ((jobs + 10) / 10) ** 2 >= ratio * 0.98
    # Now both have it.
    assert core.prompts is not None
    assert core.prompts.caches.hits(prompt("a").blocks, [0, 1]) == [16, 16]


def test_policies_that_only_count_jobs_do_not_care() -> None:
    core = warm_core("jsq:ties=first")
    told(core, send(core, "a"), 0)
    send(core, "a")
    assert send(core, "a").backend == 1


def test_a_server_without_a_cache_is_found_out() -> None:
    core = warm_core()
    assert core.prompts is not None
    for _ in range(200):
        told(core, send(core, "a"), 0)
    view = core.policy_runtime.view
    send(core, "a")
    uncached = view.work[:, 1]
    assert uncached == pytest.approx([2048, 2048], rel=0.25)
    assert (sum(core.prompts.prompt_tokens), sum(core.prompts.cached_tokens)) == (200 * 2048, 0)


def test_one_miss_does_not_end_the_trust_in_a_cache() -> None:
    core = warm_core()
    first = send(core, "a")
    told(core, first, 0)
    for cached in (2032, 2032, 0):
        again = send(core, "a")
        assert again.backend == first.backend
        told(core, again, cached)
    assert send(core, "a").backend == first.backend


def test_what_was_known_lasts_through_a_reload() -> None:
    before, after = warm_core(), warm_core(backends=3)
    for name in "abcd":
        for _ in range(50):
            told(before, send(before, name), 2048)
    assert before.prompts is not None
    assert after.prompts is not None
    after.prompts.take_over(before.prompts, {2: 0, 1: 1}, {0: 0})
    for name in "abcd":
        blocks = prompt(name).blocks
        here = before.prompts.caches.hits(blocks, [0, 1])
        assert after.prompts.caches.hits(blocks, [2, 1]) == here
        assert after.prompts.caches.hits(blocks, [0]) == [0]
        home = send(before, name).backend
        assert send(after, name).backend == {0: 2, 1: 1}[home]


def test_scores_that_are_shown_are_those_of_the_request() -> None:
    core = warm_core()
    first = send(core, "a")
    told(core, first, 0)
    shown = {backend: score for backend, _, score in core.explain(0, prompt("a"))}
    assert shown[first.backend] < 0.8 * shown[1 - first.backend]
    assert send(core, "a").backend == min(shown, key=lambda b: shown[b])
    other = [score for _, _, score in core.explain(0)]
    assert other[0] != other[1]  # by the job that is there alone
    unpriced = warm_core("jsq")
    told(unpriced, send(unpriced, "a"), 0)
    assert [score for _, _, score in unpriced.explain(0, prompt("a"))] == [0.0, 0.0]


def test_a_backend_that_was_down_has_nothing_cached() -> None:
    core = warm_core()
    first = send(core, "a")
    told(core, first, 0)
    core.backend_down(first.backend, 2.0)
    core.backend_up(first.backend, 3.0)
    assert core.prompts is not None
    assert core.prompts.caches.size(first.backend) == 0


def test_tokens_at_backends_are_those_of_requests_there() -> None:
    core = warm_core()
    view = core.policy_runtime.view
    sent = [send(core, name) for name in "aabbccdd"]
    jobs = [[it.backend for it in sent].count(b) for b in range(2)]
    assert view.tokens[:, 1] == pytest.approx([(2048 + 1000) * n for n in jobs])
    assert view.tokens[:, 0].sum() >= 4 * 2048  # each beginning was read once at least
    core.cancelled(sent[0].request, 1.0)
    for one in sent[1:]:
        told(core, one, None)
    assert view.tokens == pytest.approx(0.0, abs=1e-9)


def test_requests_without_prompts_are_all_alike() -> None:
    core = warm_core()
    actions = [core.arrived(0.0, 0) for _ in range(10)]
    assert sorted(it.backend for it in actions if isinstance(it, Send)) == [0] * 5 + [1] * 5
    view = core.policy_runtime.view
    assert view.work[0] == pytest.approx(view.work[1])
    for action in actions:
        core.finished(action.request, 1.0)


def test_what_is_cached_is_no_work_for_the_learner() -> None:
    """A backend that reads 10 tokens of 2000 has not done the work of 2000."""
    measure = TokenWork(Mix([ClassWork(0.0, 0.0)], None), 1.0, 1.0)
    assert measure.work(0, 0, 1.0, Usage(2000, 100, 1990)) == 110.0
    system = RoutingSystem(
        (Frontend("all", PoissonArrivals(0.1)),),
        (Backend("b", CURVE, cache_tokens=100_000),),
        CompatibilityGraph.from_neighbours(1, [[0]]),
        WEIGHTS,
    )
    core = core_of(system, parse("gmsr"), learner=Learner(1), measure=measure, unplanned="no rates")
    for _ in range(2000):
        told(core, send(core, "a"), None)  # it does not say; the prediction stands in
    assert measure.mix.mean == pytest.approx(100.0, rel=0.1)


def test_a_request_that_was_explained_is_not_weighed_again() -> None:
    """What stands in `work` when it comes decides, unless something has happened since."""
    core = warm_core("gmsr:ties=first")
    prompts = core.prompts
    assert prompts is not None
    work = prompts.work
    one, other = prompt("a"), prompt("b")
    core.explain(0, one)
    work[0] = 100.0
    first = core.arrived(0.0, 0, Profile(prompt=one))
    assert isinstance(first, Send)
    assert first.backend == 1
    events: list[Callable[[], object]] = [
        partial(told, core, first, 0),
        partial(prompts.lost, 1),
        lambda: core.backend_down(1, 0.0),
        lambda: core.explain(0, other),
    ]
    for event in events:
        core.explain(0, one)
        work[0] = 100.0
        event()
        again = core.arrived(0.0, 0, Profile(prompt=one))
        assert isinstance(again, Send)
        assert work[0, 0] < 100.0
        core.cancelled(again.request, 0.0)


def test_logged_requests_go_as_those_that_are_not() -> None:
    logged, plain = warm_core(backends=4), warm_core(backends=4)
    names = "abcabdcabeacbdeeabac"
    for i, name in enumerate(names):
        logged.explain(0, prompt(name))
        one, other = send(logged, name), send(plain, name)
        assert one == other
        if i % 3 == 0:
            told(logged, one, 1000)
            told(plain, other, 1000)
