"""Work of requests: tokens that a response tells, means of frontends, curves in work per second."""

import heapq
from collections.abc import Sequence

import numpy as np
import pytest

from isocline.gateway.core.build import core_of
from isocline.gateway.core.core import Core
from isocline.gateway.core.request_cost import (
    ClassWork,
    FrontendWork,
    Mix,
    TokenWork,
    Usage,
    measure_of,
)
from isocline.gateway.proxy.token_ratios import TokenRatios
from isocline.gateway.proxy.token_usage import TokenUsage
from isocline.learn import Learner, Learning
from isocline.model.curves import Curve, HyperbolicCurve
from isocline.model.fleet import Work
from isocline.policies.parse import parse
from tests.builders import fleet

NOTHING = ClassWork(0.0, 1.0)


# Tokens in passing


def told(*pieces: bytes, ratios: TokenRatios | None = None) -> Usage | None:
    tokens = TokenUsage(stream=b"data:" in pieces[0])
    for piece in pieces:
        tokens.feed(piece)
    return tokens.usage(ratios or TokenRatios())


STREAM = (
    b'5\r\ndata: {"choices":[{"delta":{"content":"a"}}],"usage":null}\n\n\r\n' * 7
    + b'5\r\ndata: {"choices":[{"finish_reason":"stop"}]}\n\n\r\n'
)
DONE = b"5\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
AT_END = b'5\r\ndata: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":12}}\n\n\r\n'


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b'{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}', Usage(5, 7)),
        (b'{\n "usage": {\n  "input_tokens": 5,\n  "output_tokens": 7}}', Usage(5, 7)),
        (b'{"data":[0.1],"usage":{"prompt_tokens":8,"total_tokens":8}}', Usage(8, 0)),
        # A text that quotes one, before the real one.
        (
            b'{"text":"\\"usage\\":{\\"completion_tokens\\":99}","usage":{"completion_tokens":3}}',
            Usage(None, 3),
        ),
        (STREAM + AT_END + DONE, Usage(9, 12)),
        (STREAM + DONE, Usage(None, 7)),
        (b'{"object":"list","data":[]}', None),
        (b"\x1f\x8b\x08\x00", None),
        (b"", None),
    ],
)
def test_tokens_are_read_however_the_body_is_cut(body: bytes, usage: Usage | None) -> None:
    assert told(body) == usage
    for size in (7, 1000):
        cuts = [body[i : i + size] for i in range(0, len(body), size)]
        tokens = TokenUsage(stream=b"data:" in body)
        for cut in cuts:
            tokens.feed(cut)
        assert tokens.usage(TokenRatios()) == usage


def test_usage_is_found_where_a_piece_ends_within_it() -> None:
    body = b'{"text":"' + b"x" * 100_000 + b'","usage":{"prompt_tokens":5,"completion_tokens":7}}'
    tokens = TokenUsage(stream=False)
    for i in range(0, len(body), 7):
        tokens.feed(body[i : i + 7])
    assert tokens.usage(TokenRatios()) == Usage(5, 7)


# Means


def test_tokens_are_weighed_and_who_does_not_say_is_as_its_frontend() -> None:
    measure = TokenWork(Mix([NOTHING, NOTHING], None), prefill=0.1, decode=2.0)
    assert measure.mix.evidence == 0.0
    assert measure.work(0, 0, 1.0, Usage(100, 20)) == 50.0
    assert measure.work(0, 0, 1.0, Usage(300, 20)) == 70.0
    assert measure.work(0, 0, 1.0, None) == 60.0
    assert measure.work(0, 0, 1.0, Usage(None, 20)) == 60.0  # of the prompt it says nothing
    assert measure.work(1, 0, 1.0, None) == 60.0  # of this frontend nothing is known: as of all
    assert measure.work(1, 0, 1.0, Usage(0, 0)) == 0.0  # as GET /v1/models
    assert measure.work(1, 0, 1.0, Usage(0, 500)) == 1000.0
    assert measure.mix.mean_of(1) == 1000.0
    assert measure.mix.mean == pytest.approx((50 + 70 + 1000) / 3)


def test_unequal_requests_count_for_fewer_equal_ones() -> None:
    rng, mix = np.random.default_rng(1), Mix([NOTHING], None)
    for work in rng.exponential(300.0, 5000):
        mix.add(0, work)
    # E[w^2] = 2 E[w]^2.
    assert mix.mean * mix.evidence == pytest.approx(0.5, rel=0.1)
    equal = Mix([NOTHING], None)
    equal.add(0, 300.0)
    assert equal.mean * equal.evidence == pytest.approx(1.0)


def test_a_mix_follows_what_clients_ask_for() -> None:
    mix = Mix([NOTHING, NOTHING], 5.0)
    assert (mix.mean, mix.evidence) == (5.0, 0.2)
    for _ in range(3000):
        mix.add(0, 10.0)
    for _ in range(5000):
        mix.add(0, 40.0)
    assert mix.mean == pytest.approx(40.0, rel=0.02)
    assert mix.mean_of(0) == pytest.approx(40.0, rel=0.1)


def stays(measure: FrontendWork, rounds: int, works: Sequence[float], first: int = 0) -> None:
    """Frontend 0 uses backends 0 and 1, frontend 1 uses 1 and 2; 2 is ten times as slow."""
    rng, slow = np.random.default_rng(2), (0.1, 0.2, 1.0)
    for _ in range(rounds):
        for f in range(first, 2):
            b = f + int(rng.integers(2))
            measure.work(f, b, works[f] * slow[b] * rng.exponential(), None)


def test_frontends_are_told_apart_by_their_stays_not_by_their_backends() -> None:
    measure = FrontendWork(Mix([NOTHING] * 2, 1.0), 3, [NOTHING] * 2)
    stays(measure, 3000, (1.0, 30.0))
    fast, slow = (measure.mix.mean_of(f) for f in range(2))
    assert slow / fast == pytest.approx(30.0, rel=0.15)


def test_the_unit_stays_when_another_frontend_comes_and_through_a_restart() -> None:
    measure = FrontendWork(Mix([NOTHING] * 2, 1.0), 3, [NOTHING] * 2)
    stays(measure, 2000, (0.01, 3.0), first=1)
    before = measure.work(1, 1, 0.6, None)
    assert before == pytest.approx(1.0, rel=0.05)
    stays(measure, 2000, (0.01, 3.0))
    assert measure.work(1, 1, 0.6, None) == pytest.approx(before, rel=0.1)
    known = measure.mix.classes()
    again = measure_of("frontend", known, 3, Work())
    assert isinstance(again, FrontendWork)
    stays(again, 100, (0.01, 3.0))
    assert again.work(1, 1, 0.6, None) == pytest.approx(before, rel=0.2)
    assert again.work(0, 0, 0.001, None) == pytest.approx(before / 300, rel=0.3)


# Curves

CURVE = HyperbolicCurve(1000.0, 6.0)  # units of work/s


def served(core: Core, work: Sequence[float], rates: Sequence[float], requests: int) -> float:
    """Processor sharing at CURVE, exponential sizes; the time, s, it took."""
    rng = np.random.default_rng(5)
    now, share = 0.0, 0.0  # share: work done for each job so far
    inside: list[tuple[float, int, float]] = []
    coming = rng.exponential(1 / sum(rates))
    for _ in range(requests):
        while inside:
            speed = float(CURVE.rate(len(inside))) / len(inside)
            if now + (inside[0][0] - share) / speed > coming:
                share += (coming - now) * speed
                break
            now += (inside[0][0] - share) / speed
            share, number, tokens = heapq.heappop(inside)
            core.finished(number, now, usage=Usage(0, round(tokens)))
        now = coming
        core.tick(now)
        frontend = int(rng.random() * sum(rates) > rates[0])
        size = max(work[frontend] * rng.exponential(), 1.0)
        action = core.arrived(now, frontend)
        heapq.heappush(inside, (share + size, action.request, size))
        coming = now + rng.exponential(1 / sum(rates))
    core.tick(now + 1.0)
    return now


def core_with(unit: str, curve: Curve = CURVE) -> Core:
    system = fleet([curve], [0.1, 0.1], [[0], [0]])
    measure = measure_of(unit, [NOTHING] * 2, 1, Work())  # type: ignore[arg-type]
    learner = Learner(1, Learning(false_alarms=0.0), unit=100.0 if unit == "tokens" else 1.0)
    return core_of(system, parse("gmsr"), learner=learner, measure=measure)


def test_curves_in_tokens_do_not_depend_on_who_asks() -> None:
    """Requests of 20 and of 200 tokens: first mostly the ones, then mostly the others."""
    for mix in ((20.0, 1.0), (2.0, 2.8)):
        core = core_with("tokens")
        served(core, (20.0, 200.0), mix, 4000)
        assert core.feedback
        for n in (8.0, 16.0):
            truth = float(CURVE.rate(n))
            assert float(core.feedback.learner.curve(0).rate(n)) == pytest.approx(truth, rel=0.12)
            # What policies get is in jobs/s of the mean request.
            mean = (20 * mix[0] + 200 * mix[1]) / sum(mix)
            assert float(core.policy_runtime.curves[0].rate(n)) * mean == pytest.approx(
                truth, rel=0.25
            )


def test_curves_by_frontend_find_the_same_shape_without_tokens() -> None:
    core = core_with("frontend")
    served(core, (20.0, 400.0), (4.0, 1.5), 8000)
    assert core.feedback
    assert core.feedback.measure
    cheap, dear = core.feedback.measure.mix.classes()
    assert dear.work / cheap.work == pytest.approx(20.0, rel=0.2)
    learned = core.feedback.learner.curve(0)
    bend = float(learned.rate(16.0)) / float(learned.rate(8.0))
    assert bend == pytest.approx(float(CURVE.rate(16.0) / CURVE.rate(8.0)), rel=0.1)
    mean = (20 * 4.0 + 400 * 1.5) / 5.5
    assert float(core.policy_runtime.curves[0].rate(8.0)) * mean == pytest.approx(571.0, rel=0.25)


def test_what_is_refused_is_no_work() -> None:
    core = core_with("requests")
    for status in (200, 301, 400, 404, 429, 500):
        core.finished(core.arrived(1.0, 0).request, 2.0, status=status)
    assert core.feedback
    core.feedback.flush()
    assert core.feedback.learner.observed.occupied.done.sum() == pytest.approx(2.0)
