"""Limits of keys per minute: over any stretch of virtual time, over workers, and settled."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.gateway.core.key_limits import Buckets, KeyLimits, OwnBuckets, Verdict
from isocline.gateway.core.request_cost import Usage
from isocline.gateway.shared_buckets import SharedBuckets
from isocline.model.serving_settings import KeyLimit

# Times between requests, s: bursts, and pauses that fill a bucket.
GAPS = st.lists(st.sampled_from([0.0, 0.01, 0.3, 1.0, 7.0, 90.0]), min_size=20, max_size=150)


def take(limits: KeyLimits, now: float, length: int = -1, name: str = "ann") -> Verdict:
    return limits.take(name, now, length)


def let_in(verdict: Verdict) -> bool:
    assert bool(verdict.charge.exceeded) == (verdict.charge.wait > 0.0)
    return not verdict.charge.exceeded


def within(times: list[float], limit: float) -> None:
    """No stretch of time has more than a full bucket and what is filled meanwhile."""
    for i, start in enumerate(times):
        for j in range(i, len(times)):
            allowed = max(limit, 1.0) + (times[j] - start) * limit / 60.0
            assert j - i + 1 <= allowed * (1.0 + 1e-6) + 1e-6


@given(limit=st.sampled_from([0.5, 1.0, 7.0, 60.0, 90.5]), gaps=GAPS)
@settings(max_examples=60, deadline=None)
def test_no_stretch_has_more_requests_than_the_limit(limit: float, gaps: list[float]) -> None:
    limits, now, times = KeyLimits({"ann": KeyLimit(limit)}, OwnBuckets()), 1e5, []
    for gap in gaps:
        now += gap
        if let_in(take(limits, now)):
            times.append(now)
    within(times, limit)


@given(limit=st.sampled_from([1.0, 7.0, 60.0]), gaps=GAPS, seed=st.randoms())
@settings(max_examples=40, deadline=None)
def test_workers_share_a_limit(limit: float, gaps: list[float], seed: object) -> None:
    made = SharedBuckets.create()
    shared = [SharedBuckets.attach(made.handle) for _ in range(3)]
    workers = [KeyLimits({"bob": KeyLimit(9.0), "ann": KeyLimit(limit)}, it) for it in shared[:2]]
    workers.append(KeyLimits({"ann": KeyLimit(limit)}, shared[2]))  # after a reload
    now, times = 1e5, []
    for gap in gaps:
        now += gap
        if let_in(take(seed.choice(workers), now)):  # type: ignore[attr-defined]
            times.append(now)
    within(times, limit)
    for it in (*shared, made):
        it.close()
    os.close(made.handle)


def test_one_below_its_limit_is_never_kept_out() -> None:
    limits = KeyLimits({"ann": KeyLimit(60.0)}, OwnBuckets())
    assert all(let_in(take(limits, 1e5 + i)) for i in range(500))


@given(limit=st.sampled_from([0.5, 7.0, 60.0]), gaps=GAPS)
@settings(max_examples=40, deadline=None)
def test_after_the_wait_there_is_room_and_not_before(limit: float, gaps: list[float]) -> None:
    limits, now = KeyLimits({"ann": KeyLimit(limit)}, OwnBuckets()), 1e5
    for gap in gaps:
        now += gap
        wait = take(limits, now).charge.wait
        if wait > 0.0:
            assert not let_in(take(limits, now + 0.99 * wait))
            now += wait
            assert let_in(take(limits, now))


@pytest.fixture(params=["own", "shared"])
def buckets(request: pytest.FixtureRequest) -> Iterator[Buckets]:
    if request.param == "own":
        yield OwnBuckets()
        return
    made = SharedBuckets.create()
    yield made
    made.close()
    os.close(made.handle)


def test_keys_have_limits_of_their_own(buckets: Buckets) -> None:
    limits = KeyLimits({"ann": KeyLimit(2.0), "bob": KeyLimit(1.0)}, buckets)
    assert [let_in(take(limits, 1e5)) for _ in range(3)] == [True, True, False]
    assert [let_in(take(limits, 1e5, name="bob")) for _ in range(2)] == [True, False]


def test_what_is_left_is_told(buckets: Buckets) -> None:
    limits = KeyLimits({"ann": KeyLimit(60.0, 600.0)}, buckets)
    first = take(limits, 1e5, 400)  # 100 tokens, by four bytes each
    assert first.requests is not None
    assert first.tokens is not None
    assert first.requests == pytest.approx((60.0, 59.0, 1.0), abs=1e-6)
    assert first.tokens == pytest.approx((600.0, 500.0, 10.0), abs=1e-6)
    later = take(limits, 1e5 + 100.0, -1)
    assert later.tokens is not None
    assert later.tokens == pytest.approx((600.0, 600.0, 0.0))


def test_tokens_are_settled_at_the_end(buckets: Buckets) -> None:
    limits = KeyLimits({"ann": KeyLimit(None, 600.0)}, buckets)
    verdict = take(limits, 1e5, 400)
    limits.settle("ann", 1e5, verdict.charge, Usage(50, 850))  # 900: overdrawn by 300
    refused = take(limits, 1e5, 40)
    assert refused.charge.exceeded == "tokens"
    # 30 s for what is overdrawn, then for this one: 5 tokens by what the last prompt had, and the
    # mean output of a response.
    assert 30.0 < refused.charge.wait <= 90.0
    assert refused.tokens is not None
    assert refused.tokens.remaining == 0.0
    assert let_in(take(limits, 1e5 + refused.charge.wait, 40))


def test_a_request_without_tokens_gives_its_charge_back(buckets: Buckets) -> None:
    limits = KeyLimits({"ann": KeyLimit(None, 100.0)}, buckets)
    for _ in range(20):
        verdict = take(limits, 1e5, 360)
        assert let_in(verdict)
        limits.settle("ann", 1e5, verdict.charge, None)


def test_charges_come_near_to_what_is_used() -> None:
    """Of a key whose prompts have 8 bytes for each token, and whose responses 50 tokens."""
    limits = KeyLimits({"ann": KeyLimit(None, 1e9)}, OwnBuckets())
    for i in range(200):
        verdict = take(limits, 1e5 + i, 800)
        limits.settle("ann", 1e5 + i, verdict.charge, Usage(100, 50))
    assert take(limits, 2e5, 800).charge.tokens == pytest.approx(150.0, rel=0.02)


def test_one_that_asks_for_more_than_a_minute_has_goes_from_a_full_bucket() -> None:
    limits = KeyLimits({"ann": KeyLimit(None, 100.0)}, OwnBuckets())
    assert let_in(take(limits, 1e5, 4000))
    refused = take(limits, 1e5, 4000)
    assert refused.charge.wait == pytest.approx(600.0)
    assert let_in(take(limits, 1e5 + 600.0, 4000))


def test_one_that_is_kept_out_takes_nothing(buckets: Buckets) -> None:
    limits = KeyLimits({"ann": KeyLimit(1.0, 1000.0)}, buckets)
    assert let_in(take(limits, 1e5, 400))
    for _ in range(50):
        refused = take(limits, 1e5, 400)
        assert refused.charge.exceeded == "requests"
        assert refused.tokens is not None
        assert refused.tokens.remaining == pytest.approx(900.0)


def test_limits_outlast_a_reload(buckets: Buckets) -> None:
    before = KeyLimits({"ann": KeyLimit(2.0), "bob": KeyLimit(5.0)}, buckets)
    take(before, 1e5)
    after = KeyLimits({"eve": KeyLimit(9.0), "ann": KeyLimit(2.0)}, buckets)
    after.take_over(before)
    assert [let_in(take(after, 1e5)) for _ in range(2)] == [True, False]
    verdict = take(before, 1e5, name="bob")
    after.settle("bob", 1e5, verdict.charge, Usage(1, 1))  # it has no limits any more
