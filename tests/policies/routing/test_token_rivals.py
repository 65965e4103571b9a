"""Rivals that look at tokens and caches, on views made by hand: formulas, and what papers claim."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from isocline.policies.parse import parse
from isocline.policies.routing import ALL
from tests.policies.routing.views import (
    BACKENDS,
    CACHED,
    CAPACITY,
    CURVE_OF,
    PROMPT,
    SETTING,
    TOKENS,
    WORKLOADS,
    Frontend,
    best,
)

Pairs = list[tuple[float, float]]


@given(workload=WORKLOADS, cached=CACHED, tokens=TOKENS)
def test_lmetric_is_its_formula(workload: list[int], cached: list[float], tokens: Pairs) -> None:
    scores = [
        (unread + PROMPT - c) * (n + 1)
        for n, c, (unread, _) in zip(workload, cached, tokens, strict=True)
    ]
    assert Frontend("lmetric").holding(workload).asked(cached, tokens).pick() in best(scores)


@given(workload=WORKLOADS, cached=CACHED, tokens=TOKENS, factor=st.sampled_from([0.25, 4.0]))
def test_lmetric_needs_no_weight(
    workload: list[int], cached: list[float], tokens: Pairs, factor: float
) -> None:
    """A weight of tokens against requests cancels: the paper's point."""
    one = Frontend("lmetric").holding(workload).asked(cached, tokens)
    other = Frontend("lmetric").holding(workload).asked(cached, tokens)
    other.view.work[:] *= factor
    other.view.tokens[:] *= factor
    assert one.pick() == other.pick()


@pytest.mark.parametrize("count", ["unread", "held"])
@pytest.mark.parametrize("join", [False, True])
@given(workload=WORKLOADS, cached=CACHED, tokens=TOKENS)
def test_least_work_is_its_formula(
    count: str, join: bool, workload: list[int], cached: list[float], tokens: Pairs
) -> None:
    scores = []
    for c, (unread, held), capacity in zip(cached, tokens, CAPACITY, strict=True):
        own = PROMPT - c if count == "unread" else PROMPT + 50.0
        scores.append(((unread if count == "unread" else held) + join * own) / capacity)
    text = f"least_work:count={count},join={str(join).lower()}"
    assert Frontend(text).holding(workload).asked(cached, tokens).pick() in best(scores)


def test_least_work_counts_tokens_and_not_requests() -> None:
    # One long prompt at backend 0, many short ones at its equal, 3.
    tokens = [(9000.0, 9000.0), (1e6, 1e6), (1e6, 1e6), (3000.0, 3000.0), (1e6, 1e6)]
    frontend = Frontend("least_work").holding([1, 30, 30, 30, 30]).asked([0.0] * 5, tokens)
    assert frontend.pick() == 3


@given(
    workload=WORKLOADS,
    cached=CACHED,
    tokens=TOKENS,
    penalty=st.sampled_from([0.05, 0.5, 5.0]),
    affinity=st.sampled_from([0.3, 0.8]),
)
def test_sticky_tokens_is_its_formula(
    workload: list[int], cached: list[float], tokens: Pairs, penalty: float, affinity: float
) -> None:
    warm = [c > 0 and c / PROMPT >= affinity for c in cached]
    first_token = [unread / 2000.0 for unread, _ in tokens]
    of_warm = [t for t, w in zip(first_token, warm, strict=True) if w]
    of_cold = [t for t, w in zip(first_token, warm, strict=True) if not w]
    sticks = bool(of_warm) and (not of_cold or min(of_warm) - min(of_cold) <= penalty)
    scores = [
        unread + PROMPT - c if w or not sticks else math.inf
        for c, w, (unread, _) in zip(cached, warm, tokens, strict=True)
    ]
    text = f"sticky_tokens:penalty={penalty},affinity={affinity},throughput=2000"
    assert Frontend(text).holding(workload).asked(cached, tokens).pick() in best(scores)


def test_sticky_tokens_sticks_until_the_warm_one_is_saturated() -> None:
    cached = [900.0, 0.0, 0.0, 0.0, 0.0]
    for unread, found in ((17_000.0, 0), (21_000.0, 1)):
        tokens = [(unread, unread), (0.0, 0.0), *((5000.0, 5000.0),) * 3]
        text = "sticky_tokens:penalty=10,throughput=2000"
        assert Frontend(text).asked(cached, tokens).pick() == found


@given(
    workload=WORKLOADS,
    cached=CACHED,
    threshold=st.sampled_from([0.0, 0.3, 0.9]),
    absolute=st.sampled_from([0.0, 10.0, 64.0]),
)
def test_cache_threshold_is_its_formula(
    workload: list[int], cached: list[float], threshold: float, absolute: float
) -> None:
    most, fewest = max(workload), min(workload)
    unbalanced = most - fewest > absolute and most > 1.5 * fewest
    overlaps = not unbalanced and max(cached) > threshold * PROMPT
    scores = [
        n if c == max(cached) or not overlaps else math.inf
        for n, c in zip(workload, cached, strict=True)
    ]
    text = f"cache_threshold:threshold={threshold},absolute={absolute}"
    assert Frontend(text).holding(workload).asked(cached).pick() in best(scores)


def test_cache_threshold_gives_the_cache_up_only_beyond_both_thresholds() -> None:
    cached = [900.0, 0.0, 0.0, 0.0, 0.0]
    for least, most, found in ((0, 64, 0), (0, 65, 1), (140, 205, 0)):
        frontend = Frontend("cache_threshold").asked(cached)
        assert frontend.holding([most, least, *[least + 1] * 3]).pick() == found


@given(cached=CACHED, tokens=TOKENS, weight=st.sampled_from([0.0, 1.0, 3.0]))
def test_linear_cost_is_its_formula(cached: list[float], tokens: Pairs, weight: float) -> None:
    scores = [
        weight * (unread + PROMPT - c) + held
        for c, (unread, held) in zip(cached, tokens, strict=True)
    ]
    frontend = Frontend(f"linear_cost:weight={weight}")
    assert frontend.asked(cached, tokens).pick() in best(scores)


def test_linear_cost_is_the_example_of_its_documentation() -> None:
    """8 + 10, 5 + 5 and 2 + 9 blocks, here of 100 tokens: the second worker."""
    cached = [200.0, 500.0, 800.0, 0.0, 0.0]
    tokens = [(0.0, 1000.0), (0.0, 500.0), (0.0, 900.0), (0.0, 1e6), (0.0, 1e6)]
    assert Frontend("linear_cost").asked(cached, tokens).pick() == 1
    # A higher weight favours the cache.
    assert Frontend("linear_cost:weight=2").asked(cached, tokens).pick() == 2


@given(workload=WORKLOADS, cached=CACHED)
def test_predicted_latency_is_of_this_job(workload: list[int], cached: list[float]) -> None:
    scores = [
        (0.1 * (PROMPT - c) + 50.0) * (n + 1) / float(curve.rate(n + 1.0))
        for n, c, curve in zip(workload, cached, CURVE_OF, strict=True)
    ]
    frontend = Frontend("predicted_latency").holding(workload).asked(cached)
    assert frontend.pick() in best(scores)


def prefixes(frontend: Frontend, count: int, among: list[int]) -> list[int]:
    """Where each of `count` prefixes goes."""
    return [
        frontend.asked([0.0] * BACKENDS, prefix=float(i)).pick(among=among) for i in range(count)
    ]


def test_bounded_hash_sends_a_prefix_to_one_backend_and_moves_no_other_when_one_leaves() -> None:
    frontend = Frontend("bounded_hash:bound=1e9")
    everyone = list(range(BACKENDS))
    first = prefixes(frontend, 4000, everyone)
    assert prefixes(frontend, 4000, everyone) == first
    expected = 4000 * CAPACITY / CAPACITY.sum()
    counts = np.bincount(first, minlength=BACKENDS)
    assert np.sum((counts - expected) ** 2 / expected) < chi2.ppf(0.9999, 4)
    left = prefixes(frontend, 4000, [0, 1, 2, 4])
    assert all(b == a for a, b in zip(first, left, strict=True) if a != 3)


def test_bounded_hash_passes_over_a_full_backend() -> None:
    frontend = Frontend("bounded_hash:bound=1.25,weighted=false")
    home = prefixes(frontend, 1, list(range(BACKENDS)))[0]
    frontend.holding([4] * BACKENDS)
    assert prefixes(frontend, 1, list(range(BACKENDS)))[0] == home
    frontend.view.workload[home] = 10  # the bound is ceil(1.25 * 27 / 5) = 7
    assert prefixes(frontend, 1, list(range(BACKENDS)))[0] != home


@pytest.mark.parametrize("name", sorted(ALL))
def test_each_policy_says_whether_it_counts_in_caches(name: str) -> None:
    """Some choose alike, whatever is cached; the others choose otherwise at times."""
    setting = replace(SETTING, split=np.ones(BACKENDS))
    differs = False
    rng = np.random.default_rng(3)
    for _ in range(60):
        workload = rng.integers(0, 30, BACKENDS)
        caches, prefixes = PROMPT * rng.uniform(0.0, 1.0, (2, BACKENDS)), rng.integers(1, 999, 2)
        tokens = 500.0 * rng.integers(0, 9, (2, BACKENDS, 2))
        one, other = (
            Frontend(name, setting).holding(workload).asked(cached, there, float(prefix)).pick()
            for cached, there, prefix in zip(caches, tokens, prefixes, strict=True)
        )
        differs |= one != other
    assert parse(name).counts_in_caches() == differs
